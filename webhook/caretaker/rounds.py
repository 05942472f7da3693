"""When the caretaker looks: at every namespace with sets, then where a StatefulSet changes.

Every round begins with a list, so an expired resource version (410), an event that was lost and a
Service that somebody deleted are all healed by the next round, without code of their own. Nothing
else is watched, and nothing is kept but one `facts.Workload` for each set. A round is a minute, and
takes 6 n + 5 requests in a cluster of n namespaces with sets, or, from `everywhere.MANY` on, some
lists of the whole cluster.

A namespace that can't be looked at, or takes long, is among the last in the next round, and is not
tended for a change before that: whatever somebody has put there, the others do not wait for it.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from webhook import logs
from webhook.caretaker import services
from webhook.caretaker.carry_out import Writer
from webhook.caretaker.errors import LookAgainError, NotLeadingError, RefusedError
from webhook.caretaker.events import Events
from webhook.caretaker.everywhere import MANY, Everywhere
from webhook.caretaker.facts import Workload
from webhook.caretaker.footprint import TooMuchError, bounded, check_pairs
from webhook.caretaker.look import Look
from webhook.caretaker.plan import plan, refused
from webhook.caretaker.settings import CaretakerSettings
from webhook.caretaker.step import (
    Grant,
    MakeAccount,
    MakeBudget,
    MakePolicy,
    MakeService,
    RemoveAccount,
    RemoveBudget,
    RemovePolicy,
    Tell,
    Write,
)
from webhook.json_patch import Json

ROUND_SECONDS: Final = 60
"""How long a Service that was deleted, or a pod without a sidecar, may go unseen."""

GATHER_SECONDS: Final = 1
"""How long changes are gathered after one that was seen to."""

SOON_SECONDS: Final = 2
"""The next round comes so soon if something is being deleted, or somebody else wrote at the same
time. Doubled each time that this is still so."""

MAX_FAILURES: Final = 3
"""Namespaces in a row, after which it is taken for the API server's fault."""

SLOW_SECONDS: Final = 5.0
"""To tend a namespace with a dozen sets takes a twentieth of that, where nothing is busy."""

_log = logging.getLogger(__name__)


