"""What there is in a namespace, as the caretaker sees it: parsed from the API's JSON, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from sidecar import contract
from sidecar.settings import (
    InvalidSettingError,
    Settings,
    parse_enabled,
    parse_network_policy,
    parse_paused,
)
from webhook import database, profile
from webhook.caretaker import mesh, pod_status, ports
from webhook.caretaker.ports import Port
from webhook.caretaker.selectors import selector_text
from webhook.errors import DeniedError
from webhook.json_patch import Json
from webhook.own_account import DEFAULT_ACCOUNT

MADE_BY: Final = "app.kubernetes.io/managed-by"
CARETAKER: Final = "pgset-caretaker"
"""Label and value on everything that the caretaker makes, and on nothing else."""

BINDING: Final = "pgset-caretaker"
"""The one RoleBinding that the caretaker writes in a namespace. deploy/grant has another name, so
that the caretaker and whoever applies that don't overwrite each other's."""

GRANT_ROLE: Final = "pgset-sidecar"
"""The ClusterRole in deploy/base that sidecars need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A StatefulSet that has opted in, or whose annotations can't be understood."""

    namespace: str
    name: str
    uid: str
    settings: Settings | None
    """None if the annotations are not valid."""
    fault: str = ""
    """Why they are not, as one sentence for the user."""
    service_account: str = DEFAULT_ACCOUNT
    """Of the pods that the present template makes."""
    replicas: int = 1
    """How many members it is to have."""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """In the present template."""
    database_ports: frozenset[int | str] = frozenset({contract.POSTGRES_PORT})
    """By which clients reach PostgreSQL: its own, and a pooler's in the pod; by their numbers and
    their names in the present template."""
    port: int = contract.POSTGRES_PORT
    """Where PostgreSQL listens."""
    other_ports: frozenset[int | str] = frozenset()
    """That containers beside the database's declare, such as a pooler's: by number and name."""
    network_policy: bool = False
    """Whether it asks for a NetworkPolicy."""
    ports: frozenset[Port] = frozenset()
    """That containers declare in the present template."""
    governing_service: str = ""
    """The Service that names its pods (spec.serviceName)."""
    revision: str = ""
    """Of the present template; "" if the controller has not told."""
    rolled: bool = False
    """Whether all its pods are of the present template, as far as the controller has told. Nothing
    is decided by it: when it changes, the caretaker looks at the pods."""
    ordered: bool = False
    """Whether each pod waits for those before it to be ready (OrderedReady)."""
    selector: str = ""
    """Of its pods, as a list request takes it."""
    held_back: bool = False
    """Whether updateStrategy keeps pods of an older template as they are."""
    partition: int = 0
    """Of updateStrategy: pods before this one are made anew as they were."""
    first_ordinal: int = 0
    leaving: bool = False

    @property
    def stamped(self) -> bool:
        """Whether the webhook has put the set's label on the template."""
        return contract.SET_LABEL in self.pod_labels

    @property
    def has_own_account(self) -> bool:
        """Whether the service account is one that is made for this set."""
        return self.service_account == contract.service_account(self.name)

    @property
    def labels_by_role(self) -> list[Mapping[str, str]]:
        """The labels of its pods, without a role and in each."""
        labels = {**self.pod_labels, contract.SET_LABEL: self.name}
        if self.settings is None:
            return [labels]
        key = self.settings.role_label
        values = (self.settings.primary_value, self.settings.replica_value)
        return [labels, *(labels | {key: value} for value in values)]

    @classmethod
    def from_json(cls, statefulset: Json, *, own_accounts: bool = False) -> Self | None:
        """Read a StatefulSet; None if it has not opted in.

        `own_accounts`: whether the webhook gives pods that name no service account the set's own.
        """
        metadata, spec = statefulset["metadata"], statefulset["spec"]
        status = statefulset.get("status") or {}
        annotations = metadata.get("annotations") or {}
        settings, fault, network_policy = None, "", False
        try:
            if not parse_enabled(annotations):
                return None
            parse_paused(annotations)
            network_policy = parse_network_policy(annotations)
            settings = Settings.from_annotations(metadata["name"], annotations)
        except InvalidSettingError as error:
            fault = str(error)
        template = spec["template"]
        found = _database(template.get("spec") or {}, settings, annotations.get(contract.PROFILE))
        known = found.settings if found else settings or Settings(set_name=metadata["name"])
        port = known.postgres_port
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            settings=settings,
            fault=fault,
            service_account=_account_of_pods(statefulset, own=own_accounts),
            replicas=spec.get("replicas", 1),
            pod_labels=(template.get("metadata") or {}).get("labels") or {},
            database_ports=ports.of_database(template.get("spec") or {}, found, port),
            port=port,
            other_ports=ports.of_others(template.get("spec") or {}, found),
            network_policy=network_policy,
            ports=ports.declared(template.get("spec") or {}),
            governing_service=spec.get("serviceName") or "",
            revision=status.get("updateRevision") or "",
            rolled=status.get("updatedReplicas", 0) >= spec.get("replicas", 1),
            ordered=spec.get("podManagementPolicy") != "Parallel",
            selector=selector_text(spec["selector"]),
            held_back=_held_back(spec.get("updateStrategy") or {}),
            partition=_partition(spec.get("updateStrategy") or {}),
            first_ordinal=(spec.get("ordinals") or {}).get("start") or 0,
            leaving="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A pod of a set, with or without a sidecar."""

    name: str
    uid: str
    owner: str
    """Name of the StatefulSet that made it; "" if none did."""
    owner_uid: str = ""
    """Of the same: another one may have got its name since."""
    service_account: str = DEFAULT_ACCOUNT
    stamped: bool = True
    """Whether the webhook had seen its template."""
    has_sidecar: bool = True
    ports: frozenset[Port] = frozenset()
    """That its containers declare."""
    labels: Mapping[str, str] = field(default_factory=dict)
    image_refused: str = ""
    """The sidecar's image, if the kubelet can't pull it."""
    unready_since: float | None = None
    """In seconds since the epoch; None if it is ready."""
    unheard_since: float | None = None
    """Since when its sidecar has run, or failed to, without a word to the API server; None if it
    has said any."""
    does_not_run: str = ""
    """Why its sidecar has to be started again and again, or can't be."""
    proxy_in_the_way: str = ""
    """See `mesh.in_the_way`."""
    leaving: bool = False

    @classmethod
    def from_json(cls, pod: Json) -> Self:
        """Read a Pod."""
        metadata, spec = pod["metadata"], pod["spec"]
        owner = _controller(metadata, "StatefulSet")
        containers = {it["name"] for it in spec.get("initContainers") or []}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            owner=owner.get("name", ""),
            owner_uid=owner.get("uid", ""),
            service_account=_service_account(spec),
            stamped=contract.SET_LABEL in (metadata.get("labels") or {}),
            has_sidecar=contract.SIDECAR_CONTAINER in containers,
            ports=ports.declared(spec),
            labels=metadata.get("labels") or {},
            image_refused=pod_status.image_refused(pod),
            unready_since=pod_status.unready_since(pod),
            unheard_since=pod_status.unheard_since(pod),
            does_not_run=pod_status.does_not_run(pod),
            proxy_in_the_way=mesh.in_the_way(pod),
            leaving="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service, whoever made it."""

    name: str
    selector: Mapping[str, str]
    """Empty if it selects no pods."""
    made_for: str = ""
    """UID of the StatefulSet that owns it; "" if the caretaker did not make it."""
    target_ports: frozenset[int | str] = frozenset({contract.POSTGRES_PORT})
    """Of the pods that it selects: by number or name."""
    selects: str = ""
    """What the user wants it to select: "primary", "replica" or ""."""
    added: str = ""
    """The label key that the webhook added to its selector for that."""
    headless: bool = False
    also_unready: bool = False
    """Whether it leads to unready pods too (publishNotReadyAddresses)."""
    leaving: bool = False

    @classmethod
    def from_json(cls, service: Json) -> Self:
        """Read a Service."""
        metadata, spec = service["metadata"], service["spec"]
        owners = metadata.get("ownerReferences")
        return cls(
            name=metadata["name"],
            # Kubernetes keeps what was the selector before the type was changed to that.
            selector={} if spec.get("type") == "ExternalName" else spec.get("selector") or {},
            made_for=owners[0]["uid"] if owners and _is_ours(metadata) else "",
            target_ports=frozenset(
                it.get("targetPort") or it["port"] for it in spec.get("ports") or []
            ),
            selects=(metadata.get("annotations") or {}).get(contract.SELECTS, ""),
            added=(metadata.get("annotations") or {}).get(contract.SELECTED_BY, ""),
            headless=spec.get("clusterIP") == "None",
            also_unready=bool(spec.get("publishNotReadyAddresses")),
            leaving="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The RoleBinding `BINDING`."""

    uid: str
    resource_version: str
    ours: bool
    """Whether the caretaker made it, and it still refers to that role."""
    accounts: frozenset[str] = frozenset()
    """The service accounts of its own namespace that it binds the role to."""

    @classmethod
    def from_json(cls, binding: Json) -> Self:
        """Read a RoleBinding."""
        metadata, role = binding["metadata"], binding["roleRef"]
        return cls(
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            ours=_is_ours(metadata) and (role["kind"], role["name"]) == ("ClusterRole", GRANT_ROLE),
            accounts=frozenset(
                subject["name"]
                for subject in binding.get("subjects") or []
                if subject["kind"] == "ServiceAccount"
                and subject.get("namespace") == metadata["namespace"]
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A ServiceAccount, whoever made it."""

    name: str
    uid: str
    ours: bool
    """Whether the caretaker made it."""

    @classmethod
    def from_json(cls, account: Json) -> Self:
        """Read a ServiceAccount."""
        metadata = account["metadata"]
        return cls(name=metadata["name"], uid=metadata["uid"], ours=_is_ours(metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A NetworkPolicy or a PodDisruptionBudget, whoever made it."""

    name: str
    uid: str
    resource_version: str
    ours: bool
    """Whether the caretaker made it."""
    owner: str
    """UID of the StatefulSet that owns it; "" if none does."""
    spec: Json

    @classmethod
    def from_json(cls, policy: Json) -> Self:
        """Read a NetworkPolicy or a PodDisruptionBudget."""
        metadata = policy["metadata"]
        owners = metadata.get("ownerReferences") or []
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            ours=_is_ours(metadata),
            owner=next((it["uid"] for it in owners if it["kind"] == "StatefulSet"), ""),
            spec=policy["spec"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """All that is looked at before anything is done in one namespace."""

    name: str
    now: float = 0.0
    """Of the caretaker's clock, in seconds since the epoch."""
    workloads: tuple[Workload, ...] = ()
    members: tuple[Member, ...] = ()
    """Every stamped pod, and those that a held-back set made before it was stamped."""
    services: tuple[Service, ...] = ()
    accounts: tuple[Account, ...] = ()
    policies: tuple[Policy, ...] = ()
    """NetworkPolicies."""
    budgets: tuple[Policy, ...] = ()
    """PodDisruptionBudgets."""
    binding: Binding | None = None
    granted: frozenset[str] = frozenset()
    """Of the service accounts that `grants.needing` names, those that have the sidecars' rights
    already, from whatever binding; not looked up for those in `binding`."""


def _is_ours(metadata: Json) -> bool:
    return (metadata.get("labels") or {}).get(MADE_BY) == CARETAKER


def _service_account(pod_spec: Json) -> str:
    return str(pod_spec.get("serviceAccountName") or DEFAULT_ACCOUNT)


def _account_of_pods(statefulset: Json, *, own: bool) -> str:
    named = _service_account(statefulset["spec"]["template"].get("spec") or {})
    if own and named == DEFAULT_ACCOUNT:
        return contract.service_account(statefulset["metadata"]["name"])
    return named


def _database(
    pod_spec: Json, settings: Settings | None, family: str | None
) -> database.Database | None:
    if settings is None:
        return None
    try:
        return database.find(pod_spec, settings, family if family in profile.NAMES else None)
    except DeniedError:
        return None  # a template that no webhook has seen


def _held_back(strategy: Json) -> bool:
    return strategy.get("type") == "OnDelete" or _partition(strategy) > 0


def _partition(strategy: Json) -> int:
    return (strategy.get("rollingUpdate") or {}).get("partition") or 0


def _controller(metadata: Json, kind: str) -> Json:
    owners = metadata.get("ownerReferences") or []
    return next((it for it in owners if it.get("controller") and it["kind"] == kind), {})
