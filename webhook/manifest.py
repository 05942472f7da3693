"""What the webhook does to a set and to its pods, done to the StatefulSet's manifest: for clusters
where nobody may install a webhook.

A template is the same for all of its pods, so each begins as a replica; the sidecar of the one that
leads makes its own a primary.
"""

from dataclasses import dataclass
from typing import Final

from sidecar.settings import InvalidSettingError, Settings
from webhook import advice, injection, opt_in, own_account, shape, template_opt_in
from webhook.errors import DeniedError
from webhook.initial_role import Role
from webhook.json_patch import Json, applied
from webhook.settings import SidecarImage

ROLE: Final = "pgset-sidecar"

RULES: Final[tuple[Json, ...]] = (
    {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["list", "watch", "patch", "delete"],
    },
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update"],
    },
    {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
)
"""Those of ClusterRole `pgset-sidecar` (deploy/base), without the mark by which policies know a
sidecar: there are none without an install, and nobody may give what she does not have herself."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A StatefulSet's manifest as it would have been admitted."""

    statefulset: Json
    grant: tuple[Json, ...]
    """What its sidecars need in the namespace: Role, RoleBinding, and the service account where the
    template names none."""
    warnings: tuple[str, ...]


def inject(statefulset: Json, image: SidecarImage) -> Injected | None:
    """Return what an opted-in StatefulSet becomes; None for any other.

    Raises DeniedError with the sentence for the user where the webhook would refuse it.
    """
    shape.check(statefulset, shape.REVIEWED["StatefulSet"], "")
    try:
        taken, copied = template_opt_in.taken_over(statefulset, None)
        if not opt_in.opted_in(taken):
            return None
        return _injected(applied(statefulset, copied), image)
    except InvalidSettingError as error:
        raise DeniedError(str(error), "annotation") from error


def _injected(statefulset: Json, image: SidecarImage) -> Injected:
    found = opt_in.check(statefulset)
    for fault in opt_in.faults(statefulset, found):
        raise DeniedError(fault.sentence)
    stamped = applied(statefulset, opt_in.stamp(statefulset, found))
    name, template = str(statefulset["metadata"]["name"]), _with_account(stamped)
    pod = applied(template, own_account.patch(template["spec"], name))
    settings = Settings.from_annotations(name, template["metadata"]["annotations"])
    member = applied(pod, injection.inject(pod, settings, image, Role.REPLICA))
    account = member["spec"]["serviceAccountName"]
    return Injected(
        statefulset={**stamped, "spec": {**stamped["spec"], "template": member}},
        grant=_grant(account, statefulset["metadata"].get("namespace"), makes=pod != template),
        warnings=advice.warnings(statefulset, found),
    )


def _with_account(statefulset: Json) -> Json:
    """Return the template, where an account by its older name alone has its present one as well:
    the API server does that before it calls the webhook."""
    template: Json = statefulset["spec"]["template"]
    spec = template["spec"]
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    return {**template, "spec": {**spec, "serviceAccountName": account}} if account else template


def _grant(account: str, namespace: str | None, *, makes: bool) -> tuple[Json, ...]:
    def of_ours(api_version: str, kind: str, name: str, **fields: object) -> Json:
        where = {} if namespace is None else {"namespace": namespace}
        labels = {"app.kubernetes.io/name": "pgset"}
        metadata = {"name": name, **where, "labels": labels}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}

    rbac = "rbac.authorization.k8s.io"
    # Without a namespace the subject's is the one that the RoleBinding is applied to.
    subject = {"kind": "ServiceAccount", "name": account}
    if namespace is not None:
        subject["namespace"] = namespace
    return (
        *((of_ours("v1", "ServiceAccount", account),) if makes else ()),
        of_ours(f"{rbac}/v1", "Role", ROLE, rules=list(RULES)),
        of_ours(
            f"{rbac}/v1",
            "RoleBinding",
            f"pgset-{account}",
            roleRef={"apiGroup": rbac, "kind": "Role", "name": ROLE},
            subjects=[subject],
        ),
    )
