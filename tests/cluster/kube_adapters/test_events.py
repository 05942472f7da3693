"""The Events that a sidecar records on its pod."""

import pytest

from sidecar.action import Attention
from sidecar.kube.events import Events
from sidecar.observation import Identity
from tests.cluster.kube_adapters.site import Line, Site

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]


def events(site: Site, me: Identity) -> list[tuple[str, str, str]]:
    found = site.get("events", "--field-selector", f"involvedObject.uid={me.uid}")["items"]
    return [(event["type"], event["reason"], event["message"]) for event in found]


def test_an_event_appears_on_the_pod(site: Site, line: Line, name: str) -> None:
    me = site.make_pod(name, 0)
    Events(line, site.name, me).record("Fencing", "PostgreSQL is being stopped", Attention.WARNING)
    assert events(site, me) == [("Warning", "Fencing", "PostgreSQL is being stopped")]
    described = site.kubectl("-n", site.name, "describe", "pod", me.name)
    assert "PostgreSQL is being stopped" in described


def test_the_same_event_can_be_told_again(site: Site, line: Line, name: str) -> None:
    me = site.make_pod(name, 0)
    recorder = Events(line, site.name, me)
    for _ in range(2):
        recorder.record("Leading", "primary", Attention.NORMAL)
    assert events(site, me) == [("Normal", "Leading", "primary")] * 2


@pytest.mark.parametrize("letter", ["x", "ü", "“"])
def test_a_message_too_long_is_cut_and_not_lost(
    site: Site, line: Line, name: str, letter: str
) -> None:
    me = site.make_pod(name, 0)
    Events(line, site.name, me).record("Down", letter * 3000, Attention.WARNING)
    assert events(site, me) == [("Warning", "Down", letter * 1024)]
