"""The sidecar's adapters to Kubernetes against a real API server, with a sidecar's own rights.

No PostgreSQL and no kubelet takes part: the pods here are objects that nobody schedules.
"""

import base64
import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from certs.authority import make_authority
from deploy.demo.play import local_cluster
from deploy.demo.stage import Stage
from sidecar import contract
from sidecar.action import Attention, RenewLease, SetRole, TakeLease
from sidecar.kube.client import (
    ApiClient,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    Json,
    NotFoundError,
    RetryLaterError,
)
from sidecar.kube.events import Events
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.mirror import Mirror
from sidecar.kube.pods import Pods
from sidecar.observation import Identity, LeaseRecord, LeaseView, Pod
from sidecar.settings import Settings
from tests.support.database import free_port, wait_until
from tests.webhook.clock import Clock

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

CHECKOUT = Path(__file__).parents[2]
SIDECAR, POWERLESS, PERSON = "pgset-sa", "powerless", "person"
"""Who asks: with deploy/grant's rights, with none, with all in the namespace."""

DEADLINE = 3.0
"""What a request may take: a second to connect and two to be answered."""
ROOM = 1.0
"""For this shared machine."""


class Line(ApiClient):
    """The way to the API server. A test can disturb it, as networks and servers do."""

    lists = 0
    refusal: ApiError | None = None
    """Ends the next watch."""
    refusal_to_start: ApiError | None = None
    """Meets the next watch that is asked for."""
    short_watches = False
    """Each watch ends, in good order, after its next event."""
    writes_by: ApiClient | None = None
    """What is written goes this way, while reading and watching go the straight one."""
    while_listing: Callable[[], None] | None = None
    """Happens once, between a list's making and its arrival."""
    closed = False

    def __init__(self, base_url: str, ca_file: Path, token_file: Path) -> None:
        super().__init__(base_url, ca_file, token_file)
        self.slow_watch = threading.Event()
        """Cleared, it keeps each event until it is set."""
        self.slow_watch.set()

    def get(
        self, path: str, query: dict[str, str] | None = None, *, seconds: float | None = None
    ) -> Json:
        answer = super().get(path, query, seconds=seconds)
        if "items" in answer:
            self.lists += 1
            if (happens := self.while_listing) is not None:
                self.while_listing = None
                happens()
        return answer

    def create(self, path: str, body: Json) -> Json:
        way = self.writes_by
        return way.create(path, body) if way else super().create(path, body)

    def replace(self, path: str, body: Json) -> Json:
        way = self.writes_by
        return way.replace(path, body) if way else super().replace(path, body)

    def watch(self, path: str, query: dict[str, str]) -> Iterator[Json]:
        if (refusal := self.refusal_to_start) is not None:
            self.refusal_to_start = None
            raise refusal
        for event in super().watch(path, query):
            self.slow_watch.wait()
            if self.closed:
                threading.Event().wait()  # The watching thread ends with the process.
            if (refusal := self.refusal) is not None:
                self.refusal = None
                raise refusal
            yield event
            if self.short_watches:
                return


class Site:
    """A namespace of its own, and who may do what in it."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        self._folder = folder
        self.name = f"pgset-adapters-{secrets.token_hex(3)}"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.name}/leases"
        self.pods = f"/api/v1/namespaces/{self.name}/pods"
        kubeconfig = json.loads(self.kubectl("config", "view", "--raw", "-o", "json"))
        cluster = kubeconfig["clusters"][0]["cluster"]
        self.address = str(cluster["server"])
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        self._lines: list[Line] = []

    def kubectl(self, *words: str) -> str:
        return self._stage.ask(*words)

    def set_up(self) -> None:
        self.kubectl("create", "namespace", self.name)
        for account in (SIDECAR, POWERLESS, PERSON):
            self.kubectl("-n", self.name, "create", "serviceaccount", account)
            token = self.kubectl("-n", self.name, "create", "token", account)
            (self._folder / account).write_text(token)
        self.kubectl("apply", "-f", str(CHECKOUT / "deploy/base/cluster-roles.yaml"))
        self.kubectl("-n", self.name, "apply", "-k", str(CHECKOUT / "deploy/grant"))
        self.kubectl(
            "-n", self.name, "create", "rolebinding", PERSON, "--clusterrole=cluster-admin",
            f"--serviceaccount={self.name}:{PERSON}",
        )  # fmt: skip

    def clear(self) -> None:
        for line in self._lines:
            line.closed = True
        self.kubectl("delete", "namespace", self.name, "--wait=false")

    def line(self, account: str = SIDECAR) -> Line:
        line = Line(self.address, self.ca_file, self._folder / account)
        self._lines.append(line)
        return line

    def token_file(self, account: str) -> Path:
        return self._folder / account

    def delete(self, kind: str, name: str) -> None:
        self.kubectl("-n", self.name, "delete", kind, name, "--force", "--grace-period=0")

    def get(self, kind: str, *words: str) -> dict[str, Any]:
        return self._stage.get(kind, *words, namespace=self.name)

    def annotate(self, kind: str, name: str, *annotations: str) -> None:
        self.kubectl("-n", self.name, "annotate", "--overwrite", kind, name, *annotations)

    def make_pod(self, set_name: str, ordinal: int) -> Identity:
        """Labelled only afterwards, so that no webhook of an installed pgset takes part."""
        name = f"{set_name}-{ordinal}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.name, "labels": {"app": "shop"}},
            "spec": POD,
        }
        self._stage.apply(pod)
        self.kubectl("-n", self.name, "label", "pod", name, f"{contract.SET_LABEL}={set_name}")
        return Identity(name, self.get("pod", name)["metadata"]["uid"])

    def make_statefulset(self, set_name: str, replicas: int) -> None:
        labels = {"app": set_name}
        self._stage.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": set_name, "namespace": self.name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": POD},
                },
            }
        )


POD = {
    "schedulerName": "nobody",
    "serviceAccountName": SIDECAR,
    "automountServiceAccountToken": False,
    "containers": [{"name": "db", "image": "postgres"}],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Not on the demo's stage, which would be swept under whoever plays there."""
    stage = local_cluster(tmp_path_factory.mktemp("stage"))
    site = Site(stage, tmp_path_factory.mktemp("site"))
    try:
        site.set_up()
        yield site
    finally:
        site.clear()


