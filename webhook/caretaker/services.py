"""The two Services of a set, where the user has none.

`<set>-primary` is needed by that name, since members without another address follow the primary by
it. For reads any Service does that selects the set's replicas: nobody of ours asks for one.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from sidecar import contract
from sidecar.settings import Settings
from webhook.caretaker.facts import Namespace, Service, Workload
from webhook.caretaker.step import MakeService, Step, tell

IN_THE_WAY: Final = "ServiceInTheWay"
"""The Event's reason."""


def steps(there: Namespace) -> Iterator[Step]:
    """Yield the Services to make, and what is to be told of those that are in the way."""
    for workload in there.workloads:
        if workload.settings is not None and not workload.leaving:
            yield from _of_set(workload, workload.settings, there.services)


def unsettled(there: Namespace) -> bool:
    """Whether a Service of the caretaker's is about to go, so that another soon has to be made.

    Such is one that goes with a StatefulSet of before, of a set's name: Kubernetes removes it
    within seconds of that one's deletion.
    """
    owners = {
        name(it.name): it.uid
        for it in there.workloads
        for name in (contract.primary_service, contract.replica_service)
    }
    return any(
        it.leaving or it.made_for != owners[it.name]
        for it in there.services
        if it.made_for and it.name in owners
    )


def _of_set(
    workload: Workload, settings: Settings, services: tuple[Service, ...]
) -> Iterator[Step]:
    primary, replica = settings.primary_value, settings.replica_value
    yield from _named(
        workload, settings, primary, contract.primary_service(workload.name), services
    )
    if not any(_leads_to(it, workload, settings, replica) for it in services):
        name = contract.replica_service(workload.name)
        yield from _named(workload, settings, replica, name, services)


def _named(
    workload: Workload, settings: Settings, role: str, name: str, services: tuple[Service, ...]
) -> Iterator[Step]:
    present = next((it for it in services if it.name == name), None)
    if present is None:
        selector = {contract.SET_LABEL: workload.name, settings.role_label: role}
        yield MakeService(name=name, selector=selector, owner=workload)
    elif not _leads_to(present, workload, settings, role):
        yield tell(workload, IN_THE_WAY, _sentence(workload, settings, role, name))


def _leads_to(service: Service, workload: Workload, settings: Settings, role: str) -> bool:
    """Whether it selects the role, and nothing else that the set's pods don't have."""
    labels: Mapping[str, str] = {
        **workload.pod_labels,
        contract.SET_LABEL: workload.name,
        settings.role_label: role,
    }
    return (
        service.selector.get(settings.role_label) == role
        and service.selector.items() <= labels.items()
    )


def _sentence(workload: Workload, settings: Settings, role: str, name: str) -> str:
    return (
        f'Service "{name}" does not lead to the set\'s pods with {settings.role_label}: {role}; '
        f"let it select them, or delete it and another one is made: "
        f"kubectl -n {workload.namespace} delete service {name}"
    )
