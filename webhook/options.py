"""What a user may say about the injection itself: read at admission, of no use to the sidecar."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from sidecar import contract
from sidecar.settings import InvalidSettingError
from webhook import profile
from webhook.resources import ALLOWED, Chosen, parse

KEEP: Final = "keep"
REPLACE: Final = "replace"


@dataclass(frozen=True, slots=True)
class Options:
    """How pods of one set are injected."""

    profile: str | None = None
    """The family of the database's image; None: its name tells, or it is official."""
    keeps_readiness: bool = False
    """A readinessProbe that is slow to find PostgreSQL is not replaced."""
    resources: Chosen = field(default_factory=dict)
    """The sidecar's, as far as they are chosen."""

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, str]) -> Self:
        """Read a StatefulSet's or a pod's annotations; InvalidSettingError if one can't be."""
        probes = annotations.get(contract.PROBES, REPLACE)
        if probes not in (KEEP, REPLACE):
            raise InvalidSettingError(contract.PROBES, probes, f'allowed: "{KEEP}", "{REPLACE}"')
        family = annotations.get(contract.PROFILE)
        if family is not None:
            profile.parse(family)
        chosen = annotations.get(contract.SIDECAR_RESOURCES, "")
        try:
            return cls(family, keeps_readiness=probes == KEEP, resources=parse(chosen))
        except ValueError as error:
            raise InvalidSettingError(contract.SIDECAR_RESOURCES, chosen, ALLOWED) from error
