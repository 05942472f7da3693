"""The folders: the checkout, the cache (survives) and the state (of one running cluster)."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent


def cache() -> Path:
    """What is built or fetched once: `$PGSET_CACHE`, else `pgset` in the user's cache."""
    chosen = os.environ.get("PGSET_CACHE")
    if chosen:
        return Path(chosen).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).resolve() / "pgset"


def state() -> Path:
    """All files of the running cluster; `cluster-down` removes it whole."""
    return Path(os.environ.get("PGSET_STATE") or "/var/lib/pgset-local").resolve()


def kubeconfig() -> Path:
    """The admin's kubeconfig, for use on the host."""
    return state() / "kubeconfig"


def volumes() -> Path:
    """A folder that all nodes see under the same path: the shared file system."""
    return state() / "volumes"


def logs() -> Path:
    """The running cluster's logs, one file a process."""
    return state() / "logs"


def last_logs() -> Path:
    """The logs of the cluster that was taken down last."""
    return cache() / "last-cluster-logs"
