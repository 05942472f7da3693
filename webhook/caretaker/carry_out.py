"""Carries out steps: Services, accounts, policies, budgets, and a namespace's one RoleBinding."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from sidecar import contract
from webhook import logs
from webhook.caretaker.errors import LookAgainError, RefusedError
from webhook.caretaker.facts import (
    BINDING,
    CARETAKER,
    GRANT_ROLE,
    MADE_BY,
    Binding,
    Policy,
    Workload,
)
from webhook.caretaker.listing import TIMEOUT
from webhook.caretaker.step import (
    Grant,
    MakeAccount,
    MakeBudget,
    MakePolicy,
    MakeService,
    RemoveAccount,
    RemoveBudget,
    RemovePolicy,
)
from webhook.port import service_port

_LABELS: Final = contract.LABELS | {MADE_BY: CARETAKER}

_log = logging.getLogger(__name__)


class Writer:
    """Each method raises LookAgainError, RefusedError or what `look.Look` raises."""

    def __init__(self, api: client.ApiClient) -> None:
        """Take the API client."""
        self._core = client.CoreV1Api(api)
        self._rbac = client.RbacAuthorizationV1Api(api)
        self._networking = client.NetworkingV1Api(api)
        self._policy = client.PolicyV1Api(api)

    def make_service(self, step: MakeService) -> None:
        """Create a Service. Raises LookAgainError if there is one of that name by now."""
        namespace = step.owner.namespace
        with named_errors():
            self._core.create_namespaced_service(
                namespace, _service(step), _request_timeout=TIMEOUT
            )
        _log_done(namespace, f"created Service {step.name}")

    def make_account(self, step: MakeAccount) -> None:
        """Create a ServiceAccount. Raises LookAgainError if there is one of that name by now."""
        namespace = step.owner.namespace
        labels = _LABELS | {contract.SET_LABEL: step.owner.name}
        # Its set's pods get a token by a volume of their own.
        account = {
            "metadata": {"name": step.name, "labels": labels},
            "automountServiceAccountToken": False,
        }
        with named_errors():
            self._core.create_namespaced_service_account(
                namespace, account, _request_timeout=TIMEOUT
            )
        _log_done(namespace, f"created ServiceAccount {step.name}")

    def remove_account(self, namespace: str, step: RemoveAccount) -> None:
        """Delete the ServiceAccount that was decided on."""
        preconditions = client.V1Preconditions(uid=step.account.uid)
        with named_errors():
            self._core.delete_namespaced_service_account(
                step.account.name,
                namespace,
                body=client.V1DeleteOptions(preconditions=preconditions),
                _request_timeout=TIMEOUT,
            )
        gone = f"removed ServiceAccount {step.account.name}: no set needs it any more"
        _log_done(namespace, gone)

    def make_policy(self, step: MakePolicy) -> None:
        """Create the NetworkPolicy, or overwrite the one that was decided on."""
        api = self._networking
        create, replace = (
            api.create_namespaced_network_policy,
            api.replace_namespaced_network_policy,
        )
        _make(step, "NetworkPolicy", create, replace)

    def remove_policy(self, namespace: str, step: RemovePolicy) -> None:
        """Delete the NetworkPolicy that was decided on."""
        delete = self._networking.delete_namespaced_network_policy
        _remove(namespace, step.policy, delete)
        _log_done(namespace, f"removed NetworkPolicy {step.policy.name}: no set asks for it")

    def make_budget(self, step: MakeBudget) -> None:
        """Create the PodDisruptionBudget, or overwrite the one that was decided on."""
        create = self._policy.create_namespaced_pod_disruption_budget
        replace = self._policy.replace_namespaced_pod_disruption_budget
        _make(step, "PodDisruptionBudget", create, replace)

    def remove_budget(self, namespace: str, step: RemoveBudget) -> None:
        """Delete the PodDisruptionBudget that was decided on."""
        delete = self._policy.delete_namespaced_pod_disruption_budget
        _remove(namespace, step.budget, delete)
        gone = f"removed PodDisruptionBudget {step.budget.name}: no set of several needs it"
        _log_done(namespace, gone)

    def grant(self, namespace: str, step: Grant) -> None:
        """Create the RoleBinding, or overwrite or remove the one that was decided on."""
        with named_errors():
            if step.present is None:
                self._rbac.create_namespaced_role_binding(
                    namespace, _binding(namespace, step.accounts), _request_timeout=TIMEOUT
                )
            elif step.accounts:
                self._rbac.replace_namespaced_role_binding(
                    BINDING,
                    namespace,
                    _binding(namespace, step.accounts, step.present.resource_version),
                    _request_timeout=TIMEOUT,
                )
            else:
                self._remove(namespace, step.present)
        named = ", ".join(step.accounts)
        gone = f"removed RoleBinding {BINDING}: no set needs it any more"
        _log_done(namespace, f"granted {GRANT_ROLE} to {named}" if named else gone)

    def _remove(self, namespace: str, present: Binding) -> None:
        preconditions = client.V1Preconditions(
            uid=present.uid, resource_version=present.resource_version
        )
        self._rbac.delete_namespaced_role_binding(
            BINDING,
            namespace,
            body=client.V1DeleteOptions(preconditions=preconditions),
            _request_timeout=TIMEOUT,
        )


@contextmanager
def named_errors() -> Iterator[None]:
    """Raise LookAgainError or RefusedError for what the API server refuses.

    409 is both AlreadyExists and Conflict, 404 what was deleted meanwhile. 403 also comes from a
    quota, and for a namespace that is being deleted.
    """
    try:
        yield
    except ApiException as error:
        if error.status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
            raise LookAgainError(f"somebody else wrote first: {error.reason}") from error
        if error.status in (
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        ):
            raise RefusedError(_said(error)) from error
        raise


def _said(error: ApiException) -> str:
    """Return the message of the API server's Status, or else its whole answer."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.reason}: {error.body}"


