"""The two Services of a set, if the user has none, and those that have become traps.

`<set>-primary` is needed by that name, since members without another address follow the primary by
it. For reads any Service will do that selects the set's replicas: no part of pgset uses one.

A Service from before the set had replicas leads to every member from then on, and most of its
connections can't write. An Event says what to do; whoever owns the Service decides.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from sidecar import contract
from sidecar.contract import POD_INDEX, POD_NAME, primary_service, replica_service
from sidecar.settings import Settings
from webhook.caretaker.facts import Namespace, Service, Workload
from webhook.caretaker.service_index import ServiceIndex
from webhook.caretaker.step import MakeService, Step, Tell, tell
from webhook.port import service_port

IN_THE_WAY: Final = "ServiceInTheWay"
LEADS_NOWHERE: Final = "ServiceLeadsNowhere"
LEADS_TO_ONE_POD: Final = "ServiceLeadsToOnePod"
LEADS_TO_REPLICAS: Final = "ServiceLeadsToReplicas"
NOT_WHEN_UNREADY: Final = "ServiceNotWhenUnready"
OTHER_PORT: Final = "ServiceLeadsToAnotherPort"
"""The Events' reasons."""

MOST_WARNINGS: Final = 10
"""For one set. A thousand Services that select a thousand sets each are a million warnings: more
than the caretaker has memory for."""


def steps(there: Namespace) -> Iterator[Step]:
    """Yield the Services to create, and warnings about those that are in the way."""
    index = ServiceIndex(there.services)
    for workload in there.workloads:
        if workload.settings is not None and not workload.leaving:
            yield from _of_set(workload, workload.settings, index)
            yield from islice(_warnings(workload, workload.settings, index), MOST_WARNINGS)


def _warnings(workload: Workload, settings: Settings, index: ServiceIndex) -> Iterator[Tell]:
    concerning = [it for it in index.concerning(workload) if not it.leaving]
    for service in concerning:
        yield from _warnings_about(service, workload, settings)
    yield from _of_single_pods(concerning, workload, settings)


def unsettled(there: Namespace) -> bool:
    """Whether a Service of the caretaker's is about to go, so that it soon has to be created again.

    That is a Service owned by an earlier StatefulSet with the same name: Kubernetes removes it
    within seconds of that StatefulSet's deletion.
    """
    owners = {
        name(it.name): it.uid
        for it in there.workloads
        for name in (primary_service, replica_service)
    }
    return any(
        it.leaving or it.made_for != owners[it.name]
        for it in there.services
        if it.made_for and it.name in owners
    )


def _of_set(workload: Workload, settings: Settings, index: ServiceIndex) -> Iterator[Step]:
    primary, replica = settings.primary_value, settings.replica_value
    yield from _named(workload, settings, primary, primary_service(workload.name), index)
    if not any(_leads_to(it, workload, settings, replica) for it in index.concerning(workload)):
        name = replica_service(workload.name)
        yield from _named(workload, settings, replica, name, index)


def _named(
    workload: Workload, settings: Settings, role: str, name: str, index: ServiceIndex
) -> Iterator[Step]:
    present = index.named(name)
    if present is None:
        selector = {contract.SET_LABEL: workload.name, settings.role_label: role}
        # For the primary, the role counts for more than a NotReady node: new clients would have
        # nowhere to go, while the old ones go on. Reads from replicas are not worth as much.
        also_unready = role == settings.primary_value
        yield MakeService(name=name, selector=selector, owner=workload, also_unready=also_unready)
    elif not _leads_to(present, workload, settings, role):
        yield tell(workload, IN_THE_WAY, _sentence(workload, settings, role, name))


def _warnings_about(service: Service, workload: Workload, settings: Settings) -> Iterator[Tell]:
    if _leads_to_all(service, workload, settings):
        yield tell(workload, LEADS_TO_REPLICAS, _leads_to_replicas(service, workload, settings))
    elif _has_another_role(service, workload, settings):
        sentence = (
            f'Service "{service.name}" leads nowhere, since the set has another role label or '
            f"other values than its annotations say: "
        )
        command = _annotate(workload, service, settings)
        yield tell(workload, LEADS_NOWHERE, sentence + command)
    ours = service.made_for == workload.uid
    if ours and service.target_ports.isdisjoint(workload.database_ports | workload.other_ports):
        sentence = (
            f'Service "{service.name}" leads to another port than {workload.port}, which is '
            f"PostgreSQL's: "
        )
        command = _patch(workload, service, {"ports": [service_port(workload.port)]})
        yield tell(workload, OTHER_PORT, sentence + command)
    # Those that earlier versions made. What the user has made is as the user wants it.
    of_primary = service.name == primary_service(workload.name)
    if of_primary and ours and not service.also_unready:
        sentence = (
            f'Service "{service.name}" leads nowhere while the primary\'s node is NotReady; '
            f"let the role label alone decide: "
        )
        command = _patch(workload, service, {"publishNotReadyAddresses": True})
        yield tell(workload, NOT_WHEN_UNREADY, sentence + command)