@pytest.fixture
def line(site: Site) -> Line:
    return site.line()


@pytest.fixture(scope="module")
def person(site: Site) -> Line:
    return site.line(PERSON)


_numbers = iter(range(1000))


@pytest.fixture
def name() -> str:
    """Of an object, or of a set, that no other test knows."""
    return f"set{next(_numbers)}"


def lease(name: str, **labels: str) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": labels},
        "spec": {"holderIdentity": "somebody"},
    }


# ── what a request ends with ──────────────────────────────────────────────────────────────


def test_what_is_not_there_is_not_found(site: Site, person: Line) -> None:
    with pytest.raises(NotFoundError, match=r'leases.* "nothing" not found'):
        person.get(f"{site.leases}/nothing")


def test_what_is_there_already_is_a_conflict(site: Site, line: Line, name: str) -> None:
    line.create(site.leases, lease(name))
    with pytest.raises(ConflictError, match="already exists"):
        line.create(site.leases, lease(name))


def test_an_object_that_was_changed_meanwhile_is_not_overwritten(
    site: Site, person: Line, name: str
) -> None:
    path = f"{site.leases}/{name}"
    seen = person.create(site.leases, lease(name))
    person.merge(path, {"spec": {"holderIdentity": "faster"}})
    with pytest.raises(ConflictError, match="the object has been modified"):
        person.replace(path, seen)
    assert person.get(path)["spec"]["holderIdentity"] == "faster"


def test_a_missing_right_is_told_with_who_lacks_it(site: Site) -> None:
    with pytest.raises(ForbiddenError, match=f"{site.name}:{POWERLESS}"):
        site.line(POWERLESS).get(site.leases)


def test_a_watch_without_the_right_to_it_is_told_so_too(site: Site) -> None:
    with pytest.raises(ForbiddenError, match=f"{site.name}:{POWERLESS}"):
        next(site.line(POWERLESS).watch(site.leases, {"resourceVersion": "0"}))


