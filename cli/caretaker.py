"""What the caretaker has warned of and cannot mend itself. No I/O.

An Event stays for an hour, whatever was done meanwhile, and anybody in the namespace may write one.
So each is told only while what else was read agrees with it, and no command is taken out of it.
What it warns of that shows without its Events is in `services` and `diagnosis`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from cli import quota
from cli.cause import Cause
from cli.facts import Event, Pod
from cli.pod_spec import Json
from cli.seen import Seen
from cli.service import MADE_BY_US
from sidecar import contract

CARETAKER: Final = "pgset-caretaker"
NOT_ACCEPTED: Final = "NotAccepted"
GRANT_MISSING: Final = "GrantMissing"
REFUSED: Final = "Refused"
OTHER_PORT: Final = "ServiceLeadsToAnotherPort"
POLICY_IN_THE_WAY: Final = "NetworkPolicyInTheWay"
BUDGET_IN_THE_WAY: Final = "DisruptionBudgetInTheWay"
SHRUNK_TO_ONE: Final = "ShrunkToOne"
NOT_HEARD: Final = "SidecarNotHeard"
MESH_IN_THE_WAY: Final = "MeshInTheWay"
NOT_REPLACED: Final = "NotReplaced"
"""Its name and its reasons, as `webhook.caretaker` has them."""

LAPSED: Final = 60.0
"""Seconds by this machine's clock, which may be off: so long nobody has renewed the Lease."""


def roots(seen: Seen) -> Iterator[Cause]:
    """Yield what may keep the set from having a leader."""
    yield from _not_accepted(seen)
    if _event(seen, GRANT_MISSING) and _nobody_renews(seen):
        account = seen.workload.service_account or contract.service_account(seen.workload.name)
        subject = f"{seen.workload.namespace}:{account}"
        yield seen.cause(
            f"service account {account} lacks the rights of the sidecars",
            f"create rolebinding {shlex.quote(f'pgset-sidecar-{account}')} "
            f"--clusterrole=pgset-sidecar --serviceaccount={shlex.quote(subject)}",
        )


def causes(seen: Seen) -> Iterator[Cause]:
    """Yield the rest that is about the StatefulSet."""
    yield from _refused(seen)
    yield from _other_port(seen)
    yield from _policy_in_the_way(seen)
    yield from _budget_in_the_way(seen)
    yield from _shrunk_to_one(seen)
    yield from _not_heard(seen)
    yield from _mesh_in_the_way(seen)


def not_replaced(seen: Seen, pod: Pod) -> Cause | None:
    """Return the cause for a pod that waits in vain for the changed template."""
    event = seen.newest("Pod", pod.name, CARETAKER, NOT_REPLACED)
    old = pod.revision != seen.workload.revision
    if event is None or not old or seen.is_member(pod):
        return None
    return seen.cause(
        f"{pod.name} is not ready, and Kubernetes gives it the changed template only when it is: "
        f"{pod.says or 'it has not said anything yet'}",
        f"delete pod {pod.name}",
        pod.name,
    )


def _event(seen: Seen, reason: str) -> Event | None:
    return seen.newest("StatefulSet", seen.workload.name, CARETAKER, reason)


def _not_accepted(seen: Seen) -> Iterator[Cause]:
    """An annotation that came while no webhook answered, as the caretaker has read it."""
    name = seen.workload.name
    event = _event(seen, NOT_ACCEPTED)
    for annotation, value in seen.workload.annotations.items() if event is not None else ():
        ours = annotation.startswith(f"{contract.DOMAIN}/")
        if event is not None and ours and f'{annotation}: "{value}"' in event.message:
            yield seen.cause(
                f"{event.message}: take it off",
                f"annotate statefulset {name} {shlex.quote(annotation)}-",
            )


def _refused(seen: Seen) -> Iterator[Cause]:
    event = _event(seen, REFUSED)
    if event is None or not _lacks_something(seen):
        return
    sentence = f"the API server refuses the caretaker what the set needs: {event.message}"
    found = quota.enough_for(event.message, seen.quotas, 1)
    if found is None:
        yield seen.cause(sentence, f"describe statefulset {seen.workload.name}")
    elif found[1]:
        name, hard = found
        patch = json.dumps({"spec": {"hard": hard}}, separators=(",", ":"))
        yield seen.cause(
            sentence,
            f"patch resourcequota {shlex.quote(name)} --type merge -p {shlex.quote(patch)}",
        )


def _lacks_something(seen: Seen) -> bool:
    """Whether anything is missing that the caretaker makes, as far as that can be read."""
    workload = seen.workload
    services = {it.name for it in seen.there.services if it.namespace == workload.namespace}
    to_replicas = any(
        it.selector.get(workload.role_label) == workload.replica_value
        for it in seen.there.services
        if it.namespace == workload.namespace
    )
    wants_policy = workload.annotations.get(contract.NETWORK_POLICY) == "true"
    return (
        contract.primary_service(workload.name) not in services
        or not (to_replicas or contract.replica_service(workload.name) in services)
        or (wants_policy and contract.network_policy(workload.name) not in seen.policies)
        or (workload.replicas > 1 and contract.disruption_budget(workload.name) not in seen.budgets)
        or _nobody_renews(seen)
    )


