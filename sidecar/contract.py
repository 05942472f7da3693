"""The names that users, the webhook and the sidecar share, each in one place.

Annotations stand on the user's StatefulSet and are copied to its pod template; what each
of them may hold is in `sidecar.settings`.
"""

from __future__ import annotations

import functools
import re
from typing import Final

VERSION: Final = "0.2.0"

DOMAIN: Final = "pgset.dev"

LABELS: Final = {"app.kubernetes.io/name": "pgset", "app.kubernetes.io/part-of": "pgset"}
"""Kubernetes' recommended labels, on each object of pgset's that is made at run time."""

# ── On the StatefulSet ────────────────────────────────────────────────────────────────────

ENABLED: Final = f"{DOMAIN}/enabled"
"""Annotation. "true" opts the StatefulSet in; "false" or no annotation leaves it alone."""

CONTAINER: Final = f"{DOMAIN}/container"
"""Annotation. The container that runs PostgreSQL; needed where the pod has several."""

ROLE_LABEL: Final = f"{DOMAIN}/role-label"
"""Annotation. The label key that Services select the role by, instead of `pgset.dev/role`."""

PRIMARY_VALUE: Final = f"{DOMAIN}/primary-value"
"""Annotation. The role label's value on the primary, instead of "primary"."""

REPLICA_VALUE: Final = f"{DOMAIN}/replica-value"
"""Annotation. The role label's value on a replica, instead of "replica"."""

DURABILITY: Final = f"{DOMAIN}/durability"
"""Annotation. What an acknowledged commit survives: "async", "sync",
"sync-strict" or "quorum"."""

TTL: Final = f"{DOMAIN}/ttl"
"""Annotation. How long the Lease is valid without renewal, such as "10s"."""

RENEW_INTERVAL: Final = f"{DOMAIN}/renew-interval"
"""Annotation. How often the primary renews the Lease, such as "2s"."""

MAX_LAG: Final = f"{DOMAIN}/max-lag"
"""Annotation. How far a replica may be behind and still serve reads or take over: "16MB"."""

UID: Final = f"{DOMAIN}/uid"
"""Annotation. The uid PostgreSQL runs as, where the image is neither official nor told by
runAsUser."""

PORT: Final = f"{DOMAIN}/port"
"""Annotation. PostgreSQL's port, where it is not 5432 and the template does not tell it."""

PROFILE: Final = f"{DOMAIN}/profile"
"""Annotation. The family of images that the database's belongs to, where its name does not tell."""

PROBES: Final = f"{DOMAIN}/probes"
"""Annotation. "keep": the database container's own readinessProbe stays, however slow it is."""

SIDECAR_RESOURCES: Final = f"{DOMAIN}/sidecar-resources"
"""Annotation. The sidecar's requests and limits: "requests.cpu=50m,limits.memory=256Mi"."""

PAUSED: Final = f"{DOMAIN}/paused"
"""Annotation. "true": nobody takes over and nothing is handed over until it is "false" or gone. A
state and no setting: sidecars read it from the StatefulSet, and it rolls no pod."""

NETWORK_POLICY: Final = f"{DOMAIN}/network-policy"
"""Annotation. "true": the caretaker makes a NetworkPolicy that closes the sidecars' port to all but
the set's own pods and what is labelled `pgset.dev/scrapes`. A state, too: it rolls no pod."""

OPTED_IN_BY: Final = f"{DOMAIN}/opted-in-by"
"""Annotation, by the webhook. "template": the others were copied from the pod template's."""

# ── On the pods ───────────────────────────────────────────────────────────────────────────

SET_LABEL: Final = f"{DOMAIN}/set"
"""Label on the pod template and so on every pod (and on the Lease): the StatefulSet's name.
It is the stamp by which the API server picks the pods that the webhook sees."""

MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of a pod that only shows what a kubelet runs by itself. Whoever may create pods may
give it to one, and nobody may later."""

MOST_PODS: Final = 1000
"""Of a set, that are looked for. Whoever may scale it can ask for two thousand million."""

POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
"""Labels that the StatefulSet controller gives each pod: a Service selects one pod by them."""

FIRST_ORDINAL: Final = f"{DOMAIN}/first-ordinal"
"""Annotation on the pod template: the StatefulSet's `spec.ordinals.start`, where not 0."""

INJECTED: Final = f"{DOMAIN}/injected"
"""Annotation on the pod: the version of the webhook that injected the sidecar."""

SIGNS: Final = f"{DOMAIN}/signs"
"""Annotation on the pod, with the value "scrypt": its sidecar signs what it tells other members, by
a key that is made so. Where it is missing, the pod was made by version 0.2.0 or before."""