def test_a_token_that_nobody_gave_is_forbidden(site: Site, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("nonsense")
    with pytest.raises(ForbiddenError):
        ApiClient(site.address, site.ca_file, tmp_path / "token").get(site.leases)


def in_seconds(client: ApiClient, path: str) -> float:
    began = time.monotonic()
    with pytest.raises(RetryLaterError):
        client.get(path)
    return time.monotonic() - began


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_does_not_answer_is_given_up_in_time(
    site: Site, scheme: str, tmp_path: Path
) -> None:
    """With https it is silent in the handshake, with http it has taken the request."""
    (tmp_path / "token").write_text("token")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        client = ApiClient(address, site.ca_file, tmp_path / "token")
        assert in_seconds(client, "/version") < DEADLINE + ROOM


def test_a_full_server_is_given_up_in_time(site: Site, tmp_path: Path) -> None:
    """Its queue takes no connection: to the client as if packets were lost on the way."""
    (tmp_path / "token").write_text("token")
    with contextlib.ExitStack() as taken:
        full = taken.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = taken.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        address = f"https://127.0.0.1:{full.getsockname()[1]}"
        client = ApiClient(address, site.ca_file, tmp_path / "token")
        assert in_seconds(client, "/version") < DEADLINE + ROOM


def test_nobody_listening_is_told_at_once(site: Site, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    address = f"https://127.0.0.1:{free_port()}"
    assert in_seconds(ApiClient(address, site.ca_file, tmp_path / "token"), "/version") < ROOM


def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token")
    (tmp_path / "other.crt").write_bytes(make_authority(datetime.now(UTC)).certificate)
    with pytest.raises(RetryLaterError, match="CERTIFICATE_VERIFY_FAILED"):
        ApiClient(site.address, tmp_path / "other.crt", tmp_path / "token").get("/version")


def test_a_token_that_is_not_there_yet_is_no_end_of_a_watch(site: Site, tmp_path: Path) -> None:
    """The mirror's thread goes on after an ApiError, and after nothing else."""
    with pytest.raises(RetryLaterError, match="no token"):
        ApiClient(site.address, site.ca_file, tmp_path / "token").get(site.leases)


# ── the mirror ────────────────────────────────────────────────────────────────────────────


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
        wait_until(lambda: self.mirror.objects() is not None, "the first list", seconds=10)

    def holders(self) -> dict[str, str]:
        objects = self.mirror.objects() or {}
        return {name: item["spec"]["holderIdentity"] for name, item in objects.items()}

    def wait(self, expected: dict[str, str]) -> None:
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.holders() == expected, "the mirror", seconds=10)
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
    assert written.wait(10)
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


# ── the Lease ─────────────────────────────────────────────────────────────────────────────


class Member:
    """One member's view of its set's Lease."""

    def __init__(self, site: Site, set_name: str, ordinal: int) -> None:
        self.me = Identity(f"{set_name}-{ordinal}", f"uid-{ordinal}")
        self.clock = Clock()
        self.line = site.line()
        settings = Settings(set_name=set_name, ttl=12)
        self.keeper = LeaseKeeper(
            self.line, site.name, settings, self.me, clock=self.clock, on_change=self._on_change
        )
        self.wakes = 0
        self.keeper.start()
        wait_until(lambda: self.keeper.observe() is not None, "the first list", seconds=10)

    def _on_change(self) -> None:
        self.wakes += 1

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """The watch has told of what happens here, and nobody has looked."""
        before = self.version()
        yield
        wait_until(lambda: self.version() != before, "the watch", seconds=10)

    def version(self) -> str | None:
        """Of the newest record that has come, whether or not the loop has looked at it."""
        view = self.keeper.newest()
        return view.record.resource_version if view and view.record else None

    def catch_up_with(self, other: "Member") -> None:
        """Until it has been told all that the other one knows."""
        wait_until(lambda: self.version() == other.version(), "the watch", seconds=10)

    def view(self) -> LeaseView:
        """What it observes now."""
        view = self.keeper.observe()
        assert view is not None
        return view

    def record(self) -> LeaseRecord:
        record = self.view().record
        assert record is not None
        return record

    def take_expired(self) -> None:
        """After its ttl has passed without a word of the holder."""
        self.clock.advance(13)
        self.keeper.take(TakeLease(expired=True))

    def holder(self) -> str | None:
        """By what it observes now."""
        view = self.keeper.observe()
        assert view is not None
        return None if view.record is None else view.record.holder_pod

    def wait(self, holder: str | None) -> None:
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.holder() == holder, "the Lease", seconds=10)
        assert self.holder() == holder

    def renew(self, *, timeline: int | None = 1) -> None:
        self.keeper.observe()
        self.keeper.renew(RenewLease("111", timeline, ("a-0", "a-1")))


@pytest.fixture
def members(site: Site, name: str) -> tuple[Member, Member]:
    return Member(site, name, 0), Member(site, name, 1)


def stored(site: Site, name: str) -> dict[str, Any]:
    return site.get("lease", f"pgset-{name}")


def test_the_first_to_take_makes_the_lease(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    made = stored(site, name)
    assert made["metadata"]["labels"] == {contract.SET_LABEL: name}
    spec = {key: value for key, value in made["spec"].items() if not key.endswith("Time")}
    assert spec == {
        "holderIdentity": f"{name}-0_uid-0",
        "leaseDurationSeconds": 12,
        "leaseTransitions": 1,
    }


@pytest.mark.parametrize("there_is_one", [False, True], ids=["no Lease yet", "a released one"])
def test_of_two_that_take_at_once_exactly_one_holds(
    members: tuple[Member, Member], there_is_one: bool
) -> None:
    one, other = members
    if there_is_one:
        one.keeper.take(TakeLease(expired=False))
        one.keeper.release()
    expected = "" if there_is_one else None
    one.wait(expected)
    other.wait(expected)
    start, results = threading.Barrier(2), dict[str, str]()

    def take(member: Member) -> None:
        start.wait()
        try:
            member.keeper.take(TakeLease(expired=False))
            results[member.me.name] = "holds"
        except ConflictError:
            results[member.me.name] = "conflict"

    threads = [threading.Thread(target=take, args=[member]) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results.values()) == ["conflict", "holds"]
    winner = next(name for name, result in results.items() if result == "holds")
    one.wait(winner)
    other.wait(winner)


@pytest.mark.parametrize("there_is_one", [False, True], ids=["no Lease yet", "a released one"])
def test_who_decided_on_a_free_lease_does_not_take_it_from_who_was_faster(
    members: tuple[Member, Member], there_is_one: bool
) -> None:
    """Between a look and the deed on it peers are asked for up to 0.8 s; the watch tells of the
    winner in that time."""
    one, other = members
    if there_is_one:
        one.keeper.take(TakeLease(expired=False))
        one.keeper.release()
    for member in members:
        member.wait("" if there_is_one else None)
    with other.told():
        one.keeper.take(TakeLease(expired=False))
    with pytest.raises(ConflictError):
        other.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)


