"""What there is, by requests to the API server: StatefulSets everywhere, the rest where sets are.

Answers are read as JSON: as the client library's models, a whole cluster's StatefulSets would cost
many times their memory, for some ten fields.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from kubernetes import client

from sidecar import contract
from webhook.caretaker import grants
from webhook.caretaker.everywhere import Everywhere, Kind, Lists
from webhook.caretaker.facts import (
    BINDING,
    CARETAKER,
    MADE_BY,
    Account,
    Binding,
    Member,
    Namespace,
    Policy,
    Service,
    Workload,
)
from webhook.caretaker.footprint import Room
from webhook.caretaker.listing import TIMEOUT, events, items, pages
from webhook.json_patch import Json


class Look:
    """Each method raises ApiException or urllib3's HTTPError if something can't be read."""

    def __init__(self, api: client.ApiClient) -> None:
        """Take the API client."""
        self._apps = client.AppsV1Api(api)
        self._core = core = client.CoreV1Api(api)
        self._rbac = rbac = client.RbacAuthorizationV1Api(api)
        self._networking = networking = client.NetworkingV1Api(api)
        self._policy = policy = client.PolicyV1Api(api)
        self._authorization = client.AuthorizationV1Api(api)
        self._kinds: Final = {
            Kind.MEMBERS: Lists(
                Member.from_json,
                core.list_namespaced_pod,
                core.list_pod_for_all_namespaces,
                {"label_selector": contract.SET_LABEL},
            ),
            Kind.SERVICES: Lists(
                Service.from_json,
                core.list_namespaced_service,
                core.list_service_for_all_namespaces,
            ),
            Kind.ACCOUNTS: Lists(
                Account.from_json,
                core.list_namespaced_service_account,
                core.list_service_account_for_all_namespaces,
            ),
            Kind.POLICIES: Lists(
                Policy.from_json,
                networking.list_namespaced_network_policy,
                networking.list_network_policy_for_all_namespaces,
            ),
            Kind.BUDGETS: Lists(
                Policy.from_json,
                policy.list_namespaced_pod_disruption_budget,
                policy.list_pod_disruption_budget_for_all_namespaces,
            ),
            Kind.BINDINGS: Lists(
                Binding.from_json,
                rbac.list_namespaced_role_binding,
                rbac.list_role_binding_for_all_namespaces,
                {"field_selector": f"metadata.name={BINDING}"},
            ),
        }

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
            for it in items(request, label_selector=f"{MADE_BY}={CARETAKER}")
        }

    def everywhere(self, names: Collection[str]) -> Everywhere:
        """Return what there is in all these namespaces, from lists of the whole cluster."""
        return Everywhere.read(self._kinds, names)

    def namespace(
        self, name: str, workloads: tuple[Workload, ...], known: Everywhere | None = None
    ) -> Namespace:
        """Return what there is in a namespace with these opted-in StatefulSets.

        `known`: what need not be asked for. Raises TooMuchError as well, where it takes too much
        memory.
        """
        found = {it: known.take(name, it) if known else None for it in self._kinds}
        facts: dict[Kind, Iterable[Any]] = {
            kind: self._of(kind, name) if it is None else it for kind, it in found.items()
        }
        room = Room()
        there = Namespace(
            name=name,
            now=time.time(),
            workloads=tuple(room.take(workloads)),
            members=tuple(room.take(chain(facts[Kind.MEMBERS], self._of_before(name, workloads)))),
            services=tuple(room.take(facts[Kind.SERVICES])),
            accounts=tuple(room.take(facts[Kind.ACCOUNTS])),
            policies=tuple(room.take(facts[Kind.POLICIES])),
            budgets=tuple(room.take(facts[Kind.BUDGETS])),
            binding=next(iter(facts[Kind.BINDINGS]), None),
        )
        return self._with_grants(there)

    def _of(self, kind: Kind, namespace: str) -> Iterator[Any]:
        it = self._kinds[kind]
        return map(it.read, items(it.in_namespace, namespace=namespace, **it.selector))

    def _of_before(self, namespace: str, workloads: Iterable[Workload]) -> Iterator[Member]:
        """Yield pods made before the stamp. A rolling update replaces them."""
        for it in workloads:
            if it.held_back and it.stamped:
                selector = f"{it.selector},!{contract.SET_LABEL}"
                found = items(
                    self._core.list_namespaced_pod, namespace=namespace, label_selector=selector
                )
                yield from map(Member.from_json, found)

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
