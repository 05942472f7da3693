"""Nobody holds the Lease, and PostgreSQL here runs read-only."""

from collections.abc import Iterator
from typing import Final

from sidecar import contract
from sidecar.action import Action, Attach, Attention, Detach, TakeLease, TellSet
from sidecar.situation import Situation
from sidecar.situation.set import HAS_NOFAILOVER
from sidecar.table.steps import Row, no_role, nothing, take

_UNRELATED: Final = (
    "the pods have unrelated databases, by their system identifiers ({s.set.who_has_which_database}"
    "), and no Lease says which is the set's: it is that of the lowest ordinal, "
    "{s.set.whose_database_counts}"
)
_CHOSEN: Final = (
    f"{_UNRELATED}. Nothing was changed in the others, which stay out: dump what is needed of "
    "their data, restore it in the primary, and give each of these pods an empty volume"
)


def _choose_database(s: Situation) -> Iterator[Action]:
    yield from take(s)
    yield TellSet("ChoosingDatabase", _CHOSEN.format(s=s))


_LET_IT_LEAD: Final = (
    "let this one lead by kubectl pgset failover {s.settings.set_name} --to {s.observation.me.name}"
)
_FAILING_OVER: Final = (
    f"an operator wants {{s.observation.me.name}} to lead (annotation {contract.FAILOVER}) where "
    "nobody may by the rules: taking the Lease; what only other members have is lost"
)


def _fail_over(s: Situation) -> Iterator[Action]:
    """Without a promotion in the same turn: it is not set yet what commits wait for. What is
    promised from here on is only what this member has, and will have, itself."""
    promise = s.durability.first_promise
    yield TakeLease(s.lease.has_expired, tuple(sorted(promise.voters)), promise.copies)
    yield TellSet("FailingOver", _FAILING_OVER.format(s=s))


def _fetch(s: Situation) -> Iterator[Action]:
    address = s.election.source_address
    if address is not None and s.observation.postgres.upstream != address:
        yield Attach(address, by_slot=False)


def _detach(_: Situation) -> Iterator[Action]:
    yield Detach()


