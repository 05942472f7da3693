"""The role that a pod is admitted with: a hint for its first seconds, from its ordinal.

The sidecar keeps the label true afterwards. The hint errs towards `replica`: a pod that
returns must never take writes because it once was the primary.
"""

import re
from enum import Enum

from sidecar.settings import Settings
from webhook.errors import DeniedError


class LeaseState(Enum):
    """What is known of a set's Lease; the value is the reason in the audit log."""

    NEVER_LED = "the set has no Lease yet"
    HAS_LED = "the set has a Lease, so its sidecars know who leads"
    UNKNOWN = "the Leases are not known right now"


class Role(Enum):
    """The two roles; what the label says for each is in the set's settings."""

    PRIMARY = "primary"
    REPLICA = "replica"

    def label_value(self, settings: Settings) -> str:
        """Return the role label's value for this role in this set."""
        return settings.primary_value if self is Role.PRIMARY else settings.replica_value


def ordinal(pod_name: str, set_name: str) -> int:
    """Return a pod's ordinal. Raises DeniedError unless its name is `<set>-<ordinal>`."""
    match = re.fullmatch(rf"{re.escape(set_name)}-(0|[1-9]\d{{0,9}})", pod_name, re.ASCII)
    if match is None:
        shown = f'"{pod_name}"' if pod_name else "without a name"
        raise DeniedError(
            f'pod {shown} has no ordinal; allowed in set "{set_name}": '
            f'pods of its StatefulSet, named "{set_name}-0", "{set_name}-1" and so on'
        )
    return int(match[1])


def initial_role(pod_ordinal: int, settings: Settings, lease: LeaseState) -> Role:
    """Return `primary` for the lowest ordinal of a set that has never had a primary."""
    lowest = pod_ordinal == settings.first_ordinal
    return Role.PRIMARY if lowest and lease is LeaseState.NEVER_LED else Role.REPLICA
