"""What a user may say about the injection itself: read at admission, of no use to the sidecar."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from sidecar import contract
from sidecar.settings import InvalidSettingError

KEEP: Final = "keep"
REPLACE: Final = "replace"


@dataclass(frozen=True, slots=True)
class Options:
    """How pods of one set are injected."""

    keeps_readiness: bool = False
    """A readinessProbe that is slow to find PostgreSQL is not replaced."""

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, str]) -> Self:
        """Read a StatefulSet's or a pod's annotations; InvalidSettingError if one can't be."""
        probes = annotations.get(contract.PROBES, REPLACE)
        if probes not in (KEEP, REPLACE):
            raise InvalidSettingError(contract.PROBES, probes, f'allowed: "{KEEP}", "{REPLACE}"')
        return cls(keeps_readiness=probes == KEEP)
