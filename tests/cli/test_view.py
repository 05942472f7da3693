"""What `status` shows of what there is, and what it ends with."""

import pytest

from cli import view
from cli.facts import Lease
from tests.cli.objects import NOW, healthy, lease, pod, service, statefulset, the_set, there


def one(*items) -> view.SetView:
    (found,) = view.sets(there(*items), NOW)
    return found


def test_a_healthy_set_has_no_problem() -> None:
    found = one(*healthy())
    assert (found.primary, found.problems, found.exit_code) == ("orders-0", (), view.HEALTHY)
    assert [(it.name, it.role, it.state) for it in found.members] == [
        ("orders-0", "primary", "ready"),
        ("orders-1", "replica", "ready"),
    ]


def test_a_member_says_its_sentence_since_it_was_written() -> None:
    primary = one(*healthy()).members[0]
    assert (primary.says, primary.says_for) == ("primary", 30.0)


def measured(**annotations: str) -> list[tuple[object, ...]]:
    """Timeline, position and both lags of the primary and of the replica."""
    recorded = lease(timeline="3", position="50331648", **annotations)
    recorded["spec"]["leaseTransitions"] = 7
    found = one(statefulset(), pod(0, "primary"), pod(1, "replica"), recorded)
    return [(it.timeline, it.position, it.lag_bytes, it.lag_seconds) for it in found.members]


PRIMARYS = (3, 50331648, None, None)
NOT_KNOWN = (None, None, None, None)


def test_a_replica_is_where_the_primary_has_recorded_it() -> None:
    late = measured(followers="term-7,orders-1 50331600 50331500 0.250")
    assert late == [PRIMARYS, (3, 50331600, 148, 0.25)]
    idle = measured(followers="term-7,orders-1 50331648 50331648 -,orders-2 1 2 3")
    assert idle == [PRIMARYS, (3, 50331648, 0, None)]
    unsaid = measured(followers="term-7,orders-1 0 - -")
    assert unsaid == [PRIMARYS, (3, 0, None, None)]


@pytest.mark.parametrize(
    "followers",
    [
        "term-6,orders-1 50331600 50331500 0.250",
        "term-7",
        "term-7,orders-2 50331600 50331500 0.250",
        "term-7,orders-1 50331600 50331500",
        "term-7,orders-1 much 50331500 0.250",
        "",
    ],
    ids=[
        "of another primary",
        "nobody streams",
        "another streams",
        "too short",
        "damaged",
        "0.2.0",
    ],
)
def test_else_it_is_not_known_where_a_replica_is(followers: str) -> None:
    assert measured(followers=followers) == [PRIMARYS, NOT_KNOWN]


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([pod(0, "replica"), pod(1, "replica"), lease()], "nobody has the label"),
        ([pod(0, "primary"), pod(1, "replica"), lease(holder=1)], "who has it has not the Lease"),
        ([pod(0, "primary"), pod(1, "replica")], "there is no Lease"),
        ([pod(0, "primary", ready=False), pod(1, "replica"), lease()], "it does not answer"),
        ([lease()], "there is no pod"),
    ],
)
def test_without_a_primary_the_exit_code_is_1(items, why) -> None:
    found = one(statefulset(), *items)
    assert (found.primary, found.exit_code) == ("", view.NO_PRIMARY), why


def test_a_pod_made_anew_does_not_hold_the_lease_of_the_one_before() -> None:
    later = pod(0, "primary")
    later["metadata"]["uid"] = "another"
    assert one(statefulset(), later, pod(1, "replica"), lease()).primary == ""


def test_a_primary_whose_node_is_not_heard_of_leads_and_its_pod_is_not_ready() -> None:
    primary = pod(0, "primary")
    primary["status"]["conditions"][0]["status"] = "False"
    found = one(statefulset(), primary, pod(1, "replica"), lease())
    assert (found.primary, found.exit_code) == ("orders-0", view.MEMBER_MISSING)


def test_with_a_missing_member_the_exit_code_is_2() -> None:
    found = one(statefulset(), pod(0, "primary"), lease())
    assert found.exit_code == view.MEMBER_MISSING
    assert found.members[1].state == "absent"
    assert found.problems == ("orders-1 is absent",)


def test_a_set_that_is_scaled_to_0_lacks_nothing() -> None:
    items = statefulset()
    items["spec"]["replicas"] = 0
    assert one(items).exit_code == view.HEALTHY


def test_a_set_that_is_scaled_to_thousands_of_millions_is_shown_all_the_same() -> None:
    found = statefulset()
    found["spec"]["replicas"] = 2**31 - 1
    assert len(the_set(there(found)).pods) == 1000


