"""Keys of made-up sets, each made once: the derivation is slow on purpose."""

import functools

from sidecar.failsafe import Seal
from sidecar.keys import Keys


@functools.cache
def keys_of(password: str, namespace: str = "shop", set_name: str = "orders") -> Keys:
    """Return what each member of that set makes of that password."""
    return Keys(password, namespace, set_name, pod_uid="uid")


def seal_of(password: str, namespace: str = "shop", set_name: str = "orders") -> Seal:
    """Return the seal of that set."""
    return keys_of(password, namespace, set_name).seal()
