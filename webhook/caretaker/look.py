"""What there is, by requests to the API server: StatefulSets everywhere, the rest where sets are.

Answers are read as JSON: as the client library's models, a whole cluster's StatefulSets would cost
many times their memory, for some ten fields.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from kubernetes import client

from sidecar import contract
from webhook.caretaker import grants
from webhook.caretaker.facts import (
    BINDING,
    CARETAKER,
    MADE_BY,
    Account,
    Binding,
    Json,
    Member,
    Namespace,
    Policy,
    Service,
    Workload,
)
from webhook.caretaker.footprint import Room
from webhook.caretaker.listing import TIMEOUT, events, pages


class Look:
    """Each method raises ApiException or urllib3's HTTPError if something can't be read."""

    def __init__(self, api: client.ApiClient) -> None:
        """Take the API client."""
        self._apps = client.AppsV1Api(api)
        self._core = client.CoreV1Api(api)
        self._rbac = client.RbacAuthorizationV1Api(api)
        self._networking = client.NetworkingV1Api(api)
        self._policy = client.PolicyV1Api(api)
        self._authorization = client.AuthorizationV1Api(api)

    def workloads(self, read: Callable[[Json], Workload | None]) -> tuple[list[Workload], str]:
        """Return what `read` makes of all StatefulSets, and the resource version to watch from."""
        found, version = [], ""
        for page in pages(self._apps.list_stateful_set_for_all_namespaces):
            version = version or page["metadata"]["resourceVersion"]
            found += [it for it in map(read, page["items"]) if it is not None]
        return found, version

    def changes(self, resource_version: str, seconds: int) -> Iterator[tuple[bool, Json]]:
        """Yield (whether it still exists, StatefulSet) for each change, for that long."""
        request = self._apps.list_stateful_set_for_all_namespaces
        for event in events(request, resource_version, seconds):
            yield event["type"] != "DELETED", event["object"]

    def tended_namespaces(self) -> set[str]:
        """Return the namespaces in which there is something that the caretaker has to take away."""
        requests = (
            self._rbac.list_role_binding_for_all_namespaces,
            self._core.list_service_account_for_all_namespaces,
            self._networking.list_network_policy_for_all_namespaces,
            self._policy.list_pod_disruption_budget_for_all_namespaces,
        )
        return {
            it["metadata"]["namespace"]
            for request in requests
            for it in _items(request, label_selector=f"{MADE_BY}={CARETAKER}")
        }

    def namespace(self, name: str, workloads: tuple[Workload, ...]) -> Namespace:
        """Return what there is in a namespace with these opted-in StatefulSets.

        Raises TooMuchError as well, where that takes too much memory.
        """
        room = Room()
        listed = _items(self._core.list_namespaced_service, namespace=name)
        accounts = _items(self._core.list_namespaced_service_account, namespace=name)
        policies = _items(self._networking.list_namespaced_network_policy, namespace=name)
        budgets = _items(self._policy.list_namespaced_pod_disruption_budget, namespace=name)
        there = Namespace(
            name=name,
            now=time.time(),
            workloads=tuple(room.take(workloads)),
            members=tuple(room.take(self._members(name, workloads))),
            services=tuple(room.take(Service.from_json(it) for it in listed)),
            accounts=tuple(room.take(Account.from_json(it) for it in accounts)),
            policies=tuple(room.take(Policy.from_json(it) for it in policies)),
            budgets=tuple(room.take(Policy.from_json(it) for it in budgets)),
            binding=self._binding(name),
        )
        return self._with_grants(there)

    def _members(self, namespace: str, workloads: Iterable[Workload]) -> Iterator[Member]:
        selectors = [contract.SET_LABEL]
        # Pods made before the stamp don't have the label. A rolling update replaces them.
        selectors += [
            f"{it.selector},!{contract.SET_LABEL}"
            for it in workloads
            if it.held_back and it.stamped
        ]
        for selector in selectors:
            found = _items(
                self._core.list_namespaced_pod, namespace=namespace, label_selector=selector
            )
            yield from (Member.from_json(it) for it in found)

    def _binding(self, namespace: str) -> Binding | None:
        found = _items(
            self._rbac.list_namespaced_role_binding,
            namespace=namespace,
            field_selector=f"metadata.name={BINDING}",
        )
        return next((Binding.from_json(it) for it in found), None)

    def _with_grants(self, there: Namespace) -> Namespace:
        bound = there.binding.accounts if there.binding and there.binding.ours else frozenset()
        asked = grants.needing(there) - bound
        granted = frozenset(it for it in asked if self._is_granted(there.name, it))
        return replace(there, granted=granted)

    def _is_granted(self, namespace: str, account: str) -> bool:
        """Whether the account has the mark of the sidecars' role, from whatever binding."""
        review = client.V1SubjectAccessReview(
            spec=client.V1SubjectAccessReviewSpec(
                user=f"system:serviceaccount:{namespace}:{account}",
                groups=[
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{namespace}",
                    "system:authenticated",
                ],
                resource_attributes=client.V1ResourceAttributes(
                    namespace=namespace, group=contract.DOMAIN, resource="sidecars", verb="be"
                ),
            )
        )
        answer = self._authorization.create_subject_access_review(review, _request_timeout=TIMEOUT)
        return bool(answer.status.allowed)


def _items(request: Callable[..., Any], **arguments: str) -> Iterator[Json]:
    for page in pages(request, **arguments):
        yield from page["items"]
