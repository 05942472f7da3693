"""A mirror of objects on the API server never shows less than it was told, and never goes back."""

import contextlib
import threading

import pytest

from sidecar.kube.client import ApiError, GoneError, Json, RetryLaterError
from sidecar.kube.mirror import Mirror
from tests.cluster.kube_adapters.site import Line, Site, lease
from tests.support.clock import Clock
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]


class Mirrored:
    """A mirror of the Leases with one label, and each version of each that it ever showed."""

    def __init__(self, site: Site, line: Line, person: Line, label: str) -> None:
        self.line = line
        self._person = person
        self.versions: dict[str, list[int]] = {}
        self._site = site
        self._label = label
        self._looking = threading.Lock()
        selector = {"labelSelector": f"of={label}"}
        self.mirror = Mirror(line, site.leases, selector, clock=Clock(), on_change=self._look)

    def _look(self) -> None:
        with self._looking:
            for name, item in (self.mirror.objects() or {}).items():
                seen = self.versions.setdefault(name, [])
                version = int(item["metadata"]["resourceVersion"])
                if seen[-1:] != [version]:
                    seen.append(version)

    def start(self) -> None:
        self.mirror.start()
        wait_until(lambda: self.mirror.objects() is not None, "the first list")

    def holders(self) -> dict[str, str]:
        objects = self.mirror.objects() or {}
        return {name: item["spec"]["holderIdentity"] for name, item in objects.items()}

    def wait(self, expected: dict[str, str]) -> None:
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.holders() == expected, "the mirror")
        assert self.holders() == expected

    def create(self, name: str) -> Json:
        return self._person.create(self._site.leases, lease(name, of=self._label))

    def change(self, name: str, holder: str) -> Json:
        patch = {"spec": {"holderIdentity": holder}}
        return self._person.merge(f"{self._site.leases}/{name}", patch)


@pytest.fixture
def mirrored(site: Site, line: Line, person: Line, name: str) -> Mirrored:
    return Mirrored(site, line, person, name)


def test_a_mirror_shows_nothing_before_the_first_list(mirrored: Mirrored) -> None:
    before = mirrored.mirror.objects()
    mirrored.start()
    assert (before, mirrored.mirror.objects()) == (None, {})


def test_a_mirror_shows_what_there_was_what_comes_changes_and_goes(
    mirrored: Mirrored, site: Site, name: str
) -> None:
    first, second = f"{name}-a", f"{name}-b"
    mirrored.create(first)
    mirrored.start()
    mirrored.wait({first: "somebody"})
    mirrored.create(second)
    mirrored.wait({first: "somebody", second: "somebody"})
    mirrored.change(second, "other")
    mirrored.wait({first: "somebody", second: "other"})
    site.delete("lease", first)
    mirrored.wait({second: "other"})
    assert mirrored.line.lists == 1


def test_objects_that_are_not_selected_do_not_show(
    mirrored: Mirrored, site: Site, name: str
) -> None:
    mirrored.start()
    mirrored.line.create(site.leases, lease(f"{name}-foreign", of="another"))
    mirrored.create(name)
    mirrored.wait({name: "somebody"})


def test_a_watch_that_ends_is_taken_up_where_it_ended(
    mirrored: Mirrored, site: Site, name: str
) -> None:
    mirrored.line.short_watches = True
    mirrored.start()
    for holder in ("a", "b", "c"):
        mirrored.create(f"{name}-{holder}")
        mirrored.change(f"{name}-{holder}", holder)
    site.delete("lease", f"{name}-a")
    mirrored.wait({f"{name}-b": "b", f"{name}-c": "c"})
    assert mirrored.line.lists == 1


@pytest.mark.parametrize(
    "refusal", [GoneError("too old"), RetryLaterError("a broken connection")], ids=["410", "broken"]
)
def test_what_a_lost_watch_did_not_tell_the_next_list_does(
    mirrored: Mirrored, site: Site, name: str, refusal: ApiError
) -> None:
    mirrored.create(name)
    mirrored.create(f"{name}-lost")
    mirrored.start()
    # The refusal takes the place of the event that tells of the deletion.
    mirrored.line.refusal = refusal
    site.delete("lease", f"{name}-lost")
    mirrored.wait({name: "somebody"})
    mirrored.change(name, "after")
    mirrored.wait({name: "after"})
    assert mirrored.line.lists == 2


def test_an_answer_of_our_own_shows_at_once(mirrored: Mirrored, name: str) -> None:
    mirrored.start()
    mirrored.create(name)
    mirrored.wait({name: "somebody"})
    mirrored.mirror.learn(mirrored.change(name, "me"))
    assert mirrored.holders() == {name: "me"}


def test_an_answer_that_the_watch_has_overtaken_changes_nothing(
    mirrored: Mirrored, name: str
) -> None:
    mirrored.create(name)
    mirrored.start()
    old = mirrored.change(name, "me")
    mirrored.change(name, "newer")
    mirrored.wait({name: "newer"})
    mirrored.mirror.learn(old)
    assert mirrored.holders() == {name: "newer"}


def test_an_answer_about_what_is_gone_by_now_does_not_bring_it_back(
    mirrored: Mirrored, site: Site, name: str
) -> None:
    """Nothing would ever take it away again: the watch has told its deletion already."""
    mirrored.create(name)
    mirrored.start()
    old = mirrored.change(name, "me")
    site.delete("lease", name)
    mirrored.wait({})
    mirrored.mirror.learn(old)
    assert mirrored.holders() == {}


def test_a_list_does_not_undo_what_we_wrote_while_it_was_on_its_way(
    mirrored: Mirrored, name: str
) -> None:
    """A holder that saw its Lease without itself for a moment would stop PostgreSQL."""
    mirrored.create(name)
    mirrored.start()
    written = threading.Event()

    def write() -> None:
        mirrored.mirror.learn(mirrored.change(name, "me"))
        written.set()

    mirrored.line.while_listing = write
    mirrored.line.refusal = GoneError("too old")
    mirrored.change(name, "before")
    assert written.wait(180)
    mirrored.change(name, "after")
    mirrored.wait({name: "after"})
    assert mirrored.versions[name] == sorted(mirrored.versions[name])


def test_a_mirror_never_goes_back(mirrored: Mirrored, name: str) -> None:
    """Two write, the one with its answers learnt, while every watch ends after one event."""
    mirrored.create(name)
    mirrored.line.short_watches = True
    mirrored.start()

    def write() -> None:
        for number in range(60):
            mirrored.change(name, f"other-{number}")

    other = threading.Thread(target=write)
    other.start()
    for number in range(60):
        mirrored.mirror.learn(mirrored.change(name, f"me-{number}"))
        if number == 40:
            mirrored.line.refusal = GoneError("too old")
    other.join()
    mirrored.change(name, "last")
    mirrored.wait({name: "last"})
    assert len(mirrored.versions[name]) > 10
    assert mirrored.versions[name] == sorted(mirrored.versions[name])


def test_what_is_learnt_before_the_first_list_is_not_taken_for_all_that_there_is(
    mirrored: Mirrored, name: str
) -> None:
    """A member that has just written to its own pod would think that it is alone."""
    mirrored.create(f"{name}-other")
    mine = mirrored.create(name)
    mirrored.mirror.learn(mine)
    before = mirrored.mirror.objects()
    mirrored.start()
    assert before is None
    mirrored.wait({name: "somebody", f"{name}-other": "somebody"})