ELECTION: Final = (
    Row(
        "PodsCannotBeCreated",
        lambda s: not s.lease.set_has_data and bool(s.set.cannot_be_created),
        nothing,
        "no Lease says who leads, and {s.set.cannot_be_created[0]}, which may have data, is "
        "created only when the pods before it are ready, of which one waits for a "
        "primary to copy: if no pod has data but those that are there, scale the StatefulSet to "
        "these for a while; otherwise delete it with --cascade=orphan, and create it again with "
        "podManagementPolicy: Parallel",
        Attention.WARNING,
    ),
    Row(
        "WaitingForReports",
        lambda s: not s.lease.set_has_data and not s.set.all_have_reported,
        nothing,
        "no Lease says who leads: waiting {s.set.waits_for_reports}",
    ),
    Row(
        "UnrelatedDatabase",
        lambda s: (
            s.set.databases_are_unrelated and s.data.system_identifier != s.set.system_identifier
        ),
        nothing,
        f"{_UNRELATED}, and so this pod cannot be a member: nothing was changed. If the data here "
        "is needed, dump it, and restore it in the primary; then give this pod an empty volume",
        Attention.WARNING,
    ),
    Row(
        "NotStaying",
        lambda s: s.pod.is_leaving,
        nothing,
        "nobody leads, and this pod is being deleted: another member should lead",
    ),
    Row(
        "Detaching",
        lambda s: s.election.must_detach,
        _detach,
        "the Lease has expired: detaching from the old primary until a new one leads",
    ),
    Row(
        "Paused",
        lambda s: (
            s.lease.is_paused
            and s.lease.set_has_data
            and s.lease.last_leader != s.observation.me.name
        ),
        nothing,
        "nobody leads, and the set is paused or opted out: waiting for {s.lease.last_leader}",
        Attention.WARNING,
    ),
    Row(
        "NotStoppable",
        lambda s: s.lease.set_has_data and s.server.cannot_be_stopped,
        nothing,
        "nobody leads, and this member may not: PostgreSQL takes no signals from the sidecar, "
        "which could not stop it; run both as the same user and under the same AppArmor profile",
        Attention.WARNING,
    ),
    Row(
        "VolumeSilent",
        lambda s: (
            s.lease.set_has_data and s.data.has_hung_for(0.0) and bool(s.lease.others_who_may_lead)
        ),
        nothing,
        "nobody leads, and this member may not: its volume does not answer",
        Attention.WARNING,
    ),
    Row(
        "VolumeTakesNoWrites",
        lambda s: (
            s.lease.set_has_data and s.data.takes_no_writes and bool(s.lease.others_who_may_lead)
        ),
        nothing,
        "nobody leads, and this member may not: {s.observation.bootstrap.write_failure}, and so a "
        "promotion could not be noted there",
        Attention.WARNING,
    ),
    Row(
        "LockedOut",
        lambda s: (
            s.server.is_blind
            and bool(s.election.recorded_promise.voters and s.lease.others_who_may_lead)
        ),
        nothing,
        "nobody leads, and this member may not: PostgreSQL does not let the sidecar set which "
        "standbys commits wait for",
        Attention.WARNING,
    ),
    Row(
        "NotToLead",
        lambda s: s.election.is_left_to_others,
        nothing,
        f"nobody leads, and this member may not: {HAS_NOFAILOVER}; if no other member comes "
        "back, remove that annotation, and this one may lead",
        Attention.WARNING,
    ),
    Row(
        "NotEligible",
        lambda s: s.lease.set_has_data and not (s.election.i_may_lead or s.failover.is_due),
        no_role,
        "nobody leads, and this member may not: it is not recorded as a member on the newest "
        "timeline, or not in sync, or its pod was replaced",
        Attention.WARNING,
    ),
    Row(
        "UnknownToHolder",
        lambda s: s.set.is_unknown_to_holder(s.observation.me.name),
        nothing,
        "nobody leads, and this member may not: {s.lease.holder_name} has not recorded this pod, "
        "and may be writable where nobody hears of it; once it is certain that it does not run any "
        "more, delete pod {s.lease.holder_name} by force",
        Attention.WARNING,
    ),
    Row(
        "Succeeding",
        lambda s: s.election.i_am_heir,
        take,
        "{s.lease.last_leader} handed the Lease to this member: taking it",
        Attention.NORMAL,
    ),
    Row(
        "WaitingForHeir",
        lambda s: s.election.waits_for_heir,
        nothing,
        "waiting for {s.lease.heir_name}, to which the Lease was handed",
    ),
    Row(
        "WaitingForLastLeader",
        lambda s: s.election.waits_for_last_leader,
        nothing,
        "the whole set was down: waiting for its last primary, {s.lease.last_leader}",
    ),
    Row(
        "FailingOver",
        lambda s: s.failover.is_due,
        _fail_over,
        _FAILING_OVER,
        Attention.WARNING,
    ),
    Row(
        "YieldingToPeer",
        lambda s: s.election.ahead_of_me is not None,
        nothing,
        "nobody leads yet: {s.election.ahead_of_me} should take the Lease",
    ),
    Row(
        "FetchingWal",
        lambda s: s.election.source is not None,
        _fetch,
        "nobody leads yet: {s.election.source_name} has WAL that this member lacks, and does not "
        "take the Lease: receiving that from it first",
        Attention.NORMAL,
    ),
    Row(
        "MissingCommits",
        lambda s: s.lease.set_has_data and not s.election.i_have_every_commit,
        nothing,
        "nobody leads: members that do not answer may have commits that this one does not have; if "
        f"their data is gone for good, {_LET_IT_LEAD}: those commits are lost then",
        Attention.WARNING,
    ),
    Row(
        "TooFarBehind",
        lambda s: s.lease.set_has_data and s.election.lags_too_much,
        nothing,
        "nobody leads: this member is further behind {s.lease.last_leader} than max-lag allows; if "
        f"that pod's data is gone for good, {_LET_IT_LEAD}: what was written since is lost then",
        Attention.WARNING,
    ),
    Row(
        "ChoosingDatabase",
        lambda s: s.set.databases_are_unrelated and s.lease.is_free,
        _choose_database,
        _CHOSEN,
        Attention.WARNING,
    ),
    Row(
        "TakingLease",
        lambda s: s.lease.is_free,
        take,
        "nobody leads: taking the Lease",
    ),
    Row(
        "Waiting",
        lambda _: True,
        nothing,
        "the Lease was deleted a moment ago, or this member has pledged not to take it: waiting "
        "for that to pass",
    ),
)
