"""Services of a set that lead where they should not. No I/O."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from cli import defaults
from cli.cause import Cause
from cli.seen import Seen
from cli.service import Service
from cli.view import is_to_database
from sidecar import contract
from sidecar.contract import POD_INDEX, POD_NAME


def causes(seen: Seen) -> Iterator[Cause]:
    """Yield what is wrong with the Services of the set's namespace."""
    workload = seen.workload
    yield from _of_single_pods(seen)
    for service in seen.there.services:
        if service.namespace != workload.namespace:
            continue
        if service.name == contract.primary_service(workload.name):
            if service.selector.get(workload.role_label) != workload.primary_value:
                yield _in_the_way(seen, service, "primary")
            elif service.made_by_us and not service.also_unready:
                patch = shlex.quote('{"spec":{"publishNotReadyAddresses":true}}')
                yield seen.cause(
                    f"Service {service.name}, of an earlier version, leads nowhere while the "
                    "primary's node is NotReady: let the role alone decide",
                    f"patch service {service.name} --type merge -p {patch}",
                )
        elif service.name == contract.replica_service(workload.name) and not _reads(seen):
            yield _in_the_way(seen, service, "replica")
        elif _leads_to_all(seen, service):
            yield seen.cause(
                f"Service {service.name} leads to the primary and to read-only replicas alike: "
                "if its clients write, make it select the primary alone",
                _role_alone(seen, service, "primary"),
            )
        elif _leads_nowhere(seen, service):
            yield seen.cause(
                f"Service {service.name} leads nowhere, since no pod of the set ever has the role "
                "that it selects: make it select the primary alone",
                _role_alone(seen, service, "primary"),
            )


def _in_the_way(seen: Seen, service: Service, role: str) -> Cause:
    what = f"Service {service.name} does not select the {role} by its role"
    if service.selector and _others(seen, service).items() <= _labels(seen).items():
        return seen.cause(f"{what}: let it", _role_alone(seen, service, role))
    why = (
        "replicas follow, and clients find, the primary by this one"
        if role == "primary"
        else "readers find the replicas by this one"
    )
    return seen.cause(
        f"{what}, and no pod of the set either: what it is for needs another name, since {why}",
        f"describe service {service.name}",
    )


def _reads(seen: Seen) -> bool:
    """Whether any Service leads to the set's replicas."""
    role = {seen.workload.role_label: seen.workload.replica_value}
    return any(
        it.namespace == seen.workload.namespace
        and role.items() <= it.selector.items() <= {**_labels(seen), **role}.items()
        for it in seen.there.services
    )


def _leads_to_all(seen: Seen, service: Service) -> bool:
    workload = seen.workload
    return bool(
        # A set of one has no replica that could be taken for the primary.
        (workload.replicas > 1 or len(seen.pods) > 1)
        and service.selector
        and service.name != contract.replica_service(workload.name)
        and workload.role_label not in service.selector
        and service.selector.items() <= _labels(seen).items()
        and is_to_database(service, workload, seen.there)
        and not _names_the_pods(seen, service)
    )


def _of_single_pods(seen: Seen) -> Iterator[Cause]:
    """Yield those that lead to one pod each, unless every pod has one."""
    workload = seen.workload
    found = [it for it in seen.there.services if _leads_to_one_pod(seen, it)]
    if len({it.selector.get(POD_NAME, it.selector.get(POD_INDEX)) for it in found}) >= (
        workload.replicas
    ):
        return
    for service in found:
        rest = {key: None for key in (POD_NAME, POD_INDEX) if key in service.selector}
        role = {contract.SET_LABEL: workload.name, workload.role_label: workload.primary_value}
        patch = json.dumps({"spec": {"selector": {**rest, **role}}}, separators=(",", ":"))
        yield seen.cause(
            f"Service {service.name} leads to one pod, also while another one is the primary: if "
            "its clients write, make it select the primary",
            f"patch service {service.name} --type merge -p {shlex.quote(patch)}",
        )


def _leads_to_one_pod(seen: Seen, service: Service) -> bool:
    workload = seen.workload
    own = {it for it in service.selector.items() if it[0] not in (POD_NAME, POD_INDEX)}
    name = service.selector.get(POD_NAME, f"{workload.name}-0")
    return bool(
        service.namespace == workload.namespace
        and len(own) < len(service.selector)
        and (own or POD_NAME in service.selector)
        and own <= _labels(seen).items()
        and name.rpartition("-")[0] == workload.name
        and workload.role_label not in service.selector
        and is_to_database(service, workload, seen.there)
    )


def _leads_nowhere(seen: Seen, service: Service) -> bool:
    """Whether it selects the set's pods, and of these a role that none of them ever has."""
    workload = seen.workload
    others = _others(seen, service)
    # A key that the webhook has added for a role label that is not the set's.
    foreign = service.selects in contract.SELECTABLE and others.pop(service.added, None) is not None
    roles = (workload.primary_value, workload.replica_value)
    role = service.selector.get(workload.role_label)
    return bool(
        others
        and others.items() <= _labels(seen).items()
        and (foreign or (role is not None and role not in roles))
        and is_to_database(service, workload, seen.there)
        and not _names_the_pods(seen, service)
    )


def _names_the_pods(seen: Seen, service: Service) -> bool:
    return service.headless and service.name == seen.workload.governing_service


def _labels(seen: Seen) -> dict[str, str]:
    return {**seen.workload.pod_labels, contract.SET_LABEL: seen.workload.name}


def _others(seen: Seen, service: Service) -> dict[str, str]:
    """Return what it selects by beside the role."""
    role_label = seen.workload.role_label
    return {key: it for key, it in service.selector.items() if key != role_label}


def _role_alone(seen: Seen, service: Service, role: str) -> str:
    """Return the command by which it selects one role, as the caretaker's Event has it."""
    workload = seen.workload
    own_role = workload.role_label in service.selector and service.added != workload.role_label
    if service.headless or own_role:
        # The webhook refuses these: it does not know whether a headless one names the pods, nor
        # what the user's own role is for.
        value = {"primary": workload.primary_value, "replica": workload.replica_value}[role]
        change = {"spec": {"selector": {workload.role_label: value}}}
        patch = json.dumps(change, separators=(",", ":"))
        return f"patch service {service.name} --type merge -p {shlex.quote(patch)}"
    wanted = [f"{contract.SELECTS}={role}"]
    for annotation, value, default in (
        (contract.ROLE_LABEL, workload.role_label, defaults.ROLE_LABEL),
        (contract.PRIMARY_VALUE, workload.primary_value, defaults.PRIMARY_VALUE),
        (contract.REPLICA_VALUE, workload.replica_value, defaults.REPLICA_VALUE),
    ):
        if value != default:
            wanted.append(shlex.quote(f"{annotation}={value}"))
        elif service.selects:
            wanted.append(f"{annotation}-")
    return f"annotate --overwrite service {service.name} {' '.join(wanted)}"