def _of_single_pods(
    services: Iterable[Service], workload: Workload, settings: Settings
) -> Iterator[Tell]:
    """Yield a warning for each Service that leads to one pod, which was the only one until the set
    had replicas. Not where every pod has one: then somebody wants each of them by itself."""
    found = {it.name: it for it in services if _leads_to_one_pod(it, workload, settings)}
    pods = {it.selector.get(POD_NAME) or it.selector.get(POD_INDEX) for it in found.values()}
    if len(pods) >= workload.replicas:
        return
    selector = {contract.SET_LABEL: workload.name, settings.role_label: settings.primary_value}
    for service in found.values():
        rest = {key: None for key in (POD_NAME, POD_INDEX) if key in service.selector}
        command = _patch(workload, service, {"selector": {**rest, **selector}})
        sentence = (
            f'Service "{service.name}" leads to one pod, also while another one is the primary; if '
            f"its clients write, make it select the primary, once all pods have the label "
            f"{settings.role_label}: {command}"
        )
        yield tell(workload, LEADS_TO_ONE_POD, sentence)


def _leads_to_one_pod(service: Service, workload: Workload, settings: Settings) -> bool:
    labels = {**workload.pod_labels, contract.SET_LABEL: workload.name}
    name = service.selector.get(POD_NAME, f"{workload.name}-0")
    own = {it for it in service.selector.items() if it[0] not in (POD_NAME, POD_INDEX)}
    return (
        len(own) < len(service.selector)
        and bool(own or POD_NAME in service.selector)
        and own <= labels.items()
        and name.rpartition("-")[0] == workload.name
        and settings.role_label not in service.selector
        and not (service.target_ports and service.target_ports.isdisjoint(workload.database_ports))
    )


def _leads_to_all(service: Service, workload: Workload, settings: Settings) -> bool:
    """Whether it leads to the database of all the set's pods, whatever their role."""
    labels = {**workload.pod_labels, contract.SET_LABEL: workload.name}
    names_the_pods = service.headless and service.name == workload.governing_service
    # A headless one without a port leads to every port.
    to_the_database = not service.target_ports.isdisjoint(workload.database_ports)
    return (
        bool(service.selector)
        and settings.role_label not in service.selector
        and service.selector.items() <= labels.items()
        and not names_the_pods
        and (to_the_database or not service.target_ports or service.selects in contract.SELECTABLE)
        # These have a warning of their own, that they are in the way.
        and service.name not in (primary_service(workload.name), replica_service(workload.name))
    )


def _leads_to_replicas(service: Service, workload: Workload, settings: Settings) -> str:
    sentence = f'Service "{service.name}" leads to the primary and to read-only replicas alike'
    if service.selects in contract.SELECTABLE:
        sentence += (
            f", since no webhook answered when it was last written; repeat {contract.SELECTS}"
        )
    else:
        sentence += (
            "; if its clients write, make it select the primary alone, once all pods have the "
            f"label {settings.role_label}"
        )
    command = (
        # The webhook refuses these: it does not know whether one names the pods.
        _patch(workload, service, {"selector": {settings.role_label: settings.primary_value}})
        if service.headless
        else _annotate(workload, service, settings)
    )
    return f"{sentence}: {command}"


def _has_another_role(service: Service, workload: Workload, settings: Settings) -> bool:
    """Whether the webhook has added a role to it that no pod of the set ever has."""
    labels = {**workload.pod_labels, contract.SET_LABEL: workload.name}
    own = {key: value for key, value in service.selector.items() if key != service.added}
    return (
        service.selects in contract.SELECTABLE
        and service.added in service.selector
        and own.items() <= labels.items()
        and not any(
            _leads_to(service, workload, settings, role)
            for role in (settings.primary_value, settings.replica_value)
        )
    )


def _annotate(workload: Workload, service: Service, settings: Settings) -> str:
    """Return the command by which the webhook adds the role, however the set names it."""
    wanted = service.selects if service.selects in contract.SELECTABLE else contract.SELECTABLE[0]
    annotations = [f"{contract.SELECTS}={wanted}"]
    usual = Settings(set_name=workload.name)
    for annotation, value, default in (
        (contract.ROLE_LABEL, settings.role_label, usual.role_label),
        (contract.PRIMARY_VALUE, settings.primary_value, usual.primary_value),
        (contract.REPLICA_VALUE, settings.replica_value, usual.replica_value),
    ):
        if value != default:
            annotations.append(f"{annotation}={value}")
        elif service.selects:
            annotations.append(f"{annotation}-")
    return (
        f"kubectl -n {workload.namespace} annotate --overwrite service {service.name} "
        f"{' '.join(annotations)}"
    )


def _patch(workload: Workload, service: Service, change: object) -> str:
    patch = json.dumps({"spec": change}, separators=(",", ":"))
    return f"kubectl -n {workload.namespace} patch service {service.name} --type merge -p '{patch}'"


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
        f'Service "{name}" does not select the set\'s pods with {settings.role_label}: {role}; '
        f"change its selector, or delete it and the caretaker makes the right one: "
        f"kubectl -n {workload.namespace} delete service {name}"
    )
