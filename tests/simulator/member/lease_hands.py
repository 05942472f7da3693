"""Writes the Lease, and asks whether to stay its holder."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sidecar.action import AskToStay, RenewLease, TakeLease
from sidecar.memory.lease import HeldError
from sidecar.observation import LeaseRecord
from tests.simulator.kubernetes.api_server import (
    ApiError,
    ConflictError,
    RefusedError,
    Steps,
    UnansweredError,
)
from tests.simulator.member.member import Member
from tests.simulator.member.peers import Peers
from tests.simulator.member.watch import Watch


class LeaseHands:
    """As `sidecar.act` and `sidecar.kube.lease`, around the same memory."""

    def __init__(self, member: Member, watch: Watch, peers: Peers) -> None:
        self._member = member
        self._api = member.api
        self._pod = member.pod
        self._watch = watch
        self._peers = peers
        self.on_excuse: Callable[[], None] = lambda: None

    def take(self, action: TakeLease) -> Steps[None]:
        member = self._member
        reason = member.pledge.begin_to_take(self._watch.peek(), member.clock())
        if reason is not None:
            raise ConflictError(reason)
        try:
            record = _ours(lambda: member.lease.to_take(action, member.clock()))
            try:
                yield from self._write(record)
            except UnansweredError:
                member.lease.take_unanswered(record)
                raise
        finally:
            member.pledge.end_of_take()

    def renew(self, action: RenewLease) -> Steps[None]:
        member, reach = self._member, self._member.reach
        reach.renewal_is_sent(member.clock())
        try:
            record = _ours(lambda: member.lease.to_renew(action, ""))
            if record is None:
                return
            try:
                yield from self._write(record)
            except UnansweredError:
                member.lease.renewal_unanswered(record, action)
                raise
        except ApiError as error:
            conflict = isinstance(error, ConflictError)
            lease, now = self._watch.peek(), member.clock()
            reach.renewal_failed(lease, member.me, now, conflict=conflict)
            raise
        reach.renewal_succeeded()

    def release(self, heir: str | None, lives: tuple[str, ...] = ()) -> Steps[None]:
        """Give the Lease up, if this member holds it."""
        self._watch.look()
        record = self._member.lease.to_release(heir, lives)
        if record is not None:
            yield from self._write(record)
            self._member.lease.released()

    def _write(self, record: LeaseRecord) -> Steps[None]:
        """As `sidecar.kube.lease`: by compare-and-swap, and created again where it is gone."""
        member, api = self._member, self._api
        sent_at, proof = member.clock(), object()
        member.lease.sending(record, proof, sent_at)
        try:
            written = yield from api.write(self._pod.agent, lambda: api.put_lease(record, proof))
        except RefusedError:
            member.lease.answered(member.clock())
            raise
        except ConflictError:
            member.lease.answered(member.clock())
            if not ((yield from self._is_gone()) and member.lease.may_recreate(record)):
                raise
            again = replace(record, resource_version="")
            written = yield from api.request(self._pod.agent, lambda: api.put_lease(again, proof))
        member.lease.landed(sent_at)
        self._watch.hear_lease(int(written.resource_version), written)

    def _is_gone(self) -> Steps[bool]:
        with contextlib.suppress(ApiError):
            return (yield from self._watch.ask_for_lease()) is None
        return False

    def refresh(self) -> Steps[None]:
        """Ask for the Lease, where the watch is silent."""
        with contextlib.suppress(ApiError):
            if (yield from self._watch.ask_for_lease()) is None:
                self._member.lease.answered(self._member.clock())

    def ask_to_stay(self, action: AskToStay) -> Steps[None]:
        lease = self._watch.peek()
        if lease is None or lease.record is None:
            return
        asked_at = self._member.clock()
        if (yield from self._peers.ask_to_stay(action.members, lease.record)):
            self._member.lease.excuse(asked_at)
            self.on_excuse()


def _ours(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except HeldError as error:
        raise ConflictError(str(error)) from error
