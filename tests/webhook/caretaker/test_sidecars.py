"""Which pods and sets are told to have slipped by."""

from tests.webhook.caretaker.made import member, there, workload
from webhook.caretaker import sidecars
from webhook.caretaker.plan import plan


def told(*workloads, **said):
    return [(it.kind, it.name, it.reason) for it in sidecars.steps(there(*workloads, **said))]


def test_a_member_with_its_sidecar_is_nothing_to_tell():
    assert told(workload(), members=(member(),)) == []


def test_a_pod_that_the_webhook_missed_is_named():
    pods = (member("orders-0"), member("orders-1", has_sidecar=False))
    assert told(workload(), members=pods) == [("Pod", "orders-1", "NoSidecar")]
    (it,) = sidecars.steps(there(workload(), members=pods))
    assert "while the webhook did not answer" in it.sentence
    assert it.sentence.endswith("kubectl -n shop delete pod orders-1")


def test_a_pod_of_before_the_opt_in_is_named_with_what_keeps_it():
    pods = (member(has_sidecar=False, stamped=False),)
    (it,) = sidecars.steps(there(workload(held_back=True), members=pods))
    assert "before the set opted in, and updateStrategy keeps it as it is" in it.sentence


def test_a_pod_below_the_partition_is_not_to_be_deleted_since_it_would_come_back_the_same():
    held = workload(held_back=True, partition=2, first_ordinal=5)
    pods = tuple(member(f"orders-{n}", has_sidecar=False, stamped=False) for n in (6, 7))
    below, above = sidecars.steps(there(held, members=pods))
    assert "delete pod" not in below.sentence
    assert below.sentence.endswith(
        "kubectl -n shop patch statefulset orders --type merge -p "
        """'{"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}'"""
    )
    assert above.sentence.endswith("kubectl -n shop delete pod orders-7")


def test_a_pod_of_the_template_that_the_webhook_missed_comes_back_with_one_wherever_it_is():
    held = workload(held_back=True, partition=2)
    (it,) = sidecars.steps(there(held, members=(member("orders-0", has_sidecar=False),)))
    assert it.sentence.endswith("kubectl -n shop delete pod orders-0")


def test_a_pod_on_its_way_out_is_not_told():
    assert told(workload(), members=(member(has_sidecar=False, leaving=True),)) == []


def test_pods_that_are_no_sets_are_not_told():
    strangers = (member("backup-0", has_sidecar=False), member("x", owner="", has_sidecar=False))
    assert told(workload(), members=strangers) == []


def test_a_template_that_the_webhook_missed_is_told_once_and_not_for_each_pod():
    pods = (member(has_sidecar=False, stamped=False),)
    missed = workload(pod_labels={"app": "orders"})
    assert told(missed, members=pods) == [("StatefulSet", "orders", "NotStamped")]


def test_annotations_that_would_be_refused_are_told_in_the_webhooks_words():
    refused = workload(settings=None, fault="annotation pgset.dev/ttl: ...")
    (it,) = sidecars.steps(there(refused))
    assert (it.reason, it.sentence) == ("NotAccepted", "annotation pgset.dev/ttl: ...")


def test_a_set_that_is_being_deleted_is_not_told_of():
    assert told(workload(leaving=True, settings=None, fault="unknown")) == []


def test_a_set_that_has_all_leaves_nothing_to_do():
    assert plan(there(workload(), members=(member(),)), grant=True) == []


def test_a_new_set_gets_its_rights_first():
    steps = plan(there(workload(), services=(), granted=frozenset()), grant=True)
    assert [type(it).__name__ for it in steps] == ["Grant", "MakeService", "MakeService"]
