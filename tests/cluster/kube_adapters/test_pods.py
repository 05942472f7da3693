"""The pods of the set and its StatefulSet, as a sidecar sees and changes them."""

import contextlib

import pytest

from sidecar import contract
from sidecar.action import SetRole
from sidecar.kube.client import ConflictError, NotFoundError
from sidecar.kube.pods import Pods
from sidecar.observation import Identity, Pod
from sidecar.settings import Settings
from tests.cluster.kube_adapters.site import Line, Site
from tests.support.clock import Clock
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]


ROLE = contract.DEFAULT_ROLE_LABEL


@pytest.fixture
def pods(site: Site, line: Line, name: str) -> Pods:
    settings = Settings(set_name=name)
    pods = Pods(line, site.name, settings, clock=Clock(), on_change=lambda: None)
    pods.start()
    wait_until(lambda: pods.observe() is not None, "the first list")
    return pods


def wait_for_pods(pods: Pods, expected: tuple[Pod, ...]) -> None:
    with contextlib.suppress(AssertionError):
        wait_until(lambda: pods.observe() == expected, "the pods")
    assert pods.observe() == expected


def labels(site: Site, pod: str) -> dict[str, str]:
    return dict(site.get("pod", pod)["metadata"]["labels"])


def test_the_pods_of_the_set_are_seen_and_no_others(site: Site, pods: Pods, name: str) -> None:
    site.make_pod(f"{name}x", 0)
    second, first = site.make_pod(name, 1), site.make_pod(name, 0)
    expected = tuple(Pod(member.name, member.uid, None, None) for member in (first, second))
    wait_for_pods(pods, expected)


def test_a_role_is_given_changed_and_taken_away(site: Site, pods: Pods, name: str) -> None:
    me = site.make_pod(name, 0)
    seen = []
    for value in ("primary", "replica", None):
        pods.set_role(SetRole(me.name, me.uid, value))
        told = pods.observe() or ()
        seen.append((labels(site, me.name).get(ROLE), [pod.role for pod in told]))
    assert seen == [("primary", ["primary"]), ("replica", ["replica"]), (None, [None])]
    assert labels(site, me.name) == {"app": "shop", contract.SET_LABEL: name}


def test_a_re_created_pod_of_the_same_name_is_left_alone(site: Site, pods: Pods, name: str) -> None:
    """The primary label meant for a pod that died must not come to its successor."""
    died = site.make_pod(name, 0)
    site.delete("pod", died.name)
    born = site.make_pod(name, 0)
    assert died.name == born.name
    with pytest.raises(ConflictError):
        pods.set_role(SetRole(died.name, died.uid, "primary"))
    with pytest.raises(ConflictError):
        pods.tell(died, "primary")
    assert labels(site, born.name) == {"app": "shop", contract.SET_LABEL: name}
    assert contract.STATUS not in site.get("pod", born.name)["metadata"].get("annotations", {})


def test_a_pod_that_is_gone_is_told_so(pods: Pods, name: str) -> None:
    with pytest.raises(NotFoundError):
        pods.set_role(SetRole(f"{name}-0", "uid", "primary"))


def test_the_sentence_of_a_member_stands_on_its_pod(site: Site, pods: Pods, name: str) -> None:
    me = site.make_pod(name, 0)
    pods.tell(me, "replica of nobody: “yet”")
    annotations = site.get("pod", me.name)["metadata"]["annotations"]
    assert annotations[contract.STATUS] == "replica of nobody: “yet”"


def test_as_many_members_are_wanted_as_the_statefulset_says(
    site: Site, pods: Pods, name: str
) -> None:
    before = pods.wanted()
    site.make_statefulset(name, replicas=0)
    wait_until(lambda: pods.wanted() == 0, "the StatefulSet")
    site.delete("statefulset", name)
    wait_until(lambda: pods.wanted() is None, "its deletion")
    assert before is None


