"""What a user may set on a set: read from annotations, carried in the sidecar's environment.

`Settings.from_annotations` is the only place where a user's text is judged, and
`to_environment` / `from_environment` are each other's inverse, so that the webhook and the
sidecar cannot understand a setting differently.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from sidecar import contract

DURABILITIES: Final = ("async", "sync", "sync-strict", "quorum")
"""What an acknowledged commit survives. `async`: the loss of any standby. `sync`: the loss of all
members but one that is recorded as in sync; with no standby left it goes on alone, and records
that first. `sync-strict`: the same, but it waits. `quorum`: the loss of any minority."""


class InvalidSettingError(ValueError):
    """An annotation that the user has to change. The message is one sentence for that user."""

    def __init__(self, annotation: str, value: str, allowed: str) -> None:
        """Say which annotation, its value, and what is allowed instead."""
        super().__init__(f'annotation {annotation}: "{value}" is not allowed; {allowed}')
        self.annotation = annotation
        self.value = value
        self.allowed = allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One set's settings. Times are in seconds, sizes in bytes."""

    set_name: str
    role_label: str = contract.DEFAULT_ROLE_LABEL
    primary_value: str = "primary"
    replica_value: str = "replica"
    container: str | None = None
    """The database container; None where the pod has one container only."""
    durability: str = "async"
    ttl: int = 10
    """A Lease nobody renewed for this long may be taken by another member. 10 s: three missed
    renewals and the time to stop PostgreSQL; Patroni's default is 30."""
    renew_interval: int = 2
    """At least 8 s shorter than the ttl, and at most a quarter of it; see `watchdog`."""
    max_lag: int = 16 * 2**20
    """One WAL segment. Patroni's maximum_lag_on_failover is 1 MB, which a burst of writes passes
    at once; here the limit also decides who serves reads."""
    uid: int | None = None
    """PostgreSQL's uid where the user said so; else runAsUser, else `DEFAULT_UID`."""
    port: int | None = None
    """PostgreSQL's where the user said so; else what the template tells; else `POSTGRES_PORT`."""
    first_ordinal: int = 0

    @classmethod
    def from_annotations(cls, set_name: str, annotations: Mapping[str, str]) -> Self:
        """Read a StatefulSet's or a pod's annotations; others than ours are passed over.

        Raises InvalidSettingError for the first annotation that cannot be accepted.
        """
        _check_set_name(set_name)
        values: dict[str, Any] = {
            field: parse(annotation, annotations[annotation])
            for annotation, (field, parse) in _READERS.items()
            if annotation in annotations
        }
        settings = cls(set_name=set_name, **values)
        settings._check_together(annotations)
        return settings

    def _check_together(self, annotations: Mapping[str, str]) -> None:
        if self.primary_value == self.replica_value:
            at_fault = (
                contract.REPLICA_VALUE
                if contract.REPLICA_VALUE in annotations
                else contract.PRIMARY_VALUE
            )
            raise InvalidSettingError(
                at_fault,
                annotations[at_fault],
                "primary-value and replica-value must differ",
            )
        if self.ttl < MIN_TTL_RENEWALS * self.renew_interval:
            at_fault = contract.TTL if contract.TTL in annotations else contract.RENEW_INTERVAL
            raise InvalidSettingError(
                at_fault,
                annotations[at_fault],
                f"ttl ({self.ttl}s) must be at least {MIN_TTL_RENEWALS} times "
                f"renew-interval ({self.renew_interval}s)",
            )
        if self.ttl < self.renew_interval + WATCHDOG_SECONDS:
            at_fault = contract.TTL if contract.TTL in annotations else contract.RENEW_INTERVAL
            raise InvalidSettingError(
                at_fault,
                annotations[at_fault],
                f"ttl ({self.ttl}s) must be at least {WATCHDOG_SECONDS}s longer than "
                f"renew-interval ({self.renew_interval}s), in which the kubelet stops the "
                "PostgreSQL of a frozen sidecar",
            )

    @property
    def postgres_port(self) -> int:
        """Where PostgreSQL listens."""
        return self.port or contract.POSTGRES_PORT

    def to_environment(self) -> dict[str, str]:
        """Return these settings as environment variables, absent ones left out."""
        return {
            _environment_name(field.name): str(value)
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read back what `to_environment` gave; KeyError where a variable was lost."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            name = _environment_name(field.name)
            if field.name in _OPTIONAL_FIELDS and name not in environment:
                continue
            text = environment[name]
            values[field.name] = int(text) if field.name in _INTEGER_FIELDS else text
        return cls(**values)


MIN_TTL_RENEWALS: Final = 4
"""A Lease must outlast three lost renewals and leave one interval to fence in."""

WATCHDOG_SECONDS: Final = 8
"""The shortest that the watchdog can be: three probes a second apart, the last of which takes a
second to fail, three seconds to stop PostgreSQL, and one for a loop or a kubelet that is late."""

MAX_SET_NAME: Final = 63 - len("-primary")
"""`<set>-primary` is a Service, whose name is a DNS label."""

MIN_TTL, MAX_TTL = 9, 300
"""Seconds. Under 9 s the kubelet's watchdog can't be done before the Lease ends."""

DEFAULT_UID: Final = 999
"""User `postgres` of the official, Debian-based images."""

_OPTIONAL_FIELDS: Final = ("container", "uid", "port")
_INTEGER_FIELDS: Final = ("ttl", "renew_interval", "max_lag", "uid", "port", "first_ordinal")

_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_SIZE_UNITS: Final = {"": 1, "B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
"""PostgreSQL's own units, which are powers of 1024."""


def _environment_name(field: str) -> str:
    return f"PGSET_{field.upper()}"


def _check_set_name(set_name: str) -> None:
    if len(set_name) > MAX_SET_NAME or not re.fullmatch(_DNS_LABEL, set_name):
        raise InvalidSettingError(
            contract.ENABLED,
            "true",
            f'the StatefulSet\'s name "{set_name}" must be a DNS label of at most '
            f"{MAX_SET_NAME} characters, since Services and pods are named after it",
        )


def parse_enabled(annotations: Mapping[str, str]) -> bool:
    """Return whether a StatefulSet with these annotations opts in."""
    value = annotations.get(contract.ENABLED, "false")
    return _boolean(contract.ENABLED, value)


def parse_paused(annotations: Mapping[str, str]) -> bool:
    """Return whether a StatefulSet with these annotations is paused."""
    return _boolean(contract.PAUSED, annotations.get(contract.PAUSED, "false"))


def parse_network_policy(annotations: Mapping[str, str]) -> bool:
    """Return whether a StatefulSet with these annotations asks for a NetworkPolicy."""
    return _boolean(contract.NETWORK_POLICY, annotations.get(contract.NETWORK_POLICY, "false"))


def _boolean(annotation: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise InvalidSettingError(annotation, value, 'allowed: "true", "false"')
    return value == "true"


def _label_key(annotation: str, value: str) -> str:
    if not re.fullmatch(rf"({_DNS_SUBDOMAIN}/)?{_LABEL_NAME}", value):
        raise InvalidSettingError(annotation, value, "allowed: a Kubernetes label key")
    if value == contract.SET_LABEL:
        raise InvalidSettingError(annotation, value, "allowed: any label key except this one")
    return value


def _label_value(annotation: str, value: str) -> str:
    if not re.fullmatch(_LABEL_NAME, value):
        raise InvalidSettingError(annotation, value, "allowed: a Kubernetes label value")
    return value


def _container_name(annotation: str, value: str) -> str:
    if not re.fullmatch(_DNS_LABEL, value):
        raise InvalidSettingError(annotation, value, "allowed: the name of a container of the pod")
    return value


def _durability(annotation: str, value: str) -> str:
    if value not in DURABILITIES:
        allowed = ", ".join(f'"{durability}"' for durability in DURABILITIES)
        raise InvalidSettingError(annotation, value, f"allowed: {allowed}")
    return value


def _seconds(low: int, high: int) -> Callable[[str, str], int]:
    def parse(annotation: str, value: str) -> int:
        match = re.fullmatch(r"(\d{1,6})s?", value, re.ASCII)
        if match is None or not low <= int(match[1]) <= high:
            raise InvalidSettingError(
                annotation, value, f'allowed: whole seconds from "{low}s" to "{high}s"'
            )
        return int(match[1])

    return parse


def parse_size(annotation: str, value: str) -> int:
    """Return bytes; InvalidSettingError where the text is not a size as PostgreSQL writes it."""
    match = re.fullmatch(r"(\d{1,12}) ?([A-Za-z]*)", value, re.ASCII)
    if match is None or match[2] not in _SIZE_UNITS:
        raise InvalidSettingError(
            annotation, value, 'allowed: a size with B, kB, MB, GB or TB, such as "16MB"'
        )
    return int(match[1]) * _SIZE_UNITS[match[2]]


def _integer(low: int, high: int) -> Callable[[str, str], int]:
    def parse(annotation: str, value: str) -> int:
        if not re.fullmatch(r"\d{1,10}", value, re.ASCII) or not low <= int(value) <= high:
            raise InvalidSettingError(
                annotation, value, f"allowed: a whole number from {low} to {high}"
            )
        return int(value)

    return parse


def _port(annotation: str, value: str) -> int:
    port = _integer(1, contract.MAX_PORT)(annotation, value)
    if port == contract.SIDECAR_PORT:
        raise InvalidSettingError(annotation, value, "allowed: any port but the sidecar's")
    return port


_READERS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    contract.CONTAINER: ("container", _container_name),
    contract.ROLE_LABEL: ("role_label", _label_key),
    contract.PRIMARY_VALUE: ("primary_value", _label_value),
    contract.REPLICA_VALUE: ("replica_value", _label_value),
    contract.DURABILITY: ("durability", _durability),
    contract.TTL: ("ttl", _seconds(MIN_TTL, MAX_TTL)),
    contract.RENEW_INTERVAL: ("renew_interval", _seconds(1, MAX_TTL)),
    contract.MAX_LAG: ("max_lag", parse_size),
    # 0 is root, as whom PostgreSQL refuses to run.
    contract.UID: ("uid", _integer(1, 2**31 - 1)),
    contract.PORT: ("port", _port),
    contract.FIRST_ORDINAL: ("first_ordinal", _integer(0, 2**31 - 1)),
}


@dataclass(frozen=True, slots=True)
class ProbeTiming:
    """Times, in seconds, of the kubelet's probe that stops PostgreSQL when the sidecar cannot."""

    period: int
    timeout: int = 1
    failures: int = 3
    grace: int = 1
    """What the kubelet lets a preStop take, whoever wrote it."""

    @property
    def worst_case(self) -> int:
        """From the last good answer to a killed PostgreSQL."""
        return self.period * self.failures + self.timeout + self.grace + KUBELET_MINIMUM


KUBELET_MINIMUM: Final = 2
"""What the kubelet leaves between SIGTERM and SIGKILL, however little of the grace is left after
the preStop (minimumGracePeriodInSeconds, pkg/kubelet/kuberuntime)."""

WATCHDOG_ALLOWANCE: Final = 1
"""For a renewal that the loop was late for, and a kubelet that is slow to act."""


def watchdog(settings: Settings) -> ProbeTiming:
    """Fit the kubelet's probe into the ttl: a frozen sidecar's PostgreSQL is dead before it ends.

    A sidecar may freeze when its last renewal is a renew-interval old, and just after a probe:

        renew-interval + allowance + period * failures + timeout + grace + kubelet's minimum ≤ ttl
            2          +     1     +    1   *    3     +    1    +   1   +         2         = 10

    A sidecar that merely hangs answers probes still; its own watchdog thread sees to that.
    """
    rest = ProbeTiming(period=0)
    left = settings.ttl - settings.renew_interval - WATCHDOG_ALLOWANCE - rest.worst_case
    return ProbeTiming(period=max(1, left // rest.failures))
