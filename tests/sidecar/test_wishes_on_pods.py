"""What an operator asks of a pod by its annotations, as its sidecar hears of it."""

from pathlib import Path

from sidecar.contract import FAILOVER, FAILOVER_PRIORITY, FENCED, NOFAILOVER, REINIT
from sidecar.kube.client import Json
from sidecar.kube.pods import Pods
from sidecar.observation import Identity, Pod
from tests.sidecar.rules.observations import SETTINGS
from tests.sidecar.test_taken_out import Told
from tests.support.clock import Clock
from tests.support.waiting import wait_until

ME = Identity("orders-0", "uid-0")


def test_a_fence_and_wishes_are_seen_when_they_come(tmp_path: Path) -> None:
    def with_annotations(version: int, **annotations: str) -> Json:
        metadata = {"name": ME.name, "uid": ME.uid, "resourceVersion": str(version)}
        return {"metadata": metadata | {"annotations": annotations}}

    clock, woken = Clock(), list[None]()
    client = Told(with_annotations(1, **{REINIT: "old"}), tmp_path)
    pods = Pods(client, "shop", SETTINGS, clock=clock, on_change=lambda: woken.append(None))
    pods.start()
    wait_until(lambda: bool(pods.observe()) and bool(woken), "the list")

    def learn(told: Json) -> tuple[Pod, bool]:
        client.pod = told
        before = len(woken)
        pods.tell(ME, "a sentence")
        (shown,) = pods.observe() or ()
        return shown, len(woken) > before

    began = clock()
    shown, woke = learn(with_annotations(6, **{REINIT: "old", FENCED: "true"}))
    assert (shown.reinit, shown.fenced_since, woke) == (None, began, True)
    assert pods.unfenced_at(ME) is None
    clock.now += 5
    shown, woke = learn(with_annotations(7, **{REINIT: "new"}))
    assert (shown.reinit, shown.fenced_since, woke) == ("new", None, True)
    assert pods.unfenced_at(ME) == clock()
    pods.reinit_is_answered(ME, "new")
    assert [it.reinit for it in pods.observe() or ()] == [None]
    shown, woke = learn(with_annotations(8, **{REINIT: "new", FAILOVER: "12"}))
    assert (shown.reinit, shown.failover, woke) == (None, "12", True)
    pods.failover_is_answered(ME, "12")
    assert [it.failover for it in pods.observe() or ()] == [None]
    assert learn(with_annotations(9))[0].nofailover is False
    shown, woke = learn(with_annotations(10, **{NOFAILOVER: "true"}))
    assert (shown.nofailover, woke) == (True, True)
    shown, woke = learn(with_annotations(11, **{FAILOVER_PRIORITY: "0"}))
    assert (shown.nofailover, shown.failover_priority, shown.problem) == (True, 0, None)
    shown, woke = learn(with_annotations(12, **{FAILOVER_PRIORITY: "high"}))
    assert (shown.nofailover, shown.failover_priority, woke) == (False, 1, True)
    assert 'failover-priority: "high" is not allowed' in (shown.problem or "")
