"""One review in, one verdict out: the mutations, composed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sidecar import contract
from sidecar.settings import InvalidSettingError, Settings
from webhook import (
    advice,
    change_advice,
    injection,
    opt_in,
    own_account,
    resources,
    server_checks,
    shape,
    template_opt_in,
    update_strategy,
)
from webhook.database import Database, find
from webhook.errors import DeniedError
from webhook.initial_role import LeaseState, initial_role, ordinal
from webhook.json_patch import Json, Patch
from webhook.options import Options
from webhook.resources import Chosen
from webhook.review import Review, Verdict, wrapped
from webhook.server_checks import Fault
from webhook.settings import SidecarImage

ALL_AT_ONCE: Final = (
    "spec.ordinals.start changes so that no pod of the set stays: with podManagementPolicy "
    "Parallel all that have the data would be deleted at once, and the new ones could copy it "
    "from nobody; allowed: a start with which some pods stay, one step after the other"
)

LeaseStates = Callable[[str, str], LeaseState]
"""What is known of the Lease of (namespace, set) right now."""


def mutate_statefulset(review: Review, installation: Chosen | None = None) -> Verdict:
    """Check and stamp an opted-in StatefulSet, unstamp any other.

    `installation`: the sidecar's resources in sets that choose none. Raises DeniedError with the
    sentence for the user.
    """
    shape.check(review.object, shape.REVIEWED["StatefulSet"], "")
    old = review.old_object if review.operation == "UPDATE" else None
    if old is not None:
        shape.check(old, shape.REVIEWED["StatefulSet"], "oldObject")
    try:
        statefulset, copied = template_opt_in.taken_over(review.object, old)
        verdict = (
            _stamped(statefulset, review, old, installation or {})
            if opt_in.opted_in(statefulset)
            else _plain(statefulset)
        )
    except InvalidSettingError as error:
        raise DeniedError(str(error), "annotation") from error
    if not copied:
        return verdict
    return replace(verdict, patch=[*copied, *verdict.patch])


def mutate_pod(
    review: Review, image: SidecarImage, lease_state: LeaseStates, *, own_accounts: bool = False
) -> Verdict:
    """Give a pod of an opted-in set its role and inject the sidecar.

    `own_accounts`: whether each set has a service account of its own. Raises DeniedError with the
    sentence for the user.
    """
    shape.check(review.object, shape.REVIEWED["Pod"], "")
    set_name = (review.object["metadata"].get("labels") or {}).get(contract.SET_LABEL)
    if set_name is None:
        return Verdict()
    try:
        return _injected(review, set_name, image, lease_state, own_accounts=own_accounts)
    except InvalidSettingError as error:
        raise DeniedError(str(error), "annotation") from error


def _injected(
    review: Review,
    set_name: str,
    image: SidecarImage,
    lease_state: LeaseStates,
    *,
    own_accounts: bool,
) -> Verdict:
    annotations = review.object["metadata"].get("annotations") or {}
    if contract.MIRROR in annotations:
        raise DeniedError(
            f'pod "{review.name}" has annotation {contract.MIRROR}; allowed in set "{set_name}": '
            "pods of its StatefulSet"
        )
    settings = Settings.from_annotations(set_name, annotations)
    pod_ordinal = ordinal(review.name, set_name)
    lease = lease_state(review.namespace, set_name)
    if lease is LeaseState.NEVER_LED:
        _refuse_what_keeps_all_down(review.object, settings)
    role = initial_role(pod_ordinal, settings, lease)
    patch = [
        *(own_account.patch(review.object["spec"], set_name) if own_accounts else []),
        *injection.inject(review.object, settings, image, role),
    ]
    audit = {"role": f"{role.value}: ordinal {pod_ordinal}, and {lease.value}"}
    return Verdict(patch=patch, audit={**audit, "injection": _counted(patch)})


def _refuse_what_keeps_all_down(pod: Json, settings: Settings) -> None:
    """Refuse a pod that can't become a member, as the StatefulSet is refused: it may have been
    stamped by an earlier version, or another webhook may have changed the pod.

    Not in a set that has led, which therefore works as it is.
    """
    options = Options.from_annotations(pod["metadata"].get("annotations") or {})
    database = find(pod["spec"], settings, options.profile)
    server = server_checks.server_of(database, replicas=1)
    for fault in server_checks.faults(server):
        if fault.keeps_all_down:
            raise DeniedError(fault.sentence)


def _stamped(statefulset: Json, review: Review, old: Json | None, installation: Chosen) -> Verdict:
    found = opt_in.check(statefulset)
    before = _set_before(old)
    kept = _refuse_what_is_new(statefulset, found, before)
    patch = opt_in.stamp(statefulset, found)
    # A set that is created opted in has no clients yet.
    new = review.operation == "UPDATE" and not opt_in.is_stamped(statefulset)
    return Verdict(
        patch=patch,
        warnings=(
            *(_of_opting_in(statefulset, found, installation) if new else ()),
            *(change_advice.on_shrinking(old, statefulset) if old else ()),
            *(change_advice.on_another_image(before[1], found) if before else ()),
            *(line for fault in kept for line in wrapped(fault.sentence)),
            *advice.warnings(statefulset, found),
        ),
        audit={"stamp": _counted(patch)},
    )


def _of_opting_in(statefulset: Json, found: Database, installation: Chosen) -> tuple[str, ...]:
    own = Options.from_annotations(opt_in.annotations_of(statefulset)).resources
    spec = statefulset["spec"]["template"]["spec"]
    asked = resources.fitted(spec, resources.combined(installation, own))
    return (
        change_advice.on_opting_in(found),
        *change_advice.ALWAYS,
        change_advice.of_sidecar(asked),
        *change_advice.on_opting_in_several(statefulset),
    )


def _refuse_what_is_new(
    statefulset: Json, found: Database, before: tuple[Json, Database] | None
) -> list[Fault]:
    """Return the faults that the set was opted in with before; they are not refused any more.

    An update of a set that runs, by Helm for example, must not fail for what is as it was.
    """
    accepted = {fault.identity for fault in opt_in.faults(*before)} if before else set()
    kept = []
    for fault in opt_in.faults(statefulset, found):
        if fault.identity not in accepted:
            raise DeniedError(fault.sentence)
        kept.append(fault)
    if before:
        servers = (opt_in.server_of(*before), opt_in.server_of(statefulset, found))
        for fault in server_checks.not_by_a_roll(*servers):
            raise DeniedError(fault.sentence)
        if update_strategy.replaces_all_at_once(before[0], statefulset):
            raise DeniedError(ALL_AT_ONCE)
    return kept


def _set_before(old: Json | None) -> tuple[Json, Database] | None:
    """Return the set that is updated; None if it was not opted in."""
    try:
        if old is None or not (opt_in.is_stamped(old) and opt_in.opted_in(old)):
            return None
        return old, opt_in.find(old)
    except (InvalidSettingError, DeniedError):
        return None


def _plain(statefulset: Json) -> Verdict:
    patch = opt_in.unstamp(statefulset)
    return Verdict(
        patch=patch,
        warnings=change_advice.ON_OPTING_OUT if patch else (),
        audit={"unstamp": _counted(patch)},
    )


def _counted(patch: Patch) -> str:
    if not patch:
        return "nothing was missing"
    return ", ".join(f"{operation['op']} {operation['path']}" for operation in patch)
