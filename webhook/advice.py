"""Warnings in the response for a StatefulSet: what is allowed but will hurt.

One line each, of at most 120 characters (`review.MAX_WARNING`). They are given for the
StatefulSet, since a pod's warnings would reach only the StatefulSet controller.
"""

from collections.abc import Callable
from typing import Final

from sidecar import contract
from webhook import image_data, port, server_checks, update_strategy, volume_checks
from webhook.database import Database
from webhook.image_data import PASSWORD_VARIABLES
from webhook.injection import is_late
from webhook.json_patch import Json
from webhook.neighbours import a_mesh_may_be_in_the_way, may_bring_files, needs_token
from webhook.options import Options
from webhook.profile import OFFICIAL

HAND_OVER_SECONDS: Final = 10
"""A deleted primary serves for one more second, writes a checkpoint for up to five, and stops."""

INIT_SCRIPTS: Final = "/docker-entrypoint-initdb.d"

AT_ONCE: Final = {"periodSeconds": 1}
"""A readinessProbe that is soon enough, in place of none."""


def warnings(statefulset: Json, database: Database) -> tuple[str, ...]:
    """Return the warnings for an opted-in StatefulSet."""
    return tuple(text for text, applies in ADVICE if applies(statefulset, database))


def _ordered_ready(statefulset: Json, _: Database) -> bool:
    return bool(statefulset["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")


def _single_replica(statefulset: Json, _: Database) -> bool:
    return bool(statefulset["spec"].get("replicas", 1) == 1)


def _waits_for_the_only_other(statefulset: Json, database: Database) -> bool:
    few = statefulset["spec"].get("replicas", 1) <= 2  # noqa: PLR2004 - one standby at the most
    return bool(few and database.settings.durability in ("quorum", "sync-strict"))


def _short_grace(statefulset: Json, _: Database) -> bool:
    spec = statefulset["spec"]["template"]["spec"]
    return bool(spec.get("terminationGracePeriodSeconds", 30) < HAND_OVER_SECONDS)


def _deletes_volumes(statefulset: Json, _: Database) -> bool:
    policy = statefulset["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return bool(policy.get("whenScaled") == "Delete")


def _begins_with_copies(statefulset: Json, _: Database) -> bool:
    claims = statefulset["spec"].get("volumeClaimTemplates") or []
    specs = [claim.get("spec") or {} for claim in claims]
    copied = any(spec.get("dataSource") or spec.get("dataSourceRef") for spec in specs)
    return copied and statefulset["spec"].get("replicas", 1) > 1


def _one_volume_for_all(statefulset: Json, database: Database) -> bool:
    """With more than one replica it is refused."""
    shared = volume_checks.shared_volume(statefulset, database)
    return _single_replica(statefulset, database) and shared is not None


def _mount_in_the_data(_: Json, database: Database) -> bool:
    directory = image_data.data_directory(database)
    return directory is not None and bool(image_data.mounts_in(database, directory))


def _other_hba_file(_: Json, database: Database) -> bool:
    file = database.line.parameters.get("hba_file")
    directory = image_data.data_directory(database)
    return file is not None and not (directory and image_data.is_under(file, directory))


def _unsafe(_: Json, database: Database) -> bool:
    parameters = database.line.parameters
    return any(server_checks.is_off(parameters, name) for name in ("fsync", "full_page_writes"))


def _waits_for_strangers(_: Json, database: Database) -> bool:
    names = database.line.parameters.get("synchronous_standby_names", "").strip("'")
    return bool(names and names != "*") and database.settings.durability == "async"


def _changes_owners(statefulset: Json, database: Database) -> bool:
    pod = statefulset["spec"]["template"]["spec"].get("securityContext") or {}
    own = database.container.get("securityContext") or {}
    as_root = not own.get("runAsUser", pod.get("runAsUser"))
    return as_root and database.line.changes_owners


def _liveness_probe(_: Json, database: Database) -> bool:
    return "livenessProbe" in database.container


def _startup_probe(_: Json, database: Database) -> bool:
    return "startupProbe" in database.container


def _restarts_otherwise(_: Json, database: Database) -> bool:
    return not {"restartPolicy", "restartPolicyRules"}.isdisjoint(database.container)


def _post_start(statefulset: Json, _: Database) -> bool:
    """The kubelet does nothing else for a pod while such a hook of any container runs."""
    containers = statefulset["spec"]["template"]["spec"]["containers"]
    return any("postStart" in (container.get("lifecycle") or {}) for container in containers)


def _late_readiness(_: Json, database: Database) -> bool:
    return is_late(database.container.get("readinessProbe") or AT_ONCE)


def _readiness_replaced(statefulset: Json, database: Database) -> bool:
    return _late_readiness(statefulset, database) and not _keeps(statefulset)


def _readiness_kept(statefulset: Json, database: Database) -> bool:
    return _late_readiness(statefulset, database) and _keeps(statefulset)


def _keeps(statefulset: Json) -> bool:
    annotations = statefulset["metadata"].get("annotations") or {}
    return Options.from_annotations(annotations).keeps_readiness


def _pre_stop(_: Json, database: Database) -> bool:
    return "preStop" in (database.container.get("lifecycle") or {})


def _no_password(_: Json, database: Database) -> bool:
    names = {variable["name"] for variable in database.container.get("env") or []}
    from_elsewhere = bool(database.container.get("envFrom"))
    return not from_elsewhere and names.isdisjoint(database.profile.password_variables)


def _no_replication_password(_: Json, database: Database) -> bool:
    """It lets everybody in without one, or the one that it has is empty."""
    names = {variable["name"] for variable in database.container.get("env") or []}
    needed = set(PASSWORD_VARIABLES)
    empty = database.environment.literal(PASSWORD_VARIABLES[0]) == ""
    from_elsewhere = bool(database.container.get("envFrom") or database.profile.renamed)
    return not from_elsewhere and (
        (names.isdisjoint(needed) and not names.isdisjoint(database.profile.password_variables))
        or (empty and names & needed == {PASSWORD_VARIABLES[0]})
    )


def _service_of_libpq(_: Json, database: Database) -> bool:
    return any(it["name"] == "PGSERVICE" for it in database.container.get("env") or [])


def _start_script(_: Json, database: Database) -> bool:
    return database.is_replaced


def _token_for_all(statefulset: Json, _: Database) -> bool:
    spec = statefulset["spec"]["template"]["spec"]
    return bool(spec.get("automountServiceAccountToken"))


def _token_taken_away(statefulset: Json, _: Database) -> bool:
    template = statefulset["spec"]["template"]
    spec = template["spec"]
    containers = spec["containers"] + (spec.get("initContainers") or [])
    unset = spec.get("automountServiceAccountToken") is None
    return len(containers) > 1 and unset and not needs_token(template.get("metadata") or {})


def _token_for_injector(statefulset: Json, _: Database) -> bool:
    template = statefulset["spec"]["template"]
    unset = template["spec"].get("automountServiceAccountToken") is None
    return unset and needs_token(template.get("metadata") or {})


def _secret_for_later(statefulset: Json, database: Database) -> bool:
    files = image_data.secret_files(database).values()
    brought = may_bring_files(statefulset["spec"]["template"].get("metadata") or {})
    return brought and any(image_data.mount_of(database, path) is None for path in files)


def _mesh(statefulset: Json, database: Database) -> bool:
    template = statefulset["spec"]["template"]
    return a_mesh_may_be_in_the_way(template, database.settings.postgres_port)


def _declares_another_port(_: Json, database: Database) -> bool:
    declared = port.declared(database.container)
    return declared is not None and declared != database.settings.postgres_port


def _init_scripts(_: Json, database: Database) -> bool:
    return any(image_data.is_under(m["mountPath"], INIT_SCRIPTS) for m in database.mounts)


_Applies = Callable[[Json, Database], bool]

ADVICE: Final[tuple[tuple[str, _Applies], ...]] = (
    (
        "OrderedReady: if pod 0 loses its volume, pods that have data are not created; use "
        "Parallel, and back up the Lease",
        _ordered_ready,
    ),
    (
        "replicas: 1 leaves no member to take over; a replicated set needs at least 2",
        _single_replica,
    ),
    (
        "durability quorum or sync-strict with fewer than 3 replicas: writes stop when one member "
        "is down",
        _waits_for_the_only_other,
    ),
    (
        "terminationGracePeriodSeconds under 10 may kill a primary before it has handed over",
        _short_grace,
    ),
    (
        "updateStrategy OnDelete: pods get the sidecar, or lose it, only when you delete them",
        update_strategy.is_on_delete,
    ),
    (
        "updateStrategy partition: pods below it do not get the sidecar, or lose it, even when you "
        "delete them",
        update_strategy.has_partition,
    ),
    (
        "updateStrategy maxUnavailable: a roll takes down several members at once, those that "
        "could take over among them",
        update_strategy.rolls_several,
    ),
    (
        "whenScaled: Delete: a member that is scaled away loses its volume, with rows that no "
        "other has; scaled to 0, all do",
        _deletes_volumes,
    ),
    (
        "each volume begins as a copy of one dataSource: if several were written to since, opt "
        "in with one replica and one volume",
        _begins_with_copies,
    ),
    (
        "the database container has no persistent volume: its data is lost with the pod",
        volume_checks.has_no_persistent_volume,
    ),
    (
        "the data's volume would be the same for all pods, and one alone could use it: this set "
        "can't be scaled",
        _one_volume_for_all,
    ),
    (
        "the data is on a hostPath: a pod that comes to another node finds none, and two on one "
        "node have the same",
        volume_checks.is_on_the_node,
    ),
    (
        "a volume is mounted inside PGDATA: a member that diverges can't be rewound or cloned anew "
        "by itself",
        _mount_in_the_data,
    ),
    (
        "hba_file is in the arguments: that file needs the lines for pgset_replication, or "
        "replicas are not let in",
        _other_hba_file,
    ),
    (
        "fsync or full_page_writes is off in the arguments: a node that crashes may damage the "
        "data, and rows are lost",
        _unsafe,
    ),
    (
        "synchronous_standby_names is in the arguments: commits hang unless it names the pods, or "
        "is '*'",
        _waits_for_strangers,
    ),
    (
        "the shell's chown also runs in bootstrap, which is not root then: it must not end the "
        "script",
        _changes_owners,
    ),
    (
        "the database container's livenessProbe is replaced by the sidecar's watchdog",
        _liveness_probe,
    ),
    (
        "the database container's startupProbe is removed: the watchdog would wait for it at "
        "each start",
        _startup_probe,
    ),
    (
        "the database container's restartPolicy and restartPolicyRules are removed: it restarts "
        "whenever it ends",
        _restarts_otherwise,
    ),
    (
        "a postStart hook holds up the watchdog and readiness, on read-only members too: keep it "
        "within a second, without SQL",
        _post_start,
    ),
    (
        "the readinessProbe is replaced by a faster one, for a primary that is back; "
        f"{contract.PROBES}: keep keeps yours",
        _readiness_replaced,
    ),
    (
        "the readinessProbe is kept: a primary that is back gets no clients until this probe looks",
        _readiness_kept,
    ),
    (
        "the database container's own preStop is kept; without pgset's, a switchover takes longer",
        _pre_stop,
    ),
    (
        f"the database container sets neither {OFFICIAL.password_variables[0]} nor "
        f"{OFFICIAL.password_variables[1]}; a new database needs one of them",
        _no_password,
    ),
    (
        f"no replica can join without {PASSWORD_VARIABLES[0]}, the same as in the database: the "
        "members' own is derived from it",
        _no_replication_password,
    ),
    (
        "PGSERVICE is meant for clients, but a standby's connection obeys it as well: take it out "
        "of the environment",
        _service_of_libpq,
    ),
    (
        "postgres is started in place of the image's own start script: what that does at each "
        "start is not done",
        _start_script,
    ),
    (
        "automountServiceAccountToken: true gives every container the sidecar's API rights",
        _token_for_all,
    ),
    (
        "only the sidecar gets an API token now; automountServiceAccountToken: true gives one to "
        "all containers",
        _token_taken_away,
    ),
    (
        "the template asks for an injector that logs in by the API token: every container has one, "
        "with the sidecar's rights",
        _token_for_injector,
    ),
    (
        "the password's file is on no volume: an injector must bring it before pgset's webhook and "
        "init containers",
        _secret_for_later,
    ),
    (
        "a mesh's proxy is asked for: PostgreSQL's port and 8008 both ways, and 443 outbound, must "
        "not go by it",
        _mesh,
    ),
    (
        "the container's port by PostgreSQL's name is not where pgset expects it; if that is "
        f"right, set {contract.PORT}",
        _declares_another_port,
    ),
    (
        "init scripts run with another PGDATA: let them use $PGDATA and no path of their own",
        _init_scripts,
    ),
)
"""Each warning, with the function that says whether it applies."""
