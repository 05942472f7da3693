"""The settings of the caretaker's process, from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from sidecar.contract import ENV_POD_NAME, ENV_POD_NAMESPACE
from webhook.settings import GRANTS, InvalidEnvironmentError, grants

EXCLUDED_NAMESPACES: Final = "PGSET_EXCLUDED_NAMESPACES"
"""Separated by commas: those for which the webhook isn't called either."""


@dataclass(frozen=True, slots=True)
class CaretakerSettings:
    """One caretaker process's settings."""

    pod_name: str
    pod_namespace: str
    grants: bool
    excluded_namespaces: frozenset[str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings. Raises InvalidEnvironmentError if one is missing or not valid."""
        for name in (ENV_POD_NAME, ENV_POD_NAMESPACE, GRANTS, EXCLUDED_NAMESPACES):
            if not environment.get(name):
                raise InvalidEnvironmentError(f"env {name} is missing: the Deployment sets it")
        return cls(
            pod_name=environment[ENV_POD_NAME],
            pod_namespace=environment[ENV_POD_NAMESPACE],
            grants=grants(environment[GRANTS]),
            excluded_namespaces=frozenset(
                it.strip() for it in environment[EXCLUDED_NAMESPACES].split(",")
            ),
        )