SIGNS_BY: Final = "scrypt"

STATUS: Final = f"{DOMAIN}/status"
"""Annotation on the pod: one sentence of the sidecar about its member."""

FENCED: Final = f"{DOMAIN}/fenced"
"""Annotation on the pod, by an operator. "true": its PostgreSQL is stopped, and stays so, until the
annotation is another or gone, or the pod is made anew. Version 0.2.0 does not know it."""

REINIT: Final = f"{DOMAIN}/reinit"
"""Annotation on the pod, by an operator: its replica is to be cloned again, once for each value.
What was there before the sidecar started is of the past. Version 0.2.0 does not know it."""

FAILOVER: Final = f"{DOMAIN}/failover"
"""Annotation on the pod, by an operator: its member is to lead, whatever rows others may have that
it lacks. The value is the Lease's resourceVersion, so that it is void once anybody has written that
Lease. What was there before the sidecar started is of the past. Version 0.2.0 does not know it."""

NOFAILOVER: Final = f"{DOMAIN}/nofailover"
"""Annotation on the pod, by an operator, by Patroni's name. "true": its member does not take the
Lease while others are on record. It goes with the pod. Version 0.2.0 does not know it."""

FAILOVER_PRIORITY: Final = f"{DOMAIN}/failover-priority"
"""Annotation on the pod, likewise. From 0 to 1000, by default 1: of members with the same data the
one with the greater takes over. 0 is as `NOFAILOVER`."""

DEFAULT_FAILOVER_PRIORITY: Final = 1
MAX_FAILOVER_PRIORITY: Final = 1000

DEFAULT_ROLE_LABEL: Final = f"{DOMAIN}/role"

STATEFULSET_ANNOTATIONS: Final = (
    ENABLED,
    CONTAINER,
    ROLE_LABEL,
    PRIMARY_VALUE,
    REPLICA_VALUE,
    DURABILITY,
    TTL,
    RENEW_INTERVAL,
    MAX_LAG,
    UID,
    PORT,
    PROFILE,
    PROBES,
    SIDECAR_RESOURCES,
    PAUSED,
    NETWORK_POLICY,
)
"""Every annotation of ours that a user may put on a StatefulSet."""

STATES: Final = (PAUSED, NETWORK_POLICY)
"""Those of them that say how things stand and not how the pods are made."""

SCRAPES: Final = f"{DOMAIN}/scrapes"
"""Label on a namespace, or on pods of the set's own one. "true": they reach the sidecars' port in
spite of the set's NetworkPolicy."""

# ── On a Service ──────────────────────────────────────────────────────────────────────────

SELECTS: Final = f"{DOMAIN}/selects"
"""Annotation. "primary" or "replica": the webhook adds the role to the Service's selector, by
`ROLE_LABEL`, `PRIMARY_VALUE` and `REPLICA_VALUE` where the Service has these as well."""

SELECTABLE: Final = ("primary", "replica")
"""What it may be, whatever the role label's values are."""

SELECTED_BY: Final = f"{DOMAIN}/selected-by"
"""Annotation, by the webhook. The label key that it added, and takes away with `SELECTS`."""

# ── On the Lease ──────────────────────────────────────────────────────────────────────────

SYSTEM_IDENTIFIER: Final = f"{DOMAIN}/system-identifier"
"""Annotation on the Lease: PostgreSQL's system identifier of this set, once it has data."""

TIMELINE: Final = f"{DOMAIN}/timeline"
"""Annotation on the Lease: the newest timeline that a primary of this set has led on."""

MEMBERS: Final = f"{DOMAIN}/members"
"""Annotation on the Lease: the pods that may take over, separated by commas."""

LIVES: Final = f"{DOMAIN}/lives"
"""Annotation on the Lease: the members' pods that the holder knows, each "name_uid", separated by
commas. A pod that was made anew may not take a Lease that ran out before its holder knew of it."""

HISTORY: Final = f"{DOMAIN}/history"
"""Annotation on the Lease: the last changes of the primary, one "timeline pod time" each,
separated by commas."""

POSITION: Final = f"{DOMAIN}/position"
"""Annotation on the Lease: the primary's newest WAL position when it renewed, in bytes."""

IN_SYNC: Final = f"{DOMAIN}/in-sync"
"""Annotation on the Lease: the voters, separated by commas. Every acknowledged commit is on at
least `pgset.dev/copies` of them. Absent with durability async."""

COPIES: Final = f"{DOMAIN}/copies"
"""Annotation on the Lease: on how many of the voters an acknowledged commit is at least."""

