"""The PodDisruptionBudget of a set: of several members one at a time is evicted.

Without it, draining two nodes at once takes a primary and those that could follow it. A set of one
gets none: a budget would either allow its only member or keep its node from ever being drained.

It is made once all members have the set's label, by which it selects them: while some have, as
where updateStrategy holds the others back, Kubernetes would take those without it for lost, and
evict none of those that have it. One that is there stays: members that come back have the label.

Two budgets for one pod let nobody evict it. So where one of the user's selects any pod of the set,
in any role, none is made, and the caretaker's goes. One that the caretaker has not made is never
changed. In the caretaker's own, how many may go and of which pods is put back; the rest, such as
unhealthyPodEvictionPolicy, is as somebody has set it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from sidecar import contract
from webhook.caretaker.facts import Namespace, Workload
from webhook.caretaker.selectors import selects
from webhook.caretaker.step import MakeBudget, RemoveBudget, Step, tell
from webhook.json_patch import Json

IN_THE_WAY: Final = "DisruptionBudgetInTheWay"
SHRUNK: Final = "ShrunkToOne"
"""The Events' reasons."""

_IN_ITS_PLACE: Final = "minAvailable"
"""The field that the API server takes in place of maxUnavailable, and not beside it."""


def steps(there: Namespace) -> Iterator[Step]:
    """Yield the budgets to write and to delete, and warnings: about one that is in the way, and
    about a set that shrinks to one member."""
    keeping = _keeping(there)
    kept = {contract.disruption_budget(it) for it in keeping}
    for workload in there.workloads:
        if not workload.leaving and workload.settings is not None and workload.name in keeping:
            yield from _of_set(workload, there)
        if workload.replicas == 1 and not workload.leaving and workload.settings is not None:
            yield from _on_shrinking(workload, there)
    for budget in there.budgets:
        if budget.ours and budget.name not in kept:
            yield RemoveBudget(budget=budget)


def _keeping(there: Namespace) -> frozenset[str]:
    """Return the names of the sets whose budget stays if it is there."""
    of_users = (it.spec.get("selector") for it in there.budgets if not it.ours)
    selectors = [it for it in of_users if it is not None]
    of_pods: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    for member in there.members:
        of_pods[member.owner].append(member.labels)

    def keeps(workload: Workload) -> bool:
        if workload.settings is None:
            return True  # What has opted in by annotations that can't be read is not known.
        if workload.replicas <= 1:
            return False
        pods = (*workload.labels_by_role, *of_pods[workload.name])
        return not any(selects(selector, labels) for selector in selectors for labels in pods)

    return frozenset(it.name for it in there.workloads if keeps(it))


def _of_set(workload: Workload, there: Namespace) -> Iterator[Step]:
    name = contract.disruption_budget(workload.name)
    present = next((it for it in there.budgets if it.name == name), None)
    if present is not None and not present.ours:
        yield tell(workload, IN_THE_WAY, _not_ours(workload, name))
        return
    if present is None and not _is_whole(workload, there):
        return
    # As the API server stores it, so that it compares as equal.
    spec: Json = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {contract.SET_LABEL: workload.name}},
    }
    if present is not None:
        spec = {key: it for key, it in present.spec.items() if key != _IN_ITS_PLACE} | spec
    if present is None or (present.owner, present.spec) != (workload.uid, spec):
        yield MakeBudget(name=name, spec=spec, owner=workload, present=present)


def _is_whole(workload: Workload, there: Namespace) -> bool:
    of_set = [it for it in there.members if it.owner_uid == workload.uid]
    return sum(it.stamped and not it.leaving for it in of_set) >= workload.replicas


def _on_shrinking(workload: Workload, there: Namespace) -> Iterator[Step]:
    """While the others' pods are still there: an update of the scale is no update of the set that
    the webhook sees. Once: as they go there are fewer to tell of."""
    members = [it for it in there.members if it.owner_uid == workload.uid and it.has_sidecar]
    if len(members) > 1:
        yield replace(tell(workload, SHRUNK, _shrunk(workload, len(members))), once=True)


def _shrunk(workload: Workload, members: int) -> str:
    return (
        f"this set shrinks from {members} members to one, and then nobody can take over; if that "
        f"is not meant (charts write replicas: 1), scale it back, and have the chart's values say "
        f"so: kubectl -n {workload.namespace} scale statefulset {workload.name} "
        f"--replicas={members}"
    )


def _not_ours(workload: Workload, name: str) -> str:
    return (
        f'PodDisruptionBudget "{name}" is not one that the caretaker has made and does not select '
        f"this set's pods, so a drain may evict them all at once; delete it, and the caretaker "
        f"makes its own: kubectl -n {workload.namespace} delete poddisruptionbudget {name}"
    )
