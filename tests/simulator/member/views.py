"""One look of a simulated sidecar: what the fakes say, put into the sidecar's own values."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from sidecar import contract
from sidecar.memory.commit_wait import RELOAD_SECONDS
from sidecar.memory.orders import (
    SET_SYNCHRONOUS,
    may_come_to_wait_for,
    shows,
    stays_detached,
)
from sidecar.memory.server import ANSWER_SECONDS, has_written
from sidecar.memory.status import comparable_positions
from sidecar.observation import (
    BootstrapView,
    Follower,
    Fork,
    LeaseRecord,
    Observation,
    Peer,
    PostgresView,
    ServerState,
)
from sidecar.postgres.control_data import RunningServer
from sidecar.postgres.polling import fields_from_outside
from sidecar.situation.set import holder_address
from tests.simulator.member.directory_view import DirectoryView
from tests.simulator.member.member import Member
from tests.simulator.member.watch import Watch
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server

SERVICE: Final = "pg-primary"

_NEVER_SEEN: Final = PostgresView(ServerState.DOWN, since=0.0)


class Views:
    """What one member sees of itself, of its set, and of its primary."""

    def __init__(self, member: Member, watch: Watch, wake: Callable[[], None]) -> None:
        self._member = member
        self._watch = watch
        self._wake = wake
        self._looks_again_at = float("-inf")
        self.directory = DirectoryView(member)
        self._told_to_start = False
        self._server_number = 0
        self._looked_at = float("-inf")
        """When the server was looked at last."""
        self._told_last: dict[str, Any] = {}
        """What the server has said last."""

    def observe(self) -> Observation:
        """As `sidecar.observe`, before the peers are asked."""
        member, watch = self._member, self._watch
        now = member.clock()
        bootstrap = self.directory.bootstrap(now)
        if not bootstrap.running and not self._told_to_start:
            self._told_to_start = True
            member.server.told_to_start(now)
        lease = watch.look()
        record = lease.record if lease else None
        postgres = self._postgres(bootstrap, now)
        last_timeline = member.last_timeline.look(postgres.timeline, bootstrap)
        promoted_from = member.following.promoted_from(postgres, lease, member.me)
        member.pod.followed = member.following.timeline
        if promoted_from is not None or (postgres.timeline is None and last_timeline is not None):
            postgres = replace(postgres, promoted_from=promoted_from, last_timeline=last_timeline)
        reach = member.reach
        return Observation(
            now=now,
            started_at=member.started_at,
            me=member.me,
            lease=lease,
            pods=watch.pods if watch.listed else None,
            wanted=watch.wanted,
            ordered=watch.ordered,
            bootstrap=bootstrap,
            postgres=postgres,
            paused=watch.paused,
            opted_out=watch.opted_out,
            leaving_since=member.pods.leaving_since(member.me.uid),
            unfenced_at=member.pods.unfenced_at(member.me.uid),
            pledged_until=member.pledge.until(now),
            members_heard_at=reach.members_heard_at,
            renewal_failed_at=reach.renewal_failed_at(lease),
            api_failed_at=reach.api_failed_at,
            question_failed_at=reach.question_failed_at,
            fork=self._fork(postgres, record),
            wal_matches=self._wal_matches(postgres, record, bootstrap),
        )

    def leader_address(self) -> str | None:
        """Where the holder of the Lease is, as far as it is known, and is another pod."""
        lease = self._watch.peek()
        record = lease.record if lease else None
        if record is None or record.holder == self._member.identity:
            return None
        return holder_address(record, self._watch.pods or ())

    def complete_peers(self, observation: Observation, peers: dict[str, Peer]) -> frozenset[str]:
        """As `sidecar.observe`: whose WAL is not exceeded by what is in this directory."""
        directory = self._member.pod.directory
        record = observation.lease.record if observation.lease else None
        branch = directory.branch
        if branch is None or record is None or branch.number != record.timeline:
            return frozenset()
        if self._member.pod.volume_hangs:
            return frozenset()
        positions = comparable_positions(observation, peers)
        return frozenset(name for name, at in positions.items() if at >= directory.position)

    # ── PostgreSQL ────────────────────────────────────────────────────────────────────────

    def _postgres(self, bootstrap: BootstrapView, now: float) -> PostgresView:
        """What the server says, and what can be seen of it without asking."""
        member, pod = self._member, self._member.pod
        fields = self.server_fields(now)
        server = pod.server
        running = server is not None and server.phase is not Phase.DEAD
        postmaster = server.number if server is not None and running else None
        if postmaster is not None and fields["state"] is ServerState.WRITABLE:
            pod.writer = postmaster
        orphaned = server is not None and server.orphans
        streams = fields.get("streaming", False)
        member.reach.see_server(
            streams=streams, followers_heard_at=fields.get("followers_heard_at"), now=now
        )
        directory = pod.directory
        vanished = directory.unseen or directory.system_identifier is None
        nothing_to_start = bootstrap.data is None or (not bootstrap.running and vanished)
        standby_signal = directory.standby_signal or nothing_to_start
        starts_writable = bootstrap.started_writable and not standby_signal
        return PostgresView(
            **fields,
            streamed_at=member.reach.streamed_at,
            alive=running or orphaned,
            orphaned=orphaned,
            progress_at=now if server is not None and _recovers(server) else None,
            has_written=has_written(postmaster, pod.writer, starts_writable=starts_writable),
            standby_signal=standby_signal,
            may_signal=not (running and pod.takes_no_signals),
        )

    def stood_still(self) -> None:
        """Up to now the process has not looked at anything."""
        self._looked_at = self._member.clock()

    def fresh_view(self) -> PostgresView:
        """What the server says now, as `Server.refresh` has it."""
        return PostgresView(**self.server_fields(self._member.clock()))

    def server_fields(self, now: float) -> dict[str, Any]:
        """As `sidecar.postgres.server`: fields of a PostgresView."""
        member = self._member
        server, memory = member.pod.server, member.server
        if server is None or not self._told_to_start:
            memory.see(ServerState.DOWN, now)
            return self._down(now)
        if server.number != self._server_number:
            self._server_number = server.number
            member.commit_wait.lost()
        state, since = self.look_at(server, now)
        if state is ServerState.DOWN:
            member.commit_wait.lost()
            self._told_last = {}
            return self._down(now)
        if server.locks_out:
            member.commit_wait.lost()
            return self._seen_from_outside(server, state, since)
        if not server.hung:
            self._see_what_was_ordered(server, state, now)
            self._note_setting(server, now)
        self._told_last = self._told(server, state, since)
        return self._told_last

    def look_at(self, server: Server, now: float) -> tuple[ServerState, float]:
        """What the sidecar takes the server for, and since when, by a look that is made now."""
        member = self._member
        self._look_as_often_as_the_pod(member.at(server.hung_since) if server.hung else now)
        if not server.hung:
            member.server.see(_answered(server), now)
        return member.server.look(now)

    def _look_as_often_as_the_pod(self, until: float) -> None:
        """The pod looks every second, whatever happens; of the looks that the fake leaves out,
        those are made up for in which the server has answered as before."""
        member, pod = self._member, self._member.pod
        changed_at = member.at(max(pod.server_changed_at, pod.node.woke_at))
        if changed_at < self._looked_at:
            while self._looked_at + ANSWER_SECONDS < until:
                self._looked_at += ANSWER_SECONDS
                member.server.see(member.server.look(self._looked_at)[0], self._looked_at)
        self._looked_at = max(self._looked_at, until)

    def _seen_from_outside(
        self, server: Server, state: ServerState, since: float
    ) -> dict[str, Any]:
        """As `sidecar.postgres.server` has it of a server that answers, but not to the sidecar."""
        directory, member = server.directory, self._member
        assert directory.branch is not None
        before = PostgresView(**self._told_last) if self._told_last else _NEVER_SEEN
        # By the control file, and by the name of the newest file of WAL.
        found = RunningServer(
            state,
            directory.system_identifier or "",
            directory.branch.number,
            directory.checkpoint[1],
        )
        self._told_last = fields_from_outside(found, before) | {
            "state": state,
            "since": since,
            "problem": "PostgreSQL answers, but does not let the sidecar look",
            "checkpointed_at": member.checkpointed_at,
            "prepared": member.server.prepared,
            "ordered": may_come_to_wait_for(None, member.orders.outstanding),
        }
        return self._told_last

    def _down(self, now: float) -> dict[str, Any]:
        member = self._member
        state, since = member.server.look(now)
        return {
            "state": state,
            "since": since,
            "problem": "no connection",
            "checkpointed_at": member.checkpointed_at,
        }

    def _told(self, server: Server, state: ServerState, since: float) -> dict[str, Any]:
        member, directory = self._member, server.directory
        assert directory.branch is not None
        outstanding = member.orders.outstanding
        fields: dict[str, Any] = {
            "state": state,
            "since": since,
            "system_identifier": directory.system_identifier,
            "timeline": directory.branch.number,
            "position": directory.position,
            "waits_for": directory.synchronous[0],
            "waits_for_number": directory.synchronous[1],
            "waits_from": member.commit_wait.waits_from,
            "ordered": may_come_to_wait_for(member.commit_wait.filed, outstanding),
            "slots": _slots(directory.slots),
            "checkpointed_at": member.checkpointed_at,
        }
        if state is ServerState.RECOVERY:
            told = server.lag_told - directory.position
            return fields | {
                "streaming": server.streams,
                "lag": max(0, told) if server.streams else None,
                "to_replay": server.to_replay,
                "promoting_since": member.server.promoting_since,
                "detached": stays_detached(_is_detached(server), outstanding),
                "upstream": SERVICE if directory.upstream is None else directory.upstream,
                "primary_slot_name": contract.slot_name(server.pod.name)
                if directory.uses_slot
                else "",
            }
        followers, heard_at = self._followers(server)
        return fields | {
            "followers": followers,
            "followers_heard_at": heard_at,
            "unwell_since": member.probe.unwell_since,
            "oldest_wal": server.oldest_wal,
            "prepared": member.server.prepared,
        }

    def _followers(self, server: Server) -> tuple[tuple[Follower, ...], float | None]:
        member, network = self._member, self._member.world.network
        followers, heard = [], None
        for link in server.links.values():
            standby = link.standby
            followers.append(Follower(standby.pod.name, link.acknowledged))
            there = network.both_ways(standby.pod.node.place, member.pod.node.place)
            at = member.world.now if there and not standby.frozen else link.heard_at
            heard = at if heard is None else max(heard, at)
        return tuple(followers), None if heard is None else member.at(heard)

    def _note_setting(self, server: Server, now: float) -> None:
        """What commits wait for; a reload reaches the fake's processes all at once."""
        wait, directory = self._member.commit_wait, server.directory
        settled = wait.is_due(now) and wait.read(directory.synchronous, everybody=True)
        wait.see(directory.synchronous, directory.position if settled else None, now)
        wait.see_state(writable=server.phase is Phase.WRITABLE, position=directory.position)
        if wait.waits_from is None and now >= self._looks_again_at:
            # PostgreSQL is asked every second, and what is new wakes the loop.
            self._looks_again_at = now + RELOAD_SECONDS
            self._member.world.after(RELOAD_SECONDS + 0.02, self._wake)

    def _see_what_was_ordered(self, server: Server, state: ServerState, now: float) -> None:
        member, directory = self._member, server.directory
        for order in member.orders.carried_out():
            shown = shows(
                order,
                state,
                waits_for=directory.synchronous[0],
                waits_for_number=directory.synchronous[1],
                follows_somebody=directory.upstream != "",
                detached=_is_detached(server),
            )
            if shown and member.orders.was_seen(order) and order[0] == SET_SYNCHRONOUS:
                member.commit_wait.was_set(now)

    def _fork(self, postgres: PostgresView, record: LeaseRecord | None) -> Fork | None:
        """As `sidecar.postgres.divergence`; the primary's answer takes no time."""
        memory = self._member.fork
        question = memory.question(postgres, record)
        if question is not None and memory.answer(question) is None:
            self._ask_for_the_fork(question)
        return memory.answer(question)

    def _ask_for_the_fork(self, question: tuple[int, int]) -> None:
        """Ask the primary for its timeline history; numbers only, as PostgreSQL has them."""
        primary = self._primary()
        if primary is None:
            return
        mine, primarys = question
        branch = primary.directory.branch
        if branch is None or branch.number < primarys:
            return
        there = primary.directory
        comes_there = there.leads_on(self._member.pod.directory)
        self._member.fork.learn(question, there.left_at(mine) if comes_there else None)

    def _wal_matches(
        self, postgres: PostgresView, record: LeaseRecord | None, bootstrap: BootstrapView
    ) -> bool | None:
        """As `sidecar.postgres.comparison`; it takes no time either."""
        member = self._member
        question = member.comparison.question(postgres, record, bootstrap, member.me)
        primary = self._primary() if question is not None else None
        if question is not None and primary is not None and self._has_wal_for(primary):
            answer = member.pod.directory.has_wal_of(primary.directory)
            if answer is not None:
                member.comparison.learn(question, answer)
        return member.comparison.answer(question)

    def _has_wal_for(self, primary: Server) -> bool:
        return self._member.pod.directory.position >= primary.oldest_wal

    def _primary(self) -> Server | None:
        address = self.leader_address()
        primary = None if address is None else self._member.pod.upstream(address)
        return primary if primary is not None and primary.phase is Phase.WRITABLE else None


def _answered(server: Server) -> ServerState:
    if server.phase in (Phase.RECOVERY, Phase.PROMOTING):
        return ServerState.RECOVERY
    return ServerState.WRITABLE if server.phase is Phase.WRITABLE else ServerState.DOWN


def _is_detached(server: Server) -> bool:
    return server.directory.upstream == "" and server.upstream is None


def _recovers(server: Server) -> bool:
    return server.phase is Phase.STARTING and not server.comes_up_never and not server.stuck


@functools.cache
def _slots(members: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(contract.slot_name(member) for member in members)