def test_who_was_overtaken_while_it_decided_to_renew_has_not_renewed(
    members: tuple[Member, Member],
) -> None:
    """It must not renew in another's name, and its fencing must not be put off by that."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.wait(one.me.name)
    other.wait(one.me.name)
    one.clock.advance(9)
    with one.told():
        other.take_expired()
    with pytest.raises(ConflictError):
        one.keeper.renew(RenewLease("111", 1, ("a-0",)))
    view = one.keeper.observe()
    assert view is not None
    assert view.renewed_at == 1000.0
    one.wait(other.me.name)


def test_who_took_an_expired_lease_knows_so(members: tuple[Member, Member]) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    other.take_expired()
    one.wait(other.me.name)
    views = [member.keeper.observe() for member in members]
    assert [view.taken_expired for view in views if view is not None] == [False, True]


def test_a_renewal_keeps_what_others_wrote(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    with one.told():
        site.annotate("lease", f"pgset-{name}", "shop.example/owner=anna")
    with one.told():
        site.kubectl("-n", site.name, "label", "lease", f"pgset-{name}", "tier=gold")
    one.renew()
    metadata = stored(site, name)["metadata"]
    assert metadata["labels"] == {contract.SET_LABEL: name, "tier": "gold"}
    history = metadata["annotations"].pop(contract.HISTORY)
    assert metadata["annotations"] == {
        "shop.example/owner": "anna",
        contract.SYSTEM_IDENTIFIER: "111",
        contract.TIMELINE: "1",
        contract.MEMBERS: "a-0,a-1",
    }
    assert history.startswith(f"1 {name}-0 20")


def test_a_renewal_can_be_seen_by_people_and_the_taking_stays_dated(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    taken = stored(site, name)["spec"]
    one.renew()
    renewed = stored(site, name)["spec"]
    assert taken["renewTime"] < renewed["renewTime"]
    assert (taken["acquireTime"], taken["leaseTransitions"]) == (
        renewed["acquireTime"],
        renewed["leaseTransitions"],
    )


def history(site: Site, name: str) -> list[tuple[str, str]]:
    text = stored(site, name)["metadata"]["annotations"].get(contract.HISTORY, "")
    return [(entry.split()[0], entry.split()[1]) for entry in text.split(",") if entry]


def test_the_history_grows_with_a_new_timeline_only(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    for timeline in (None, 1, 1, 1):
        one.renew(timeline=timeline)
    one.keeper.release()
    other.wait("")
    other.keeper.take(TakeLease(expired=False))
    for timeline in (1, 2, 2):
        other.renew(timeline=timeline)
    assert history(site, name) == [("1", f"{name}-0"), ("2", f"{name}-1")]


def test_the_history_keeps_the_last_ten(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    for timeline in range(1, 13):
        one.renew(timeline=timeline)
    assert [int(timeline) for timeline, _ in history(site, name)] == list(range(3, 13))


def test_a_release_empties_the_holder_and_keeps_what_is_known_of_the_set(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    """Right after a renewal, too, as when the sidecar leaves: nobody has looked between them."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    before = stored(site, name)
    one.keeper.release()
    other.wait("")
    after = stored(site, name)
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    view = one.keeper.observe()
    assert view is not None
    assert view.renewed_at is None


