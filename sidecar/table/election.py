"""Nobody holds the Lease, and PostgreSQL here runs read-only."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import Action, Attention, Detach
from sidecar.situation import Situation
from sidecar.table.steps import Row, no_role, nothing, take


def _detach(_: Situation) -> Iterator[Action]:
    yield Detach()


ELECTION: Final = (
    Row(
        "WaitingForReports",
        lambda s: not s.set_has_data and (s.seen.wanted is None or bool(s.silent)),
        nothing,
        "no Lease tells who leads: waiting for the data of {s.silent_words}",
    ),
    Row(
        "NotStaying",
        lambda s: s.is_leaving,
        nothing,
        "nobody leads, and this pod was deleted: another is to lead",
    ),
    Row(
        "Paused",
        lambda s: s.is_paused and s.set_has_data and s.last_leader != s.seen.me.name,
        nothing,
        "nobody leads, and the set is paused or opted out: waiting for {s.last_leader}",
        Attention.WARNING,
    ),
    Row(
        "Detaching",
        lambda s: s.has_to_detach,
        _detach,
        "the Lease ran out: this member receives no WAL until somebody leads",
    ),
    Row(
        "NotStoppable",
        lambda s: s.set_has_data and s.cannot_be_stopped,
        nothing,
        "nobody leads, and this member may not: PostgreSQL here takes no signals from the sidecar, "
        "which could not stop it; run both as the same user and under the same AppArmor profile",
        Attention.WARNING,
    ),
    Row(
        "VolumeSilent",
        lambda s: s.set_has_data and s.has_hung_for(0.0) and bool(s.others_who_may_lead),
        nothing,
        "nobody leads, and this member may not: its volume does not answer",
        Attention.WARNING,
    ),
    Row(
        "LockedOut",
        lambda s: s.is_blind and bool(s.recorded_promise.voters and s.others_who_may_lead),
        nothing,
        "nobody leads, and this member may not: PostgreSQL here does not let the sidecar set whom "
        "commits wait for",
        Attention.WARNING,
    ),
    Row(
        "NotEligible",
        lambda s: s.set_has_data and not s.is_a_member,
        no_role,
        "nobody leads, and this member may not: it is not recorded as a member on the newest "
        "timeline, or not in sync",
        Attention.WARNING,
    ),
    Row(
        "Succeeding",
        lambda s: s.is_the_heir,
        take,
        "{s.last_leader} has left the Lease to this member: taking it",
        Attention.NORMAL,
    ),
    Row(
        "WaitingForHeir",
        lambda s: s.waits_for_heir,
        nothing,
        "the Lease was left to {s.heir}",
    ),
    Row(
        "WaitingForLastLeader",
        lambda s: s.awaits_last_leader,
        nothing,
        "the set was down: waiting for its last primary, {s.last_leader}",
    ),
    Row(
        "YieldingToPeer",
        lambda s: s.ahead_of_me is not None,
        nothing,
        "nobody leads: {s.ahead_of_me} is to lead",
    ),
    Row(
        "MissingCommits",
        lambda s: s.set_has_data and not s.has_all_that_was_acknowledged,
        nothing,
        "nobody leads: members that do not answer may have commits that this one does not have",
        Attention.WARNING,
    ),
    Row(
        "TooFarBehind",
        lambda s: s.set_has_data and s.is_too_far_behind,
        nothing,
        "nobody leads: this member is further behind {s.last_leader} than max-lag allows",
        Attention.WARNING,
    ),
    Row(
        "TakingLease",
        lambda s: s.nobody_holds,
        take,
        "nobody leads: taking the Lease",
    ),
    Row("Waiting", lambda _: True, nothing, "waiting"),
)
