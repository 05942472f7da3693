"""Ten StatefulSets of PostgreSQL, as charts and blogs write them: from their facts, in our words.

None knows of pgset. Each is made with one member, since that is what these have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from deploy.local import images
from tests.adopt.objects import Manifest, headless, isready, named, service, statefulset

PASSWORD: Final = "adopted"
_USUAL: Final = "/var/lib/postgresql/data"


@dataclass(frozen=True)
class Kind:
    """One kind of StatefulSet; its name is the StatefulSet's."""

    name: str
    shape: str
    """Whose it is, in a few words."""
    objects: tuple[Manifest, ...]
    """The StatefulSet and what comes with it."""
    service: str
    """The Service that clients use."""
    claim: str
    image: images.Image
    container: str = "postgres"
    uid: int = 0
    """Who has to own the volume's folder, as fsGroup would see to where there are real volumes."""
    port: int = 5432
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """What it needs besides the opting in, as a refusal without them says."""
    refused: str = ""
    """A part of the sentence of its refusal; "" if it has to be adopted."""
    always: bool = False
    """Whether `make test` plays it."""


def _password(name: str, key: str = "password") -> Manifest:
    return named("v1", "Secret", name, stringData={key: PASSWORD})


def _from_secret(variable: str, secret: str, key: str = "password") -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _groundhog2k() -> Kind:
    """A read-only root, folders of its own, and probes that begin after ten seconds."""
    name, labels = "groundhog", {"app.kubernetes.io/name": "postgres"}
    labels["app.kubernetes.io/instance"] = name
    image = images.postgres_image()
    secure = {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsGroup": 999,
        "runAsUser": 999,
        "capabilities": {"drop": ["ALL"]},
    }
    times = {"initialDelaySeconds": 10, "timeoutSeconds": 5, "periodSeconds": 10}
    probe = isready(("sh", "-c", "pg_isready -h localhost"), **times)
    own = ("run", "tmp", "scripts", "configs")
    places = {"run": "/var/run", "tmp": "/tmp", "scripts": "/docker-entrypoint-initdb.d"}
    mounts = [{"name": it, "mountPath": places.get(it, "/etc/postgresql")} for it in own]
    pod = {
        "serviceAccountName": "default",
        "securityContext": {"fsGroup": 999, "supplementalGroups": [999]},
        "initContainers": [
            {
                "name": "postgres-init",
                "image": image.reference,
                "command": ["sh", "-c", "cp -r /scripts/. /configs/"],
                "securityContext": secure,
                "volumeMounts": [
                    {"name": "scripts", "mountPath": "/scripts"},
                    {"name": "configs", "mountPath": "/configs"},
                ],
            }
        ],
        "containers": [
            {
                "name": "postgres",
                "image": image.reference,
                "securityContext": secure,
                "ports": [{"name": "postgres", "containerPort": 5432}],
                "env": [
                    _from_secret("POSTGRES_PASSWORD", name, "POSTGRES_PASSWORD"),
                    {"name": "PGDATA", "value": f"{_USUAL}/pg"},
                ],
                "startupProbe": {**probe, "failureThreshold": 30},
                "livenessProbe": {**probe, "failureThreshold": 3},
                "readinessProbe": {**probe, "failureThreshold": 3},
                "volumeMounts": [*mounts, {"name": "postgres-data", "mountPath": _USUAL}],
            }
        ],
        "volumes": [{"name": it, "emptyDir": {}} for it in own],
    }
    return Kind(
        name=name,
        shape="groundhog2k's chart: probes from 10 s on, read-only root, /var/run of its own",
        objects=(
            _password(name, "POSTGRES_PASSWORD"),
            service(name, labels, "postgres"),
            statefulset(name, labels, pod, claim="postgres-data", policy="OrderedReady"),
        ),
        service=name,
        claim="postgres-data",
        image=image,
        uid=999,
        labels=labels,
        always=True,
    )