def test_a_lease_that_another_holds_cannot_be_released(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    before = stored(site, name)
    other.keeper.release()
    assert stored(site, name) == before


def test_only_a_change_of_the_record_counts_as_a_sign_of_life(
    members: tuple[Member, Member],
) -> None:
    """A list that shows the same again is none: a dead holder must not live by a lost watch."""
    one, other = members
    other.line.short_watches = True
    other.line.refusal_to_start = GoneError("too old")
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    other.clock.advance(3)
    wait_until(lambda: other.line.lists == 2, "another list", seconds=10)
    listed_again = other.keeper.observe()
    other.clock.advance(3)
    with other.told():
        one.renew()
    renewed = other.keeper.observe()
    views = [view for view in (listed_again, renewed) if view is not None]
    assert [view.changed_at for view in views] == [1000.0, 1006.0]


def test_the_holder_was_seen_to_renew_only_once_it_did(members: tuple[Member, Member]) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    taken = other.keeper.observe()
    with other.told():
        one.renew()
    renewed = other.keeper.observe()
    views = [view for view in (taken, renewed) if view is not None]
    assert [view.renewal_seen for view in views] == [False, True]


def test_a_change_by_a_person_moves_changed_at_and_is_not_overwritten(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.wait(one.me.name)
    one.clock.advance(3)
    with one.told():
        site.annotate("lease", f"pgset-{name}", "shop.example/note=hello")
    with pytest.raises(ConflictError):
        one.keeper.renew(RenewLease("111", 1, ("a-0",)))
    view = one.keeper.observe()
    assert view is not None
    assert (view.changed_at, view.renewed_at) == (1003.0, 1000.0)


def test_a_renewal_restores_a_lease_that_was_deleted_under_the_holder(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    """The API server makes a Lease of a PUT where there is none: atomically, so nobody else can
    hold, and what was known of the set is not lost with it."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    before = stored(site, name)
    one.wait(one.me.name)
    with one.told():
        site.delete("lease", f"pgset-{name}")
    one.keeper.renew(RenewLease("111", 1, ("a-0", "a-1")))
    after = stored(site, name)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    kept = ("annotations", "labels")
    assert [after["metadata"][key] for key in kept] == [before["metadata"][key] for key in kept]
    other.wait(one.me.name)


def test_a_deleted_lease_is_seen_as_none_and_can_be_taken_anew(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    with one.told():
        site.delete("lease", f"pgset-{name}")
    one.wait(None)
    one.keeper.take(TakeLease(expired=False))
    one.wait(one.me.name)


def test_what_a_person_spoilt_counts_as_absent(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    with one.told():
        site.annotate(
            "lease",
            f"pgset-{name}",
            f"{contract.TIMELINE}=two",
            f"{contract.HISTORY}=1 a-0,x a-1 now,2 a-2 now,{'9' * 5000} a-3 now",
            f"{contract.MEMBERS}=,a-1, a-2 ,",
            f"{contract.POSITION}=0/3000060",
            f"{contract.IN_SYNC}= a-1 ,,a-2",
            f"{contract.COPIES}=-1",
            f"{contract.HEIR}=  ",
            f"{contract.SWITCHOVER_TO}= {'a' * 300}",
        )
    view = one.keeper.observe()
    assert view is not None
    assert view.record is not None
    record = view.record
    assert (record.timeline, [e.pod for e in record.history], record.members) == (
        None,
        ["a-2"],
        ("a-1", "a-2"),
    )
    assert (record.position, record.voters, record.copies) == (None, ("a-1", "a-2"), 0)
    assert (record.heir, record.switchover_to) == (None, "a" * 253)


def test_an_empty_lease_is_one_that_nobody_holds(site: Site, name: str) -> None:
    empty = lease(f"pgset-{name}")
    del empty["spec"]
    line = site.line()
    line.create(site.leases, empty)
    member = Member(site, name, 0)
    before = member.holder()
    member.keeper.take(TakeLease(expired=False))
    assert (before, member.holder()) == ("", f"{name}-0")


def test_all_that_is_known_of_a_set_is_written_and_read_back(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.keeper.observe()
    other.catch_up_with(one)
    known = RenewLease(
        "111", 3, ("a-0", "a-1", "a-2"),
        position=2**40, voters=("a-0", "a-1"), copies=2, heir="a-1", switchover_to="a-2",
    )  # fmt: skip
    with other.told():
        one.keeper.renew(known)
    record = other.record()
    read = RenewLease(
        record.system_identifier, record.timeline, record.members,
        record.position, record.voters, record.copies, record.heir, record.switchover_to,
    )  # fmt: skip
    assert read == known


def test_what_is_not_so_any_more_does_not_stay_written(
    members: tuple[Member, Member], site: Site, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    one.keeper.observe()
    one.keeper.renew(
        RenewLease("111", 1, ("a-0",), 5, ("a-0",), copies=1, heir="a-1", switchover_to="a-2")
    )
    one.keeper.observe()
    one.keeper.renew(RenewLease("111", 1, ("a-0",)))
    annotations = stored(site, name)["metadata"]["annotations"]
    assert set(annotations) == {
        contract.SYSTEM_IDENTIFIER,
        contract.TIMELINE,
        contract.MEMBERS,
        contract.HISTORY,
    }


def test_who_takes_over_keeps_the_promise_and_the_wish_and_ends_the_hand_over(
    members: tuple[Member, Member],
) -> None:
    """Voters and position decide who may lead the next time, too, should this one die at once."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.keeper.observe()
    one.keeper.renew(
        RenewLease("111", 1, ("a-0", "a-1"), 5, ("a-0", "a-1"), copies=2, switchover_to="a-1")
    )
    one.keeper.release("a-1")
    other.wait("")
    released = other.record()
    other.keeper.take(TakeLease(expired=False, voters=("a-0", "a-1"), copies=2))
    taken = other.record()
    assert (released.heir, taken.heir) == ("a-1", None)
    kept = (5, ("a-0", "a-1"), 2, "a-1")
    for record in (released, taken):
        assert (record.position, record.voters, record.copies, record.switchover_to) == kept


def test_a_renewal_wakes_nobody_and_moves_changed_at_as_it_comes(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    one.renew()
    other.catch_up_with(one)
    before = other.wakes
    other.clock.advance(3)
    with other.told():
        one.keeper.observe()
        one.keeper.renew(RenewLease("111", 1, ("a-0", "a-1"), position=77))
    other.clock.advance(4)
    assert (other.view().changed_at, other.record().position) == (1003.0, 77)
    assert other.wakes == before


@pytest.mark.parametrize(
    "change",
    [
        {"members": ("a-0",)},
        {"heir": "a-1"},
        {"voters": ("a-0",), "copies": 1},
        {"timeline": 2},
    ],
    ids=["members", "heir", "voters", "timeline"],
)
def test_a_renewal_that_says_something_new_wakes(
    members: tuple[Member, Member], change: dict[str, Any]
) -> None:
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    one.renew()
    other.catch_up_with(one)
    before = other.wakes
    one.keeper.observe()
    known: dict[str, Any] = {
        "system_identifier": "111", "timeline": 1, "members": ("a-0", "a-1")
    }  # fmt: skip
    one.keeper.renew(RenewLease(**known | change))
    wait_until(lambda: other.wakes > before, "a wake", seconds=10)


def test_an_operators_wish_wakes(members: tuple[Member, Member], site: Site, name: str) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    before = one.wakes
    site.annotate("lease", f"pgset-{name}", f"{contract.SWITCHOVER_TO}=a-1")
    wait_until(lambda: one.wakes > before, "a wake", seconds=10)
    assert one.record().switchover_to == "a-1"


def test_a_lease_that_is_held_and_not_expired_is_not_taken(
    members: tuple[Member, Member],
) -> None:
    """Whatever was decided on: the last look before the deed counts."""
    one, other = members
    one.keeper.take(TakeLease(expired=False))
    other.wait(one.me.name)
    other.clock.advance(12)
    with pytest.raises(ConflictError, match=r"is held by .*-0, and not expired"):
        other.keeper.take(TakeLease(expired=True))
    one.wait(one.me.name)


def test_a_view_from_another_thread_does_not_change_what_is_acted_on(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    other.keeper.observe()
    with other.told():
        one.keeper.take(TakeLease(expired=False))
    newest = other.keeper.newest()
    assert newest is not None
    assert newest.record is not None
    assert newest.record.holder == str(one.me)
    with pytest.raises(ConflictError, match="already exists"):
        other.keeper.take(TakeLease(expired=False))


# ── whether the API server can be reached, and what it has not answered ───────────────────


class Detour:
    """A way to the API server that can keep what goes there, or what comes back."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.loses_answers = False
        self.passes_requests = threading.Event()
        self.passes_requests.set()
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._serve)

    def client(self, site: Site) -> ApiClient:
        """A sidecar's, with a connection that is there already, as after what it asked before."""
        client = ApiClient(f"https://127.0.0.1:{self.port}", site.ca_file, site.token_file(SIDECAR))
        client.get("/version")
        return client

    def close(self) -> None:
        """Leave nothing behind: what is still open warns in whatever test runs by then."""
        self.passes_requests.set()
        # The first thread starts the others, so it ends first. A shutdown wakes who waits.
        for ended, thread in enumerate(self._threads):
            for it in self._sockets[: None if ended else 1]:
                with contextlib.suppress(OSError):
                    it.shutdown(socket.SHUT_RDWR)
            thread.join()
        for it in self._sockets:
            it.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                server = socket.create_connection(self._target)
                self._sockets.append(server)
                self._start(self._pump, client, server, True)
                self._start(self._pump, server, client, False)

    def _pump(self, source: socket.socket, sink: socket.socket, there: bool) -> None:
        """A client that has given up does not end the way there: what it said is on its way."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if there:
                    self.passes_requests.wait()
                elif self.loses_answers:
                    continue
                sink.sendall(data)


@pytest.fixture
def detour(site: Site) -> Iterator[Detour]:
    host, _, port = site.address.removeprefix("https://").rpartition(":")
    detour = Detour((host, int(port)))
    yield detour
    detour.close()


def test_what_was_heard_last_has_a_time(members: tuple[Member, Member]) -> None:
    one, other = members
    heard = []
    one.clock.advance(1)
    one.keeper.take(TakeLease(expired=False))
    heard.append(one.view().heard_at)
    one.clock.advance(1)
    one.renew()
    heard.append(one.view().heard_at)
    other.catch_up_with(one)
    other.clock.advance(5)
    with other.told():
        one.renew()
    heard.append(other.view().heard_at)
    assert heard == [1001.0, 1002.0, 1005.0]


def test_a_look_of_ones_own_shows_what_the_watch_does_not_tell(
    members: tuple[Member, Member],
) -> None:
    one, other = members
    other.line.slow_watch.clear()
    one.keeper.take(TakeLease(expired=False))
    other.clock.advance(3)
    answered = other.keeper.look(1.0)
    view = other.view()
    assert (answered, other.holder()) == (True, one.me.name)
    assert (view.heard_at, view.changed_at) == (1003.0, 1003.0)


def test_a_look_that_nobody_answers_in_time_says_so(
    members: tuple[Member, Member], site: Site, detour: Detour
) -> None:
    one, _ = members
    keeper = LeaseKeeper(
        detour.client(site), site.name, Settings(set_name="any"), one.me,
        clock=Clock(), on_change=lambda: None,
    )  # fmt: skip
    detour.passes_requests.clear()
    began = time.monotonic()
    assert not keeper.look(0.3)
    assert time.monotonic() - began < 0.3 + ROOM


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


def test_a_lease_that_is_not_there_is_an_answer_too(members: tuple[Member, Member]) -> None:
    one, _ = members
    one.clock.advance(3)
    assert one.keeper.look(1.0)
    assert (one.view().record, one.view().heard_at) == (None, 1003.0)


def test_a_conflict_is_an_answer(members: tuple[Member, Member]) -> None:
    one, other = members
    other.line.closed = True  # its watch tells nothing any more
    one.keeper.take(TakeLease(expired=False))
    other.clock.advance(3)
    with pytest.raises(ConflictError):
        other.keeper.take(TakeLease(expired=False))
    assert other.view().heard_at == 1003.0


def test_an_excuse_lasts_until_the_lease_is_taken_or_left(members: tuple[Member, Member]) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    seen = [one.view().excused_at]
    one.keeper.excuse(1007.5)
    seen.append(one.view().excused_at)
    one.renew()
    seen.append(one.view().excused_at)
    one.keeper.release()
    seen.append(one.view().excused_at)
    one.keeper.excuse(1009.0)
    one.keeper.observe()
    one.keeper.take(TakeLease(expired=False))
    seen.append(one.view().excused_at)
    assert seen == [None, 1007.5, 1007.5, None, None]


def renew_with(member: Member, *names: str) -> None:
    member.keeper.observe()
    member.keeper.renew(RenewLease("111", 1, names))


def test_a_renewal_without_an_answer_may_have_recorded_its_members_until_something_is_heard(
    members: tuple[Member, Member], site: Site, detour: Detour
) -> None:
    """It was done, and the answer was lost; the watch, which is slow here, tells of it later."""
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    renew_with(one, "a-0", "a-1")
    one.line.writes_by = detour.client(site)
    before = one.version()
    detour.loses_answers = True
    one.line.slow_watch.clear()
    one.clock.advance(2)
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-2")
    view = one.view()
    assert (view.perhaps_members, view.renewed_at) == (("a-0", "a-2"), 1000.0)
    assert one.version() == before
    one.line.slow_watch.set()
    wait_until(lambda: one.version() != before, "the watch", seconds=10)
    assert (one.view().perhaps_members, one.record().members) == ((), ("a-0", "a-2"))


def test_a_renewal_that_was_given_up_can_still_be_done_later(
    members: tuple[Member, Member], site: Site, detour: Detour
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    renew_with(one, "a-0", "a-1")
    one.line.writes_by = detour.client(site)
    detour.passes_requests.clear()
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-2")
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-3")
    assert one.keeper.look(1.0), "reading goes another way, and shows the old record"
    assert (one.record().members, one.view().perhaps_members) == (
        ("a-0", "a-1"),
        ("a-0", "a-2", "a-3"),
    )
    with one.told():
        detour.passes_requests.set()
    landed = one.record().members
    assert landed in (("a-0", "a-2"), ("a-0", "a-3"))
    assert one.view().perhaps_members == ()


def test_a_renewal_that_another_change_has_overtaken_cannot_have_been_done(
    members: tuple[Member, Member], site: Site, detour: Detour, name: str
) -> None:
    one, _ = members
    one.keeper.take(TakeLease(expired=False))
    renew_with(one, "a-0", "a-1")
    one.line.writes_by = detour.client(site)
    detour.passes_requests.clear()
    with pytest.raises(RetryLaterError):
        renew_with(one, "a-0", "a-2")
    with one.told():
        site.annotate("lease", f"pgset-{name}", "shop.example/note=hello")
    assert one.view().perhaps_members == ()
    detour.passes_requests.set()
    time.sleep(1)
    assert stored(site, name)["metadata"]["annotations"][contract.MEMBERS] == "a-0,a-1"


@pytest.mark.parametrize("there_is_one", [False, True], ids=["no Lease yet", "a released one"])
def test_a_take_without_an_answer_is_uncertain_until_something_is_heard(
    members: tuple[Member, Member], site: Site, detour: Detour, there_is_one: bool
) -> None:
    one, _ = members
    if there_is_one:
        one.keeper.take(TakeLease(expired=False))
        one.keeper.release()
    one.line.writes_by = detour.client(site)
    one.keeper.observe()
    detour.passes_requests.clear()
    with pytest.raises(RetryLaterError):
        one.keeper.take(TakeLease(expired=False))
    meanwhile = one.view()
    with one.told():
        detour.passes_requests.set()
    view = one.view()
    assert (meanwhile.uncertain_take, view.uncertain_take) == (True, False)
    assert one.record().holder == str(one.me)
    # What the watch tells proves the take, which counts from when it was sent.
    assert view.renewed_at is not None


# ── the pods ──────────────────────────────────────────────────────────────────────────────

ROLE = contract.DEFAULT_ROLE_LABEL


@pytest.fixture
def pods(site: Site, line: Line, name: str) -> Pods:
    settings = Settings(set_name=name)
    pods = Pods(line, site.name, settings, clock=Clock(), on_change=lambda: None)
    pods.start()
    wait_until(lambda: pods.observe() is not None, "the first list", seconds=10)
    return pods


def wait_for_pods(pods: Pods, expected: tuple[Pod, ...]) -> None:
    with contextlib.suppress(AssertionError):
        wait_until(lambda: pods.observe() == expected, "the pods", seconds=10)
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
    wait_until(lambda: pods.wanted() == 0, "the StatefulSet", seconds=10)
    site.delete("statefulset", name)
    wait_until(lambda: pods.wanted() is None, "its deletion", seconds=10)
    assert before is None


def test_a_set_is_paused_while_its_statefulset_says_so(site: Site, pods: Pods, name: str) -> None:
    site.make_statefulset(name, replicas=0)
    wait_until(lambda: pods.wanted() == 0, "the StatefulSet", seconds=10)
    assert not pods.paused()
    site.annotate("statefulset", name, f"{contract.PAUSED}=true")
    wait_until(pods.paused, "the pause", seconds=10)
    site.annotate("statefulset", name, f"{contract.PAUSED}=perhaps")
    wait_until(lambda: not pods.paused(), "its end", seconds=10)


def test_another_sets_pause_is_nothing_to_this_one(site: Site, pods: Pods, name: str) -> None:
    site.make_statefulset(f"{name}x", replicas=0)
    site.annotate("statefulset", f"{name}x", f"{contract.PAUSED}=true")
    site.make_statefulset(name, replicas=0)
    wait_until(lambda: pods.wanted() == 0, "the StatefulSet", seconds=10)
    assert not pods.paused()


def test_the_loop_is_woken_for_what_it_sees_and_not_for_all_that_happens_to_a_pod(
    site: Site, line: Line, name: str
) -> None:
    wakes = list[float]()
    settings, clock = Settings(set_name=name), Clock()
    pods = Pods(
        line, site.name, settings, clock=clock, on_change=lambda: wakes.append(time.monotonic())
    )
    pods.start()
    wait_until(lambda: pods.observe() is not None, "the first list", seconds=10)
    me = site.make_pod(name, 0)
    wait_until(lambda: bool(pods.observe()), "the pod", seconds=10)
    before = len(wakes)
    site.annotate("pod", me.name, "shop.example/note=hello")
    pods.tell(me, "a sentence of mine")
    pods.set_role(SetRole(me.name, me.uid, "replica"))
    wait_until(lambda: len(wakes) > before, "the label", seconds=10)
    assert len(wakes) == before + 1


def test_the_revision_that_a_pod_was_made_from_is_seen(site: Site, pods: Pods, name: str) -> None:
    me = site.make_pod(name, 0)
    site.kubectl("-n", site.name, "label", "pod", me.name, "controller-revision-hash=web-1")
    wait_for_pods(pods, (Pod(me.name, me.uid, None, None, revision="web-1"),))


def test_a_member_can_delete_its_own_pod(site: Site, pods: Pods, name: str) -> None:
    me = site.make_pod(name, 0)
    wait_until(lambda: bool(pods.observe()), "the pod", seconds=10)
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
    wait_until(lambda: bool(pods.observe()), "the pod", seconds=10)
    stays = pods.leaving_since(me)
    clock.advance(5)
    pods.delete(me)
    wait_until(lambda: pods.leaving_since(me) is not None, "the deletion", seconds=10)
    clock.advance(5)
    pods.tell(me, "leaving")
    others = Identity(me.name, "another life")
    assert (stays, pods.leaving_since(me), pods.leaving_since(others)) == (None, 1005.0, None)
    person.merge(path, {"metadata": {"finalizers": None}})
    wait_until(lambda: pods.leaving_since(me) is None, "its end", seconds=10)


# ── the Events ────────────────────────────────────────────────────────────────────────────


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
