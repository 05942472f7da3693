"""What holds where a set says nothing: made from `sidecar.settings` by `make plugin`."""

from typing import Final

ROLE_LABEL: Final = "pgset.dev/role"
PRIMARY_VALUE: Final = "primary"
REPLICA_VALUE: Final = "replica"
DURABILITY: Final = "async"
DURABILITIES: Final = ("async", "sync", "sync-strict", "quorum")