def test_a_set_is_paused_while_its_statefulset_says_so(site: Site, pods: Pods, name: str) -> None:
    site.make_statefulset(name, replicas=0)
    wait_until(lambda: pods.wanted() == 0, "the StatefulSet")
    assert not pods.paused()
    site.annotate("statefulset", name, f"{contract.PAUSED}=true")
    wait_until(pods.paused, "the pause")
    site.annotate("statefulset", name, f"{contract.PAUSED}=perhaps")
    wait_until(lambda: not pods.paused(), "its end")


def test_another_sets_pause_is_nothing_to_this_one(site: Site, pods: Pods, name: str) -> None:
    site.make_statefulset(f"{name}x", replicas=0)
    site.annotate("statefulset", f"{name}x", f"{contract.PAUSED}=true")
    site.make_statefulset(name, replicas=0)
    wait_until(lambda: pods.wanted() == 0, "the StatefulSet")
    assert not pods.paused()


def test_the_loop_is_woken_for_what_it_sees_and_not_for_all_that_happens_to_a_pod(
    site: Site, line: Line, name: str
) -> None:
    seen: list[tuple[Pod, ...]] = []
    settings, clock = Settings(set_name=name), Clock()
    pods = Pods(
        line,
        site.name,
        settings,
        clock=clock,
        on_change=lambda: seen.append(pods.observe() or ()),
    )
    pods.start()
    me = site.make_pod(name, 0)
    # What there is when somebody is woken is noted, and only wakes that show the pod count: those
    # of the first lists may come late.
    wait_until(lambda: any(seen), "the pod")
    site.annotate("pod", me.name, "shop.example/note=hello")
    pods.tell(me, "a sentence of mine")
    pods.set_role(SetRole(me.name, me.uid, "replica"))
    wait_until(lambda: len([it for it in seen if it]) > 1, "the label")
    assert [role for told in seen for role in (it.role for it in told)] == [None, "replica"]


def test_the_revision_that_a_pod_was_made_from_is_seen(site: Site, pods: Pods, name: str) -> None:
    me = site.make_pod(name, 0)
    site.kubectl("-n", site.name, "label", "pod", me.name, "controller-revision-hash=web-1")
    wait_for_pods(pods, (Pod(me.name, me.uid, None, None, revision="web-1"),))


def test_a_member_can_delete_its_own_pod(site: Site, pods: Pods, name: str) -> None:
    me = site.make_pod(name, 0)
    wait_until(lambda: bool(pods.observe()), "the pod")
    pods.delete(me)
    wait_for_pods(pods, ())
    with pytest.raises(NotFoundError):
        pods.delete(me)


def test_a_successor_of_the_same_name_is_not_deleted(site: Site, pods: Pods, name: str) -> None:
    died = site.make_pod(name, 0)
    site.delete("pod", died.name)
    born = site.make_pod(name, 0)
    with pytest.raises(ConflictError):
        pods.delete(died)
    assert "deletionTimestamp" not in site.get("pod", born.name)["metadata"]


def test_a_pod_leaves_from_when_its_deletion_was_seen(
    site: Site, line: Line, person: Line, name: str
) -> None:
    """A finalizer keeps it for the test, as the kubelet does for the grace period."""
    clock, settings = Clock(), Settings(set_name=name)
    pods = Pods(line, site.name, settings, clock=clock, on_change=lambda: None)
    pods.start()
    me = site.make_pod(name, 0)
    path = f"{site.pods}/{me.name}"
    person.merge(path, {"metadata": {"finalizers": ["shop.example/wait"]}})
    wait_until(lambda: bool(pods.observe()), "the pod")
    stays = pods.leaving_since(me)
    clock.advance(5)
    pods.delete(me)
    wait_until(lambda: pods.leaving_since(me) is not None, "the deletion")
    clock.advance(5)
    pods.tell(me, "leaving")
    others = Identity(me.name, "another life")
    assert (stays, pods.leaving_since(me), pods.leaving_since(others)) == (None, 1005.0, None)
    person.merge(path, {"metadata": {"finalizers": None}})
    wait_until(lambda: pods.leaving_since(me) is None, "its end")
