"""Why nobody leads, and when data may be given up."""

import pytest

from cli import diagnosis, leaderless
from sidecar.table import TABLE
from sidecar.table.bootstrap import BOOTSTRAP
from tests.cli.objects import (
    causes,
    command,
    event,
    lease,
    pod,
    said,
    statefulset,
    waiting,
    with_replica,
)


@pytest.mark.parametrize(
    ("reason", "removed"),
    [
        ("TooFarBehind", "pgset.dev/position-"),
        ("MissingCommits", "pgset.dev/in-sync- pgset.dev/copies-"),
        (
            "NotEligible",
            "pgset.dev/timeline- pgset.dev/in-sync- pgset.dev/copies- pgset.dev/members-",
        ),
    ],
)
def test_rows_that_are_gone_are_given_up_as_the_readme_says(reason, removed) -> None:
    (only,) = causes(*nobody_leads(said(reason, number=0), said(reason)))
    assert only.command == f"kubectl -n shop annotate lease pgset-orders {removed}"
    assert "only if that data is gone for good" in only.sentence


def asks_to_lead(name, *items, **of_lease):
    """Whether doctor's one cause is cured by letting this member lead; members are new ones."""
    for it in items:
        if it["kind"] == "Pod":
            it["metadata"]["annotations"]["pgset.dev/signs"] = "scrypt"
    found = [lease(**of_lease) if it["kind"] == "Lease" else it for it in items]
    (only,) = causes(*found)
    return only.command == f"kubectl pgset failover orders --to {name} -n shop"


@pytest.mark.parametrize("reason", ["TooFarBehind", "MissingCommits"])
def test_a_member_that_knows_the_annotation_is_asked_to_lead(reason) -> None:
    items = nobody_leads(said(reason, number=0), said(reason))
    assert asks_to_lead("orders-0", *items)
    more = {"followers": "term-0,orders-0 100 100 -,orders-1 200 200 -"}
    assert asks_to_lead("orders-1", *items, **more)
    # Who says it alone is ahead of the other one.
    assert asks_to_lead("orders-1", *nobody_leads(said("NotEligible", number=0), said(reason)))


def test_whom_nothing_but_the_promise_keeps_from_leading_is_asked() -> None:
    items = nobody_leads(said("NotEligible", number=0), said("NotEligible"))
    promise = {"members": "orders-0,orders-1", "copies": "1"}
    assert asks_to_lead("orders-1", *items, in_sync="orders-0", **promise)
    assert not asks_to_lead("orders-0", *items, members="orders-0,orders-1")
    assert not asks_to_lead("orders-0", *items, in_sync="orders-1", members="orders-1", copies="1")


def test_whose_data_may_not_lead_is_asked_once() -> None:
    items = nobody_leads(said("NotEligible", number=0), said("NotEligible"))
    promise = {"members": "orders-0,orders-1", "copies": "1", "in_sync": "orders-2"}
    refused = event("Pod", "orders-0", "FailoverRefused", "it is on another timeline")
    items[0]["spec"]["replicas"] = 3
    lost = pod(2, "", says=leaderless.NO_DATA_YET)
    assert asks_to_lead("orders-0", *items, lost, **promise)
    assert asks_to_lead("orders-1", *items, lost, refused, **promise)


JUST_NOW = {"lastTimestamp": "2026-11-29T12:05:00Z"}


def nobody_leads(*more):
    pods = [pod(0, "replica", says="waits"), pod(1, "replica", says="waits")]
    return [statefulset(), *pods, lease(), *more]


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([said("MissingCommits", number=0)], "the other member has not said anything of the kind"),
        ([said("MissingCommits", number=0), said("TakingLease")], "the other one takes over"),
        (
            [
                said("MissingCommits", number=0),
                said("MissingCommits") | JUST_NOW,
            ],
            "it was said just now",
        ),
    ],
)
def test_nothing_is_given_up_before_all_have_waited_for_a_while(items, why) -> None:
    assert "annotate" not in command(*nobody_leads(*items)), why