LOGICAL_SLOTS: Final = f"{DOMAIN}/logical-slots"
"""Annotation on the Lease: the primary's logical replication slots, separated by commas. The next
primary tells which of them it lacks."""

PHYSICAL_SLOTS: Final = f"{DOMAIN}/physical-slots"
"""Annotation on the Lease: likewise, those physical ones that are no member's."""

FOLLOWERS: Final = f"{DOMAIN}/followers"
"""Annotation on the Lease: the holder's term, and the members that stream from it, separated by
commas: name, newest WAL flushed and replayed (bytes), and by how many seconds that was late."""

HEIR: Final = f"{DOMAIN}/heir"
"""Annotation on the Lease: the pod that the holder hands over to, while it does."""

SWITCHOVER_TO: Final = f"{DOMAIN}/switchover-to"
"""Annotation on the Lease, by an operator: the pod that is to lead. The holder carries the wish
out or refuses it with an Event, and takes it away."""


def failover_priority(text: str) -> int | None:
    """Return what `FAILOVER_PRIORITY` says; None if that is no number from 0 to the greatest."""
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > MAX_FAILOVER_PRIORITY:
        return None
    return int(text)


def lease_name(set_name: str) -> str:
    """Return the name of a set's Lease."""
    return f"pgset-{set_name}"


@functools.cache
def slot_name(member: str) -> str:
    """Return the name of a member's replication slot, at most 63 characters of [a-z0-9_].

    A pod's name is at most 63 characters; members of one set differ in what comes last.
    """
    prefix = "pgset_"
    return prefix + re.sub(r"[.-]", "_", member)[-(63 - len(prefix)) :]


def primary_service(set_name: str) -> str:
    """Return the Service that replicas follow and writers connect to."""
    return f"{set_name}-primary"


def replica_service(set_name: str) -> str:
    """Return the Service that readers connect to, where the user has no other."""
    return f"{set_name}-replica"


def service_account(set_name: str) -> str:
    """Return the service account of pods whose template names none."""
    return f"{set_name}-pgset"


def network_policy(set_name: str) -> str:
    """Return the NetworkPolicy of a set that asks for one."""
    return f"{set_name}-pgset"


def disruption_budget(set_name: str) -> str:
    """Return the PodDisruptionBudget of a set of several members."""
    return f"{set_name}-pgset"


# ── Inside the pod ────────────────────────────────────────────────────────────────────────

SIDECAR_CONTAINER: Final = "pgset-sidecar"
BOOTSTRAP_CONTAINER: Final = "pgset-bootstrap"

REPLICATION_ROLE: Final = "pgset_replication"
"""The role by which members replicate. The primary gives it a password that is made of the
superuser's, as its own pod has that."""

PROBLEM: Final = "Problem"
"""What the reason of an Event ends with that warns of what keeps failing in a situation."""

PROBLEM_OVER: Final = "ProblemOver"
"""The reason of the Event that ends such a warning: nobody could tell else that it is of the past.
Versions up to 0.2.0 have none."""

SIDECAR_PORT: Final = 8008
"""The sidecar's HTTP port, Patroni's, whose paths and codes it shares."""

POSTGRES_PORT: Final = 5432
"""The Services' port, and PostgreSQL's own unless a set has another."""

MAX_PORT: Final = 65535

OLDEST_POSTGRES: Final = 14
"""Older servers lack functions and parameters that pgset uses, and have no support any more."""
NEWEST_POSTGRES: Final = 18
"""Nobody has seen yet what a newer one makes of it."""

HANDSHAKE_VOLUME: Final = "pgset-handshake"
HANDSHAKE_DIRECTORY: Final = "/run/pgset"
"""Where sidecar and bootstrap leave each other messages (an emptyDir in memory)."""

BOOTSTRAP_SCRIPT: Final = f"{HANDSHAKE_DIRECTORY}/bootstrap.sh"
"""The sidecar puts the script here before its startup probe succeeds, and so before the
bootstrap container starts; the two are therefore always of one version."""

TOKEN_VOLUME: Final = "pgset-token"  # noqa: S105 - a volume's name
TOKEN_DIRECTORY: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path

CREDENTIALS: Final = "POSTGRES_"
"""How the names of the variables begin that the sidecar reads of the database container's."""

ENV_POD_NAME: Final = "PGSET_POD_NAME"
ENV_POD_UID: Final = "PGSET_POD_UID"
ENV_POD_NAMESPACE: Final = "PGSET_POD_NAMESPACE"
ENV_POD_IP: Final = "PGSET_POD_IP"
"""The pod's own facts, given by the downward API."""