def _nobody_renews(seen: Seen) -> bool:
    """Whether the Lease has lapsed. A primary without rights leads on while its members answer."""
    renewed = seen.lease.renewed if seen.lease else None
    lapsed = renewed is None or (seen.now - renewed).total_seconds() > LAPSED
    return seen.primary is None or lapsed


def _other_port(seen: Seen) -> Iterator[Cause]:
    event, name = _event(seen, OTHER_PORT), seen.workload.name
    told = event.time if event is not None else None
    names = (contract.primary_service(name), contract.replica_service(name))
    for service in seen.there.services if told is not None else ():
        ours = service.namespace == seen.workload.namespace and service.name in names
        mended = service.changed is not None and told is not None and service.changed > told
        if ours and service.made_by_us and not mended:
            yield seen.cause(
                f"Service {service.name} leads to another port than PostgreSQL's: delete it, and "
                "the caretaker makes it anew",
                f"delete service {service.name}",
            )


def _policy_in_the_way(seen: Seen) -> Iterator[Cause]:
    workload, asked = seen.workload, contract.NETWORK_POLICY
    if not _event(seen, POLICY_IN_THE_WAY) or workload.annotations.get(asked) != "true":
        return
    name = contract.network_policy(workload.name)
    if name in seen.policies and not _is_ours(seen.policies[name]):
        yield seen.cause(
            f"NetworkPolicy {name} is not the caretaker's own, which has that name: if nobody "
            "needs this one, delete it, and the caretaker makes its own",
            f"delete networkpolicy {name}",
        )
        return
    for other, policy in seen.policies.items():
        if other != name and _selects(policy["spec"].get("podSelector") or {}, seen):
            yield seen.cause(
                f"NetworkPolicy {other} says already who reaches this set's pods, and the one that "
                f"{asked} asks for would open what that one closes: let that one open "
                f"{contract.SIDECAR_PORT} to whom docs/ports.md says, and take the annotation off",
                f"annotate statefulset {workload.name} {asked}-",
            )
            return


def _budget_in_the_way(seen: Seen) -> Iterator[Cause]:
    name = contract.disruption_budget(seen.workload.name)
    budget = seen.budgets.get(name)
    if budget is None or not _event(seen, BUDGET_IN_THE_WAY) or seen.workload.replicas <= 1:
        return
    if not _is_ours(budget) and not _selects(budget["spec"].get("selector") or {}, seen):
        yield seen.cause(
            f"PodDisruptionBudget {name} does not select this set's pods, so a drain may evict "
            "them all at once: delete it, and the caretaker makes its own",
            f"delete poddisruptionbudget {name}",
        )


def _shrunk_to_one(seen: Seen) -> Iterator[Cause]:
    workload, lease = seen.workload, seen.lease
    if not _event(seen, SHRUNK_TO_ONE) or workload.replicas != 1:
        return
    led = (it.pod for it in lease.history) if lease else ()
    known = {*led, *(lease.members if lease else ()), *(it.name for it in seen.pods)}
    before = max(2, *map(workload.place, known))
    yield seen.cause(
        "the set was scaled to one member, and nobody can take over: if that is not meant (charts "
        "write replicas: 1), scale it back, and have the chart's values say so",
        f"scale statefulset {workload.name} --replicas={before}",
    )


def _not_heard(seen: Seen) -> Iterator[Cause]:
    silent = [it for it in seen.pods if it.version and not it.says and not it.leaving]
    for pod in silent if _event(seen, NOT_HEARD) else ():
        yield seen.cause(
            f"the sidecar of {pod.name} runs and says nothing: mostly a NetworkPolicy or a "
            "firewall keeps it from the API server (docs/ports.md says what a set needs); its log "
            "tells why",
            f"logs {pod.name} -c {contract.SIDECAR_CONTAINER}",
            pod.name,
        )


def _mesh_in_the_way(seen: Seen) -> Iterator[Cause]:
    proxied = (it for it in seen.pods if it.proxy and not (it.ready or it.leaving))
    pod = next(proxied, None)
    if pod is not None and _event(seen, MESH_IN_THE_WAY):
        yield seen.cause(
            f"{pod.name} is not ready, and has a service mesh's proxy ({pod.proxy}), which may "
            "keep the kubelet from the sidecar and the members from each other: take the set out "
            "of the mesh, or give its template the annotations that the Event names",
            f"describe statefulset {seen.workload.name}",
            pod.name,
        )


def _is_ours(it: Json) -> bool:
    return MADE_BY_US.items() <= (it["metadata"].get("labels") or {}).items()


def _selects(selector: Json, seen: Seen) -> bool:
    """Whether it selects the set's pods, in any role; where it has expressions, it may."""
    workload = seen.workload
    labels: Mapping[str, str] = {**workload.pod_labels, contract.SET_LABEL: workload.name}
    wanted = (selector.get("matchLabels") or {}).items()
    return all(key == workload.role_label or labels.get(key) == it for key, it in wanted)