class Rounds:
    """Follows the cluster; `follow` is called for as long as this caretaker leads."""

    def __init__(
        self,
        look: Look,
        writer: Writer,
        events: Events,
        settings: CaretakerSettings,
        leads: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the adapters, whether this caretaker may act now, and a clock of seconds."""
        self._look = look
        self._writer = writer
        self._events = events
        self._settings = settings
        self._leads = leads
        self._clock = clock
        self._workloads: defaultdict[str, dict[str, Workload]] = defaultdict(dict)
        """By namespace and name."""
        self._soon = SOON_SECONDS
        self._failed: set[str] = set()
        """The namespaces that could not be looked at last time."""
        self._slow: set[str] = set()
        """Those that took long last time."""
        self._unread: set[str] = set()
        """Those with a StatefulSet that this program fails to read: they are left as they are."""

    def follow(self) -> None:
        """Do one round. Raises NotLeadingError, ApiException or urllib3's HTTPError."""
        self._unread.clear()
        found, version = self._look.workloads(self._workload)
        self._workloads.clear()
        for it in found:
            self._workloads[it.namespace][it.name] = it
        namespaces = {it.namespace for it in found} | self._look.tended_namespaces()
        settled = self._tend_all(namespaces - self._settings.excluded_namespaces)
        self._watch(version, self._pause(settled=settled))

    def _watch(self, version: str, seconds: int) -> None:
        """Tend where something changes, for so long, or until that has to be looked at again.

        A change is seen to at once, and what comes meanwhile is gathered: a hundred sets that are
        made together in one namespace must not have it looked at hundreds of times.
        """
        until = self._clock() + seconds
        while (left := round(until - self._clock())) > 0:
            changed, version = self._changed(version, left, first=True)
            if not changed:
                return
            # Who goes on making changes is not waited for: the next round sees them.
            while changed and self._clock() < until:
                for namespace in sorted(changed):
                    if not self._tend_changed(namespace):
                        return
                changed, version = self._changed(version, GATHER_SECONDS, first=False)

    def _changed(self, version: str, seconds: int, *, first: bool) -> tuple[set[str], str]:
        """Take changes in, for so long or up to the `first`; return the namespaces, and from which
        resource version on to watch."""
        changed: set[str] = set()
        for present, statefulset in self._look.changes(version, seconds):
            version = statefulset["metadata"].get("resourceVersion") or version
            if self._take(statefulset, present=present):
                changed.add(statefulset["metadata"]["namespace"])
                if first:
                    break
        return changed, version

    def _pause(self, *, settled: bool) -> int:
        pause = ROUND_SECONDS if settled else self._soon
        self._soon = SOON_SECONDS if settled else min(2 * self._soon, ROUND_SECONDS)
        return pause

    def _workload(self, statefulset: Json) -> Workload | None:
        if statefulset["metadata"]["namespace"] in self._settings.excluded_namespaces:
            return None
        try:
            found = Workload.from_json(statefulset, own_accounts=self._settings.grants)
        except Exception:
            # A fault of ours: no other namespace is to wait for its mending.
            _log.exception("a StatefulSet could not be read")
            self._unread.add(statefulset["metadata"]["namespace"])
            return None
        return None if found is None else bounded(found)

    def _take(self, statefulset: Json, *, present: bool) -> bool:
        """Take in a change; return whether there is something to be done about it."""
        namespace, name = (statefulset["metadata"][it] for it in ("namespace", "name"))
        workload = self._workload(statefulset) if present else None
        # Most changes are of the status alone.
        if namespace in self._unread or workload == self._workloads[namespace].get(name):
            return False
        if workload is None:
            del self._workloads[namespace][name]
        else:
            self._workloads[namespace][name] = workload
        return True

    def _tend_changed(self, namespace: str) -> bool:
        """Tend it; return whether that was all for now."""
        if namespace in self._slow:
            return True  # The next round is soon enough.
        try:
            return self._tend_apart(namespace)
        except (ApiException, HTTPError) as error:
            _note(namespace, error)
            self._failed.add(namespace)
            return True  # Likewise.

    def _tend_all(self, namespaces: set[str]) -> bool:
        """Tend each; return whether that was all for now.

        Raises the error of the last one, where the API server failed for several in a row.
        """
        self._failed &= namespaces
        self._slow &= namespaces
        late = self._failed | self._slow
        order = sorted(namespaces - self._unread, key=lambda it: (it in late, it))
        settled, in_a_row, known = True, 0, None
        for index, name in enumerate(order):
            known = self._known(order[index:], known)
            try:
                settled &= self._tend_apart(name, known)
            except (ApiException, HTTPError) as error:
                _note(name, error)
                self._failed.add(name)
                settled = False
                in_a_row += 1
                if in_a_row == min(MAX_FAILURES, len(order)):
                    raise
            else:
                in_a_row = 0
        return settled

    def _known(self, ahead: list[str], known: Everywhere | None) -> Everywhere | None:
        """Return what is known of the namespaces ahead, by lists of the whole cluster."""
        if known is not None and (known.fresh or known.took_too_long):
            return known
        return self._look.everywhere(set(ahead)) if len(ahead) >= MANY else None

    def _tend_apart(self, namespace: str, known: Everywhere | None = None) -> bool:
        """Tend it, as far as what is there lets us: no other one is to wait for its mending."""
        self._failed.discard(namespace)
        self._slow.discard(namespace)
        began = self._clock()
        try:
            return self._tend(namespace, known)
        except (NotLeadingError, ApiException, HTTPError):
            raise
        except TooMuchError as error:
            _note(namespace, error)
        except Exception:
            _log.exception("a fault of ours", extra={logs.FIELDS: {"namespace": namespace}})
        finally:
            if self._clock() - began > SLOW_SECONDS:
                self._slow.add(namespace)
        self._failed.add(namespace)
        return True

    def _tend(self, namespace: str, known: Everywhere | None) -> bool:
        """Do what has to be done in a namespace; return whether that was all for now."""
        workloads = tuple(self._workloads[namespace].values())
        there = self._look.namespace(namespace, workloads, known)
        check_pairs(there)
        settled, tells = True, list[Tell]()
        for step in plan(there, grant=self._settings.grants):
            if isinstance(step, Tell):
                tells.append(step)
                continue
            try:
                self._do(namespace, step)
            except LookAgainError as error:
                _note(namespace, error)
                settled = False
            except RefusedError as error:
                # Settled all the same: a quota or a namespace that goes is no reason to hurry.
                _note(namespace, error)
                tells += refused(there, step, str(error))
        self._tell(namespace, tells)
        return settled and not services.unsettled(there)

    def _do(self, namespace: str, step: Write) -> None:
        self._must_lead()
        match step:
            case Grant():
                self._writer.grant(namespace, step)
            case MakeService():
                self._writer.make_service(step)
            case MakeAccount():
                self._writer.make_account(step)
            case RemoveAccount():
                self._writer.remove_account(namespace, step)
            case MakePolicy():
                self._writer.make_policy(step)
            case RemovePolicy():
                self._writer.remove_policy(namespace, step)
            case MakeBudget():
                self._writer.make_budget(step)
            case RemoveBudget():
                self._writer.remove_budget(namespace, step)

    def _must_lead(self) -> None:
        if not self._leads():
            raise NotLeadingError

    def _tell(self, namespace: str, tells: list[Tell]) -> None:
        self._must_lead()
        try:
            self._events.tell(namespace, tells)
        except RefusedError as error:
            _note(namespace, error)


def _note(namespace: str, error: Exception) -> None:
    _log.warning("%s", error, extra={logs.FIELDS: {"namespace": namespace}})
