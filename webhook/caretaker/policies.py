"""The NetworkPolicy of a set that asks for one: the sidecars' port is for few, the others for all.

Policies add up: what one selects is closed but for what any of them opens. So the ports that
containers declare are opened one by one, from the template and from the pods that there are: other
webhooks add containers, and a change of the template reaches the pods later. And where a policy of
the user's selects the pods already, none is made: it would open what that one closes.

What somebody changes by hand is put back, since it can't be told from what an earlier template
asked for. A policy that the caretaker has not made is left alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sidecar import contract
from webhook.caretaker.facts import Namespace, Policy, Workload
from webhook.caretaker.ports import Port
from webhook.caretaker.selectors import selects
from webhook.caretaker.step import MakePolicy, RemovePolicy, Step, tell
from webhook.json_patch import Json

IN_THE_WAY: Final = "NetworkPolicyInTheWay"
"""The Event's reason."""


def steps(there: Namespace) -> Iterator[Step]:
    """Yield the policies to write and to delete, and warnings about those that are in the way."""
    for workload in there.workloads:
        if workload.network_policy and not workload.leaving:
            yield from _of_set(workload, there)
    # What a set asks for whose annotations can't be read is not known.
    kept = {
        contract.network_policy(it.name)
        for it in there.workloads
        if it.network_policy or it.settings is None
    }
    for policy in there.policies:
        if policy.ours and policy.name not in kept:
            yield RemovePolicy(policy=policy)


def _of_set(workload: Workload, there: Namespace) -> Iterator[Step]:
    if workload.settings is None:
        return
    name = contract.network_policy(workload.name)
    present = next((it for it in there.policies if it.name == name), None)
    if present is not None and not present.ours:
        yield tell(workload, IN_THE_WAY, _not_ours(workload, name))
        return
    pods = workload.labels_by_role
    closing = (it.name for it in there.policies if it.name != name and _closes(it, pods))
    other = next(closing, None)
    if other is not None:
        yield tell(workload, IN_THE_WAY, _beside(workload, other))
    of_pods = (it.ports for it in there.members if it.owner == workload.name)
    spec = _spec(workload, workload.ports.union(*of_pods))
    # One that is there stays as it should be: clients may rely on what it opens.
    if present is None and other is not None:
        return
    if present is None or (present.owner, present.spec) != (workload.uid, spec):
        yield MakePolicy(name=name, spec=spec, owner=workload, present=present)


def _spec(workload: Workload, declared: frozenset[Port]) -> Json:
    """Return the policy's spec as the API server stores it, so that it compares as equal."""
    of_set = {"matchLabels": {contract.SET_LABEL: workload.name}}
    scrapes = {"matchLabels": {contract.SCRAPES: "true"}}
    for_all = {it for it in declared if it[1] != contract.SIDECAR_PORT}
    for_all.add(("TCP", workload.port))
    return {
        "podSelector": of_set,
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [_port(it) for it in sorted(for_all)]},
            {
                "ports": [_port(("TCP", contract.SIDECAR_PORT))],
                "from": [
                    {"podSelector": of_set},
                    {"podSelector": scrapes},
                    {"namespaceSelector": scrapes},
                ],
            },
        ],
    }


def _port(port: Port) -> Json:
    protocol, number = port
    return {"protocol": protocol, "port": number}


def _closes(policy: Policy, pods: Iterable[Mapping[str, str]]) -> bool:
    """Whether it says who reaches pods with any of these labels."""
    of_ingress = "Ingress" in (policy.spec.get("policyTypes") or ["Ingress"])
    selector = policy.spec.get("podSelector") or {}
    return of_ingress and any(selects(selector, it) for it in pods)


def _not_ours(workload: Workload, name: str) -> str:
    return (
        f'NetworkPolicy "{name}" is not one that the caretaker has made, so it stays as it is; '
        f"take {contract.NETWORK_POLICY} away, or delete it and the caretaker makes its own: "
        f"kubectl -n {workload.namespace} delete networkpolicy {name}"
    )


def _beside(workload: Workload, other: str) -> str:
    return (
        f'NetworkPolicy "{other}" says already who reaches this set\'s pods, and the one that '
        f"{contract.NETWORK_POLICY} asks for would open to everybody what it closes: delete that "
        f"one, or have it open {contract.SIDECAR_PORT} to whom docs/ports.md says and take the "
        f"annotation away: kubectl -n {workload.namespace} annotate statefulset {workload.name} "
        f"{contract.NETWORK_POLICY}-"
    )