def _owned(name: str, owner: Workload) -> dict[str, Any]:
    """Return the metadata of what goes with its StatefulSet."""
    reference = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": owner.name,
        "uid": owner.uid,
    }
    return {
        "name": name,
        "labels": _LABELS | {contract.SET_LABEL: owner.name},
        "ownerReferences": [reference],
    }


def _service(step: MakeService) -> dict[str, Any]:
    return {
        "metadata": _owned(step.name, step.owner),
        "spec": {
            "selector": dict(step.selector),
            "ports": [service_port(step.owner.port)],
            **({"publishNotReadyAddresses": True} if step.also_unready else {}),
        },
    }


def _make(
    step: MakePolicy | MakeBudget,
    kind: str,
    create: Callable[..., Any],
    replace: Callable[..., Any],
) -> None:
    namespace, body = step.owner.namespace, _policy(step)
    with named_errors():
        if step.present is None:
            create(namespace, body, _request_timeout=TIMEOUT)
        else:
            replace(step.name, namespace, body, _request_timeout=TIMEOUT)
    _log_done(namespace, f"{'replaced' if step.present else 'created'} {kind} {step.name}")


def _remove(namespace: str, policy: Policy, delete: Callable[..., Any]) -> None:
    """Have the API server delete nothing but the one that was decided on."""
    decided = client.V1Preconditions(uid=policy.uid, resource_version=policy.resource_version)
    body = client.V1DeleteOptions(preconditions=decided)
    with named_errors():
        delete(policy.name, namespace, body=body, _request_timeout=TIMEOUT)


def _policy(step: MakePolicy | MakeBudget) -> dict[str, Any]:
    version = step.present.resource_version if step.present else None
    metadata = _owned(step.name, step.owner) | {"resourceVersion": version}
    return {"metadata": metadata, "spec": step.spec}


def _binding(
    namespace: str, accounts: tuple[str, ...], resource_version: str | None = None
) -> dict[str, Any]:
    return {
        "metadata": {"name": BINDING, "labels": _LABELS, "resourceVersion": resource_version},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": GRANT_ROLE,
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": account, "namespace": namespace}
            for account in accounts
        ],
    }


def _log_done(namespace: str, what: str) -> None:
    _log.info(what, extra={logs.FIELDS: {"namespace": namespace}})