def test_nothing_is_given_up_while_a_member_is_away() -> None:
    (only,) = causes(statefulset(), pod(1, "replica"), lease(), said("MissingCommits"))
    assert "orders-0 may have data that no other has" in only.sentence
    assert only.command == "kubectl -n shop describe statefulset orders"


def test_a_pod_that_has_lost_its_data_has_nothing_to_give_up() -> None:
    for reason in leaderless.WITHOUT_DATA:
        items = nobody_leads(said("TooFarBehind"), said(reason, number=0))
        waiting(items[1], "postgres", "PodInitializing")
        assert "annotate lease pgset-orders pgset.dev/position-" in command(*items)
    items = nobody_leads(said("TooFarBehind"), said("LostData", "it has lost it", number=0))
    items[1]["metadata"]["annotations"]["pgset.dev/status"] = leaderless.NO_DATA_YET
    assert "annotate lease pgset-orders pgset.dev/position-" in command(*items)


def test_situations_are_called_by_their_names() -> None:
    known = {row.name for part in TABLE for row in part.rows}
    assert set(diagnosis.OF_THE_SET) <= known


def test_how_a_pod_says_that_it_has_no_data() -> None:
    rows = {it.name: it for it in BOOTSTRAP}
    assert rows["WaitingForLeader"].sentence == leaderless.NO_DATA_YET
    assert set(leaderless.WITHOUT_DATA) <= set(rows)


@pytest.mark.parametrize(
    "why", ["CrashLoopBackOff", "ImagePullBackOff", "CreateContainerConfigError", "PodInitializing"]
)
def test_a_pod_whose_database_does_not_run_may_have_the_newest_rows(why) -> None:
    for of_the_other in (
        [],
        [said("SettingsRefused", number=0)],
        [said("LostData", "a", number=0)],
    ):
        items = nobody_leads(said("TooFarBehind"), *of_the_other)
        waiting(items[1], "postgres", why)
        assert not [it for it in causes(*items) if "annotate" in it.command]


def test_nothing_is_given_up_by_what_was_said_before() -> None:
    items = nobody_leads(said("MissingCommits", "a", number=0), said("MissingCommits"))
    assert not [it for it in causes(*items) if "annotate" in it.command]


@pytest.mark.parametrize("known", [{"members": "orders-0,orders-4"}, {"in_sync": "orders-4"}])
def test_members_that_were_scaled_away_come_back_first(known) -> None:
    items = nobody_leads(said("NotEligible", number=0), said("NotEligible"))
    items[3] = lease(**known)
    assert command(*items) == "scale statefulset orders --replicas=5"
    items[3] = lease(holder=2)
    assert command(*items) == "scale statefulset orders --replicas=3"


def test_voters_that_are_all_there_do_not_hear_each_other() -> None:
    items = nobody_leads(said("MissingCommits", number=0), said("MissingCommits"))
    items[3] = lease(in_sync="orders-0,orders-1", copies="2")
    assert command(*items) == "get networkpolicy"
    # Of three voters an acknowledged commit is on two: one that has lost its data had none alone.
    items = nobody_leads(said("MissingCommits", number=0), said("LostData"))
    items[3] = lease(in_sync="orders-0,orders-1", copies="2")
    assert command(*items) == "get networkpolicy"
    items[3] = lease(in_sync="orders-0,orders-1", copies="1")
    assert "annotate lease" in command(*items)


def test_members_that_are_marked_as_none_that_leads_may_lead_without_their_marks() -> None:
    items = nobody_leads(said("TooFarBehind", number=0), said("NotToLead"))
    (only,) = causes(*items)
    assert only.command == (
        "kubectl -n shop annotate pod orders-1 pgset.dev/nofailover- pgset.dev/failover-priority-"
    )
    items[4] = said("NotToLead", number=0)
    assert command(*items).startswith("annotate pod orders-0 orders-1 pgset.dev/nofailover-")
    items[4:] = [said("TakingLease", number=0), said("NotToLead") | JUST_NOW]
    assert "annotate" not in command(*items), "it was said just now"
    away = [statefulset(), pod(1, "replica", says="waits"), lease(), said("NotToLead")]
    (only,) = causes(*away)
    assert "orders-0 may have data that no other has" in only.sentence