def test_of_several_sets_the_one_without_a_primary_gives_the_exit_code() -> None:
    complete = one(*healthy())
    missing = one(statefulset(), pod(0, "primary"), lease())
    nobody = one(statefulset())
    assert view.exit_code((missing, complete, nobody)) == view.NO_PRIMARY
    assert view.exit_code((missing, complete)) == view.MEMBER_MISSING
    assert view.exit_code((complete,)) == view.exit_code(()) == view.HEALTHY


def test_ordinals_are_in_their_order_and_begin_where_the_set_does() -> None:
    from_9 = statefulset()
    from_9["spec"]["ordinals"] = {"start": 9}
    assert [it.name for it in one(from_9).members] == ["orders-9", "orders-10"]


def test_the_users_own_label_is_the_role() -> None:
    primary, replica = pod(0, ""), pod(1, "")
    for it, value in ((primary, "leader"), (replica, "follower")):
        it["metadata"]["labels"]["name"] = value
    own = statefulset(role_label="name", primary_value="leader", replica_value="follower")
    assert [it.role for it in one(own, primary, replica, lease()).members] == ["primary", "replica"]


def test_durability_is_shown_as_set_and_as_recorded() -> None:
    recorded = lease(in_sync="orders-0,orders-1", copies="2")
    found = one(statefulset(durability="sync"), pod(0, "primary"), pod(1, "replica"), recorded)
    assert (found.durability, found.recorded) == ("sync", "on 2 of orders-0, orders-1")
    assert one(*healthy()).recorded == "on the primary alone"


def test_where_services_lead() -> None:
    items = [
        *healthy(),
        service("a", app="orders"),
        service("b", app="orders", role="replica"),
        service("c", app="orders", role="boss"),
        service("another", app="mail"),
        service("pods-of-orders", app="orders") | {},
    ]
    items[-1]["spec"]["clusterIP"] = "None"
    assert [(it.name, it.what, it.to) for it in one(*items).services] == [
        ("a", "all members", ("orders-0", "orders-1")),
        ("b", "replicas", ("orders-1",)),
        ("c", "nobody", ()),
        ("orders-primary", "the primary", ("orders-0",)),
    ]


def test_a_service_leads_to_pods_that_are_not_ready_only_if_it_says_so() -> None:
    items = [statefulset(), pod(0, "primary", ready=False), lease(), service("a", role="primary")]
    assert one(*items).services[0].to == ()
    items[-1]["spec"]["publishNotReadyAddresses"] = True
    assert one(*items).services[0].to == ("orders-0",)


def test_problems_are_told() -> None:
    old = pod(1, "replica")
    old["metadata"]["annotations"]["pgset.dev/injected"] = "0.1.0"
    two = one(
        statefulset(paused="true"), pod(0, "primary"), old, lease(switchover_to="orders-1")
    ).problems
    assert two == (
        "the set is paused: nobody takes over and nothing is handed over",
        "a switchover to orders-1 is asked for",
        "its sidecars are of versions 0.1.0 and 0.2.0",
    )


def test_two_primaries_labels_are_told() -> None:
    problems = one(statefulset(), pod(0, "primary"), pod(1, "primary"), lease()).problems
    assert problems == ("orders-1 has the primary's label and does not hold the Lease",)


def test_what_has_not_opted_in_is_no_set() -> None:
    plain = statefulset(enabled="false")
    assert view.sets(there(plain, pod(0, "primary")), NOW) == ()


def test_a_damaged_lease_says_nothing_and_is_no_error() -> None:
    damaged = lease(
        timeline="two", copies="-1", history="x y,3 orders-0 now,,² orders-0 t", position="1e9"
    )
    read = Lease.from_json(damaged)
    assert (read.timeline, read.copies, read.position, read.renewed is None) == (
        None,
        0,
        None,
        False,
    )
    assert [it.pod for it in read.history] == ["orders-0"]
    assert Lease.from_json({"metadata": {"namespace": "shop", "name": "other"}}).set_name == ""


def test_the_newest_takeover_comes_first() -> None:
    assert [it.timeline for it in one(*healthy()).takeovers] == [3, 2]


def test_pods_of_another_namespace_are_another_sets() -> None:
    other = pod(1, "replica")
    other["metadata"]["namespace"] = "elsewhere"
    assert one(statefulset(), pod(0, "primary"), other, lease()).members[1].state == "absent"


@pytest.mark.parametrize("odd", ["²", "٣", "1" * 5000])
def test_what_python_takes_for_a_number_and_nobody_else_is_none(odd) -> None:
    damaged = Lease.from_json(lease(timeline=odd, position=odd, copies=odd, history=f"{odd} a t"))
    assert (damaged.timeline, damaged.position, damaged.copies) == (None, None, 0)
    assert damaged.history == ()
    named = pod(1, "replica")
    named["metadata"]["name"] = f"orders-{odd}"
    assert one(statefulset(), named).members
