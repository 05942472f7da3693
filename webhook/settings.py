"""The settings of the webhook's own process, from its environment."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from sidecar.contract import ENV_POD_NAME, ENV_POD_NAMESPACE
from webhook.resources import ALLOWED, Chosen, parse

TLS_DIRECTORY: Final = "PGSET_TLS_DIRECTORY"
"""Where tls.crt and tls.key are; `DEFAULT_TLS_DIRECTORY` if it is not set."""

DEFAULT_TLS_DIRECTORY: Final = "/etc/pgset/tls"

GRANTS: Final = "PGSET_GRANTS"
""""true": a caretaker makes a service account for each set whose pods name none, and grants the
sidecars' rights to the accounts of sets. "false": the admin grants, to the accounts that pods have,
and an Event names what is missing. The same for webhook and caretaker."""


SIDECAR_RESOURCES: Final = "PGSET_SIDECAR_RESOURCES"
"""As annotation `pgset.dev/sidecar-resources`, for all sets without one."""


PORT: Final = "PGSET_PORT"
"""The port that the webhook listens on; `DEFAULT_PORT` if it is not set."""

DEFAULT_PORT: Final = 8443

PROBES_PORT: Final = "PGSET_PROBES_PORT"
"""The port that the webhook answers the kubelet on; `DEFAULT_PROBES_PORT` if it is not set."""

DEFAULT_PROBES_PORT: Final = 8081
LOG_LEVEL: Final = "PGSET_LOG_LEVEL"
"""From what level on webhook and caretaker log; `info` if it is not set."""

_LOG_LEVELS: Final = ("info", "warning", "error")
"""Not debug: libraries would log what they have read, and with it secrets."""

_PORTS: Final = range(1024, 65536)
"""That a process may listen on which is not root."""


class InvalidEnvironmentError(Exception):
    """Don't start: the Deployment's env has to be changed. The message is one sentence."""


@dataclass(frozen=True, slots=True)
class SidecarImage:
    """The image that injected sidecars run, and what else this installation says of them."""

    name: str
    pull_policy: str
    resources: Chosen = field(default_factory=dict)
    """For sets that choose none themselves."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """One webhook process's settings."""

    pod_name: str
    pod_namespace: str
    tls_directory: Path
    grants: bool = False
    sidecar_resources: Chosen = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings. Raises InvalidEnvironmentError if one is missing or not valid."""
        for name in (ENV_POD_NAME, ENV_POD_NAMESPACE):
            if not environment.get(name):
                raise InvalidEnvironmentError(
                    f"env {name} is missing: the Deployment sets it by the downward API"
                )
        return cls(
            pod_name=environment[ENV_POD_NAME],
            pod_namespace=environment[ENV_POD_NAMESPACE],
            tls_directory=tls_directory(environment),
            # Without it, this may be the Deployment of an earlier version.
            grants=grants(environment.get(GRANTS, "false")),
            sidecar_resources=_sidecar_resources(environment),
        )


def grants(value: str) -> bool:
    """Read the value of `GRANTS`. Raises InvalidEnvironmentError if it is not valid."""
    if value not in ("true", "false"):
        raise InvalidEnvironmentError(
            f'env {GRANTS}: "{value}" is not allowed; allowed: "true", "false"'
        )
    return value == "true"


def _sidecar_resources(environment: Mapping[str, str]) -> Chosen:
    text = environment.get(SIDECAR_RESOURCES, "")
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidEnvironmentError(
            f'env {SIDECAR_RESOURCES}: "{text}" is not allowed; {ALLOWED}'
        ) from error


def port(environment: Mapping[str, str]) -> int:
    """Return the port for reviews. Raises InvalidEnvironmentError if it is not valid."""
    return _port(environment, PORT, DEFAULT_PORT)


def probes_port(environment: Mapping[str, str]) -> int:
    """Return the port for the kubelet. Raises InvalidEnvironmentError if it is not valid."""
    found = _port(environment, PROBES_PORT, DEFAULT_PROBES_PORT)
    if found == port(environment):
        raise InvalidEnvironmentError(
            f'env {PROBES_PORT}: "{found}" is not allowed: it is that of {PORT}'
        )
    return found


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    found = int(text) if text.isdecimal() else 0
    if found not in _PORTS:
        raise InvalidEnvironmentError(
            f'env {name}: "{text}" is not allowed; allowed: {_PORTS[0]} to {_PORTS[-1]}'
        )
    return found


def log_level(environment: Mapping[str, str]) -> str:
    """Return one of `_LOG_LEVELS`. Raises InvalidEnvironmentError if it is not valid."""
    found = environment.get(LOG_LEVEL) or "info"
    if found not in _LOG_LEVELS:
        raise InvalidEnvironmentError(
            f'env {LOG_LEVEL}: "{found}" is not allowed; allowed: {", ".join(_LOG_LEVELS)}'
        )
    return found


def address(port: int) -> str:
    """Return what to listen on: the addresses of both families, if there is IPv6."""
    return f"[::]:{port}" if socket.has_dualstack_ipv6() else f"0.0.0.0:{port}"


def tls_directory(environment: Mapping[str, str]) -> Path:
    """Return where the serving certificate is."""
    return Path(environment.get(TLS_DIRECTORY, DEFAULT_TLS_DIRECTORY))