@pytest.mark.parametrize("reason", leaderless.ORDERED)
def test_pods_that_are_not_created_one_after_the_other_are_created_at_once(reason) -> None:
    alone = [statefulset(), pod(0, "", ready=False, says="waits"), lease(), said(reason, number=0)]
    (only,) = causes(*alone)
    assert only.command == (
        "kubectl -n shop patch statefulset orders --dry-run=client -o json --type merge "
        """-p '{"spec":{"podManagementPolicy":"Parallel"}}' """
        "| kubectl -n shop replace --force --cascade=orphan -f -"
    )
    alone[0]["spec"]["podManagementPolicy"] = "Parallel"
    assert "replace" not in causes(*alone)[0].command


def test_that_is_done_only_where_a_pod_is_not_there_and_after_a_while() -> None:
    reason = leaderless.ORDERED[0]
    items = nobody_leads(said(reason, number=0), said("WaitingForReports"))
    assert not [it for it in causes(*items) if "replace" in it.command]
    early = [statefulset(), pod(0, "", says="waits"), lease(), said(reason, number=0) | JUST_NOW]
    assert not [it for it in causes(*early) if "replace" in it.command]


def test_a_lease_whose_data_no_pod_has_is_deleted_if_that_is_meant_to_be_gone() -> None:
    items = nobody_leads(said("NobodyHasData", number=0), said("NobodyHasData"))
    (only,) = causes(*items)
    assert only.command == "kubectl -n shop delete lease pgset-orders"
    assert "EMPTY DATABASE IS MADE THEN" in only.sentence
    items[2]["metadata"]["annotations"]["pgset.dev/status"] = leaderless.NO_DATA_YET
    assert command(*items) == "delete lease pgset-orders"


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([said("NobodyHasData", number=0), said("NotEligible")], "the other one has data"),
        ([said("NobodyHasData", number=0), said("Following", "x")], "what it has is not known"),
        ([said("NobodyHasData", number=0)], "the other one has not said that it has none"),
    ],
)
def test_no_lease_is_deleted_before_every_pod_has_said_that_it_has_no_data(items, why) -> None:
    assert "delete lease" not in command(*nobody_leads(*items)), why


def test_without_a_lease_the_log_tells_why_a_member_cannot_say_what_it_has() -> None:
    down = pod(1, "", ready=False, says="PostgreSQL does not answer")
    items = [statefulset(), pod(0, "", says="waits"), down]
    assert command(*items) == "logs orders-1 -c postgres"
    assert command(*items, lease()) != "logs orders-1 -c postgres"


def test_not_before_a_while_nor_where_no_member_is_ready() -> None:
    for first, second in ((True, True), (False, False)):
        both = [pod(0, "", ready=first, says="waits"), pod(1, "", ready=second, says="waits")]
        assert command(statefulset(), *both) == "describe lease pgset-orders"


def test_none_is_given_up_while_a_member_leads() -> None:
    found = causes(*with_replica(pod(1, "", ready=False), said("TooFarBehind")))
    assert not any("annotate lease" in it.command for it in found)


def test_a_primary_that_nobody_hears_of() -> None:
    items = [statefulset(), pod(1, "", says="waits"), lease(), said("UnknownToHolder")]
    nobody = [*items, pod(0, "")]
    assert "kubectl -n shop delete pod orders-0 --force --grace-period=0" in {
        it.command for it in causes(*nobody)
    }
    # Another pod of its name, and none.
    nobody[-1]["metadata"]["uid"] = "another"
    for found in (nobody, items):
        assert not [it for it in causes(*found) if "--force" in it.command]
    spoke = [*items, pod(0, ""), said("Waiting", "x")]
    spoke[3] = said("UnknownToHolder", "before")
    assert not [it for it in causes(*spoke) if "--force" in it.command]


def test_a_set_without_a_primary_is_never_well() -> None:
    (only,) = causes(*nobody_leads())
    assert "orders-0: waits; orders-1: waits" in only.sentence


def test_a_member_that_does_not_follow_is_told() -> None:
    (only,) = causes(*with_replica(pod(1, "", says="does not stream")))
    assert only.sentence == "orders-1 is neither primary nor replica: does not stream"