def _cloudpirates() -> Kind:
    """Both configuration files in a ConfigMap, and probes that begin after half a minute."""
    name, labels = "cloudpirates", {"app.kubernetes.io/name": "postgres"}
    labels["app.kubernetes.io/instance"] = name
    image = images.postgres_image("17")
    command = "pg_isready -U postgres -d postgres -h 127.0.0.1 -p 5432"
    times = {"initialDelaySeconds": 30, "timeoutSeconds": 5, "periodSeconds": 10}
    probe = isready(("/bin/bash", "-c", command), **times)
    files = {
        "postgresql.conf": (
            "listen_addresses = '*'\nmax_connections = 100\nshared_buffers = 128MB\n"
            "work_mem = 4MB\nlogging_collector = off\nlog_min_messages = warning\n"
            "hba_file = '/etc/postgresql/pg_hba.conf'\n"
        ),
        "pg_hba.conf": (
            "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n"
            "host all all all md5\n"
        ),
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"fsGroup": 999},
        "terminationGracePeriodSeconds": 30,
        "containers": [
            {
                "name": "postgres",
                "image": image.reference,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "runAsNonRoot": True,
                    "runAsUser": 999,
                    "runAsGroup": 999,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "args": ["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"],
                "env": [
                    {"name": "PGDATA", "value": f"{_USUAL}/pgdata"},
                    _from_secret("POSTGRES_PASSWORD", name, "postgres-password"),
                ],
                "ports": [{"name": "postgresql", "containerPort": 5432}],
                "startupProbe": {**probe, "failureThreshold": 15},
                "livenessProbe": {**probe, "failureThreshold": 6},
                "readinessProbe": {**probe, "failureThreshold": 6},
                "volumeMounts": [
                    {"name": "data", "mountPath": _USUAL},
                    {"name": "config", "mountPath": "/etc/postgresql"},
                    {"name": "run", "mountPath": "/var/run/postgresql"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": name, "optional": True}},
            {"name": "run", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return Kind(
        name=name,
        shape="CloudPirates' chart: configuration files in a ConfigMap, probes from 30 s on",
        objects=(
            _password(name, "postgres-password"),
            named("v1", "ConfigMap", name, data=files),
            service(name, labels, "postgresql"),
            headless(f"{name}-headless", labels),
            statefulset(name, labels, pod, claim="data", governing=f"{name}-headless"),
        ),
        service=name,
        claim="data",
        image=image,
        uid=999,
        labels=labels,
        always=True,
    )


def _plain(
    name: str,
    shape: str,
    image: images.Image,
    *,
    database: Mapping[str, Any] = MappingProxyType({}),
    pod: Mapping[str, Any] = MappingProxyType({}),
    mount: str = _USUAL,
    variables: tuple[Manifest, ...] = (),
    password: Manifest | None = None,
    policy: str | None = None,
    port: int = 5432,
    **more: Any,
) -> Kind:
    """Return what most manifests are: one container, one volume, a Service, a Secret.

    `database` and `pod` are further fields of the container and of its pod.
    """
    labels = {"app": name}
    container = {
        "name": "postgres",
        "image": image.reference,
        "ports": [{"containerPort": port}],
        "env": [password or _from_secret("POSTGRES_PASSWORD", name), *variables],
        "volumeMounts": [{"name": "data", "mountPath": mount}],
    }
    for key, value in database.items():
        container[key] = [*container[key], *value] if key in container else value
    containers = [container, *pod.get("containers", ())]
    others = more.pop("others", ())
    return Kind(
        name=name,
        shape=shape,
        objects=(
            _password(name),
            service(name, labels, port),
            *others,
            statefulset(
                name, labels, {**pod, "containers": containers}, claim="data", policy=policy
            ),
        ),
        service=name,
        claim="data",
        image=image,
        port=port,
        labels=labels,
        **more,
    )


_FOLDER: Final = {"name": "PGDATA", "value": f"{_USUAL}/pgdata"}


def _others() -> tuple[Kind, ...]:
    official, alpine = images.postgres_image(), images.stand_in("alpine")
    ready = isready(("pg_isready", "-U", "postgres"), initialDelaySeconds=5, periodSeconds=10)
    tuned = ("max_connections=200", "shared_buffers=64MB", "wal_level=logical", "jit=off")
    metrics = {
        "name": "metrics",
        "image": official.reference,
        "command": [
            "sh",
            "-c",
            "while sleep 5; do psql -h localhost -U postgres -c 'select 1'; done",
        ],
        "env": [_from_secret("PGPASSWORD", "exporter")],
    }
    file = {"name": "POSTGRES_PASSWORD_FILE", "value": "/etc/secrets/password"}
    secret = {"name": "secret", "secret": {"secretName": "password-file"}}
    return (
        _plain(
            "blog",
            "a blog's manifest: one container, its data in a folder of the volume, no probes",
            official,
            variables=(_FOLDER,),
        ),
        _plain(
            "tuned",
            "a manifest with its settings in args, pods made at once, probes from 5 s on",
            images.postgres_image("17"),
            variables=(_FOLDER,),
            database={
                "args": [word for it in tuned for word in ("-c", it)],
                "readinessProbe": ready,
                "livenessProbe": ready,
            },
            policy="Parallel",
        ),
        _plain(
            "port",
            "a manifest with PGPORT, and a Service that leads there",
            official,
            variables=(_FOLDER, {"name": "PGPORT", "value": "5433"}),
            port=5433,
        ),
        _plain(
            "alpine",
            "an image on Alpine with uid 70",
            alpine,
            variables=(_FOLDER,),
            pod={"securityContext": {"runAsUser": 70, "runAsGroup": 70, "fsGroup": 70}},
            uid=70,
        ),
        _plain(
            "exporter",
            "postgres beside an exporter, with a service account of its own",
            official,
            variables=(_FOLDER,),
            pod={"serviceAccountName": "exporter", "containers": [metrics]},
            others=(named("v1", "ServiceAccount", "exporter"),),
            annotations={"pgset.dev/container": "postgres"},
        ),
        _plain(
            "eighteen",
            "postgres:18 with its volume where that version has it",
            images.postgres_image("18"),
            mount="/var/lib/postgresql",
            policy="OrderedReady",
        ),
        _plain(
            "password-file",
            "a password that comes from a file",
            official,
            variables=(_FOLDER,),
            password=file,
            database={"volumeMounts": [{"name": "secret", "mountPath": "/etc/secrets"}]},
            pod={"volumes": [secret]},
        ),
    )


def _repmgr() -> Kind:
    """Another manager of the same database. Its image is not here, and so its pod never starts."""
    elsewhere = replace(images.postgres_image(), reference="docker.io/bitnami/postgresql-repmgr:16")
    found = _plain(
        "repmgr",
        "Bitnami's chart postgresql-ha: repmgr manages the same database",
        elsewhere,
        refused="repmgr",
    )
    return replace(found, image=images.postgres_image(), always=True)


KINDS: Final = {it.name: it for it in (_groundhog2k(), _cloudpirates(), *_others(), _repmgr())}
