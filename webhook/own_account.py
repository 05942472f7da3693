"""The service account of a set's own, for its pods whose template names none.

Service account `default` is what every other pod of the namespace runs as, and would have the
sidecars' rights too. The caretaker makes the set's own, and grants them to that alone.

The API server's ServiceAccount plugin has seen the pod before: it has given it the imagePullSecrets
of `default`, which stay. When it sees the pod again, it refuses one whose account is not there yet;
the StatefulSet controller then tries again.
"""

from typing import Final

from sidecar import contract
from webhook.json_patch import Json, Patch, set_member

DEFAULT_ACCOUNT: Final = "default"
"""The service account that Kubernetes gives to pods that name none."""


def patch(spec: Json, set_name: str) -> Patch:
    """Return the operations that give a pod its set's own account, where it names no other."""
    if spec.get("serviceAccountName", DEFAULT_ACCOUNT) not in ("", DEFAULT_ACCOUNT):
        return []
    account = contract.service_account(set_name)
    # The second is an older name of the first; the API server sends both.
    names = ("serviceAccountName", *(("serviceAccount",) if "serviceAccount" in spec else ()))
    return [it for name in names for it in set_member(("spec", name), spec, account)]
