"""One review in, one verdict out: the mutations, composed."""

from collections.abc import Callable

from sidecar import contract
from sidecar.settings import InvalidSettingError, Settings
from webhook import advice, injection, opt_in, own_account, shape
from webhook.errors import DeniedError
from webhook.initial_role import LeaseState, initial_role, ordinal
from webhook.json_patch import Json, Patch
from webhook.review import Review, Verdict
from webhook.settings import SidecarImage

LeaseStates = Callable[[str, str], LeaseState]
"""What is known of the Lease of (namespace, set) right now."""


def mutate_statefulset(review: Review) -> Verdict:
    """Check and stamp an opted-in StatefulSet, unstamp any other.

    Raises DeniedError with the sentence for the user.
    """
    shape.check(review.object, shape.REVIEWED["StatefulSet"], "")
    try:
        if not opt_in.opted_in(review.object):
            return _plain(review.object)
        # A set that is created opted in has no clients yet.
        return _stamped(review.object, was_there=review.operation == "UPDATE")
    except InvalidSettingError as error:
        raise DeniedError(str(error), "annotation") from error


def mutate_pod(
    review: Review, image: SidecarImage, lease_state: LeaseStates, *, own_accounts: bool = False
) -> Verdict:
    """Give a pod of an opted-in set its role and inject the sidecar.

    `own_accounts`: whether each set has a service account of its own. Raises DeniedError with the
    sentence for the user.
    """
    shape.check(review.object, shape.REVIEWED["Pod"], "")
    metadata = review.object["metadata"]
    set_name = (metadata.get("labels") or {}).get(contract.SET_LABEL)
    if set_name is None:
        return Verdict()
    try:
        settings = Settings.from_annotations(set_name, metadata.get("annotations") or {})
    except InvalidSettingError as error:
        raise DeniedError(str(error), "annotation") from error
    pod_ordinal = ordinal(review.name, set_name)
    lease = lease_state(review.namespace, set_name)
    role = initial_role(pod_ordinal, settings, lease)
    patch = [
        *(own_account.patch(review.object["spec"], set_name) if own_accounts else []),
        *injection.inject(review.object, settings, image, role),
    ]
    audit = {"role": f"{role.value}: ordinal {pod_ordinal}, and {lease.value}"}
    return Verdict(patch=patch, audit={**audit, "injection": _counted(patch)})


def _stamped(statefulset: Json, *, was_there: bool) -> Verdict:
    database = opt_in.check(statefulset)
    patch = opt_in.stamp(statefulset, database)
    new = was_there and not opt_in.is_stamped(statefulset)
    return Verdict(
        patch=patch,
        warnings=(
            *([advice.on_opting_in(database)] if new else []),
            *advice.warnings(statefulset, database),
        ),
        audit={"stamp": _counted(patch)},
    )


def _plain(statefulset: Json) -> Verdict:
    patch = opt_in.unstamp(statefulset)
    return Verdict(
        patch=patch,
        warnings=advice.ON_OPTING_OUT if patch else (),
        audit={"unstamp": _counted(patch)},
    )


def _counted(patch: Patch) -> str:
    if not patch:
        return "nothing was missing"
    return ", ".join(f"{operation['op']} {operation['path']}" for operation in patch)
