"""One set with all that was read of it, as whoever looks for causes asks. No I/O."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cli.cause import Cause
from cli.facts import Event, Lease, Pod, There, Workload
from cli.installation import Installation
from cli.pod_spec import Json
from cli.view import lease_of, pods_of, primary_of
from sidecar import contract

LONGEST_MESSAGE = 1024
"""Characters of a sentence that its Event has."""


@dataclass(frozen=True)
class Surroundings:
    """What else the set's namespace has, as kubectl prints it."""

    quotas: Sequence[Json] = ()
    claims: Sequence[Json] = ()
    budgets: Sequence[Json] = ()
    """PodDisruptionBudgets."""
    policies: Sequence[Json] = ()
    """NetworkPolicies."""


class Seen:
    """What was read, and what it says."""

    def __init__(
        self,
        workload: Workload,
        there: There,
        installation: Installation,
        *,
        surroundings: Surroundings,
        now: datetime.datetime,
        kubectl: str = "kubectl",
    ) -> None:
        """`kubectl`: as commands begin."""
        self.workload = workload
        self.now = now
        self.there = there
        self.installation = installation
        self.quotas = surroundings.quotas
        self.claims = _by_name(surroundings.claims)
        self.budgets = _by_name(surroundings.budgets)
        self.policies = _by_name(surroundings.policies)
        self.pods = pods_of(workload, there)
        self.lease: Lease | None = lease_of(workload, there)
        self.primary: Pod | None = primary_of(workload, there)
        self.kubectl = f"{kubectl} -n {workload.namespace}"
        self.where = f"{workload.namespace}/{workload.name}"

    def cause(self, sentence: str, command: str, *pods: str) -> Cause:
        """Return a cause of this set; `command`: the words after `kubectl -n NAMESPACE`."""
        return Cause(self.where, sentence, f"{self.kubectl} {command}", pods)

    def our_cause(self, sentence: str, words: str, *pods: str) -> Cause:
        """Return a cause that a command of ours cures; `words`: those after `kubectl pgset`."""
        kubectl, _, options = self.kubectl.partition(" ")
        return Cause(self.where, sentence, f"{kubectl} pgset {words} {options}", pods)

    def is_member(self, pod: Pod) -> bool:
        """Whether it is ready, and primary or replica."""
        roles = (self.workload.primary_value, self.workload.replica_value)
        return bool(pod.version) and pod.ready and pod.labels.get(self.workload.role_label) in roles

    def newest(self, kind: str, name: str, component: str, reason: str = "") -> Event | None:
        """Return the newest Event about an object, of the pod's present life."""
        uids = {it.uid for it in self.pods if it.name == name} if kind == "Pod" else set()
        found = [
            it
            for it in self.there.events
            if (it.namespace, it.kind, it.name) == (self.workload.namespace, kind, name)
            and it.component == component
            and (not uids or it.uid in uids)
            and (not reason or it.reason == reason)
        ]
        return _newest(found)

    def warned(self, pod: Pod) -> Event | None:
        """Return what the pod's sidecar has warned of last, unless it has told since that this is
        over, or something else."""
        event = self.newest("Pod", pod.name, contract.SIDECAR_CONTAINER)
        if event is not None and event.reason == contract.PROBLEM_OVER:
            event = self.present(pod)
        return event if event is not None and event.warning else None

    def present(self, pod: Pod) -> Event | None:
        """Return the Event of the situation that the pod is in now; None if that has none.

        A situation that is passed over in silence leaves the Event of the one before as the newest:
        what holds now is what the pod's annotation says. What keeps failing in a situation has
        Events of its own.
        """
        found = [
            it
            for it in self.there.events
            if (it.namespace, it.kind, it.name, it.uid)
            == (self.workload.namespace, "Pod", pod.name, pod.uid)
            and it.component == contract.SIDECAR_CONTAINER
            and not it.reason.endswith((contract.PROBLEM, contract.PROBLEM_OVER))
        ]
        event = _newest(found)
        if event is None or not pod.says or event.message != pod.says[:LONGEST_MESSAGE]:
            return None
        return event


def _by_name(objects: Sequence[Json]) -> dict[str, Json]:
    return {it["metadata"]["name"]: it for it in objects}


def _newest(found: Sequence[Event]) -> Event | None:
    oldest = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)
    # Of two in one second, the one that has passed is the one that warned.
    return max(found, key=lambda it: (it.time or oldest, not it.warning), default=None)
