"""Replicas of the webhook at work on one API server: who wins a race, what heals."""

import base64
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from certs.authority import Pair, make_authority, service_names
from certs.ca_bundle import Registrations
from certs.lifetimes import DEFAULT
from certs.rotation import authorities_in
from certs.secret_store import SecretStore
from certs.serving_secret import ServingSecret
from certs.upkeep import Adapters, Upkeep
from tests.certs.api_server import (
    CONFIGURATION,
    SECRET,
    SERVING,
    ApiServer,
    registration,
    serving,
)
from tests.certs.handshake import peer_names

NAMES = service_names("pgset-webhook", "pgset-system")
NOW = datetime.now(UTC)


@pytest.fixture
def api():
    server = ApiServer()
    server.objects[CONFIGURATION] = registration("statefulsets.pgset.dev", "pods.pgset.dev")
    return server


@pytest.fixture
def api_client(api):
    with serving(api) as api_client:
        yield api_client


class Clocks:
    """Both clocks of a replica; the wall clock may be stepped without the other."""

    def __init__(self) -> None:
        self.wall = NOW
        self.monotonic = 0.0

    def pass_by(self, time: timedelta) -> None:
        self.wall += time
        self.monotonic += time.total_seconds()


def replica(api_client, clocks: Clocks | None = None) -> Upkeep:
    clocks = clocks or Clocks()
    adapters = Adapters(
        store=SecretStore(client.CoreV1Api(api_client), "pgset-system", "pgset-webhook-tls"),
        registrations=Registrations(client.AdmissionregistrationV1Api(api_client), "pgset"),
        serving=ServingSecret(
            client.CoreV1Api(api_client), "pgset-system", "pgset-webhook-serving"
        ),
        now=lambda: clocks.wall,
        monotonic=lambda: clocks.monotonic,
    )
    return Upkeep(adapters, NAMES, DEFAULT)


def served(api) -> Pair:
    data = api.objects[SERVING]["data"]
    return Pair(*(base64.b64decode(data[key]) for key in ("tls.crt", "tls.key")))


def kept(api) -> Pair:
    data = api.objects[SECRET]["data"]
    return Pair(*(base64.b64decode(data[key]) for key in ("tls.crt", "tls.key")))


def bundles(api) -> set[bytes]:
    return {
        base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
        for webhook in api.objects[CONFIGURATION]["webhooks"]
    }


def assert_callable(api, directory: Path) -> None:
    """A client that trusts what the registrations say can call who serves from the Secret."""
    (bundle,) = bundles(api)
    assert set(NAMES) == peer_names(directory, served(api), bundle, NAMES[0])


def test_the_first_check_makes_the_webhook_callable(api, api_client, tmp_path):
    assert replica(api_client).check() is True
    assert_callable(api, tmp_path)


def test_a_second_check_writes_nothing(api, api_client):
    upkeep = replica(api_client)
    upkeep.check()
    written = list(api.writes)
    upkeep.check()
    assert written == api.writes


def test_two_replicas_that_start_together_serve_the_same_pair(api, api_client, tmp_path):
    # Both have seen that there is no Secret before either may write one.
    together = threading.Barrier(2, timeout=60)
    first = threading.local()

    def meet(path):
        if path == SECRET and not getattr(first, "met", False):
            first.met = True
            together.wait()

    api.before_write = meet
    replicas = [replica(api_client) for name in ("a", "b")]
    threads = [threading.Thread(target=upkeep.check) for upkeep in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served(api) == kept(api)
    assert api.writes.count(SECRET) == 1
    assert_callable(api, tmp_path)


def test_a_deleted_secret_is_put_back_as_it_was(api, api_client):
    upkeep = replica(api_client)
    upkeep.check()
    before = api.objects[SECRET]["data"]
    api.delete(SECRET)
    upkeep.check()
    assert before == api.objects[SECRET]["data"]


@pytest.mark.parametrize("data", [{}, {"ca.crt": "!", "ca.key": "", "tls.crt": "", "tls.key": ""}])
def test_a_broken_secret_is_put_back_as_it_was(api, api_client, data):
    upkeep = replica(api_client)
    upkeep.check()
    before = api.objects[SECRET]["data"]
    api.objects[SECRET]["data"] = data
    upkeep.check()
    assert before == api.objects[SECRET]["data"]


def test_a_blanked_ca_bundle_is_written_again_and_nothing_beside_it(api, api_client, tmp_path):
    upkeep = replica(api_client)
    upkeep.check()
    api.objects[CONFIGURATION]["webhooks"][1]["clientConfig"]["caBundle"] = ""
    api.objects[CONFIGURATION]["webhooks"][1]["timeoutSeconds"] = 3
    upkeep.check()
    assert_callable(api, tmp_path)
    assert api.objects[CONFIGURATION]["webhooks"][1]["timeoutSeconds"] == 3


def test_a_registration_that_comes_later_is_found_by_a_later_check(api, api_client, tmp_path):
    later = api.objects.pop(CONFIGURATION)
    upkeep = replica(api_client)
    assert upkeep.check() is False
    assert served(api)
    api.objects[CONFIGURATION] = later
    assert upkeep.check() is True
    assert_callable(api, tmp_path)


def test_a_leaf_near_its_end_is_replaced_by_one_that_everybody_trusts_already(
    api, api_client, tmp_path
):
    upkeep = replica(api_client, clocks := Clocks())
    clocks.wall = NOW - timedelta(days=300)
    upkeep.check()
    bundle, leaf = bundles(api), served(api)
    clocks.wall = NOW
    upkeep.check()
    assert leaf != served(api)
    assert bundle == bundles(api)
    assert_callable(api, tmp_path)


def test_who_loses_the_race_for_a_renewal_takes_the_winners(api, api_client, tmp_path):
    long_ago = Clocks()
    long_ago.wall = NOW - timedelta(days=300)
    replica(api_client, long_ago).check()
    winner = replica(api_client)
    loser = replica(api_client)

    def let_the_winner_write_first(path):
        if path == SECRET:
            api.before_write = lambda _: None
            winner.check()

    api.before_write = let_the_winner_write_first
    loser.check()
    assert served(api) == kept(api)
    assert_callable(api, tmp_path)


# ── A new CA ──────────────────────────────────────────────────────────────────────────────


def authorities(api) -> int:
    (bundle,) = bundles(api)
    return len(authorities_in(bundle))


@pytest.fixture
def aged(api_client):
    """Two replicas, a and b, whose CA has come into the last third of its life."""
    clocks = Clocks()
    replicas = [replica(api_client, clocks) for name in ("a", "b")]
    for age in (DEFAULT.authority * 2 / 3, DEFAULT.leaf / 2):
        clocks.wall = NOW - age
        for upkeep in replicas:
            upkeep.check()
    clocks.wall = NOW
    return replicas, clocks


def test_a_new_ca_is_published_beside_the_old_one_before_anyone_serves_its_leaf(
    api, tmp_path, aged
):
    (a, b), _ = aged
    old = served(api)
    a.check()
    b.check()
    assert authorities(api) == 2
    assert old == served(api)
    assert_callable(api, tmp_path)


def test_once_settled_the_new_leaf_is_served_while_the_old_ones_ca_is_trusted_too(
    api, tmp_path, aged
):
    (a, b), clocks = aged
    old = served(api)
    a.check()
    b.check()
    clocks.pass_by(DEFAULT.settle)
    a.check()
    assert served(api) == kept(api) != old
    assert_callable(api, tmp_path)
    b.check()
    assert authorities(api) == 2


def test_the_old_ca_goes_an_overlap_after_its_leaf_was_last_served_and_not_before(
    api, tmp_path, aged
):
    (a, b), clocks = aged
    waits = (DEFAULT.settle, DEFAULT.overlap - timedelta(seconds=1))
    for wait in (timedelta(), *waits):
        clocks.pass_by(wait)
        a.check()
        b.check()
    assert authorities(api) == 2
    clocks.pass_by(timedelta(seconds=1))
    b.check()
    assert authorities(api) == 1
    assert_callable(api, tmp_path)


def test_a_leaf_that_could_be_served_late_only_makes_the_overlap_begin_late(api, aged):
    """The kubelets have yet to bring it into the pods."""
    (a, _), clocks = aged
    a.check()
    clocks.pass_by(DEFAULT.overlap - timedelta(seconds=1))
    a.check()
    clocks.pass_by(timedelta(seconds=1))
    a.check()
    assert authorities(api) == 2


@pytest.mark.parametrize("data", [{}, {"tls.crt": "!", "tls.key": ""}, None])
def test_what_is_served_is_put_back_as_it_was(api, api_client, data):
    upkeep = replica(api_client)
    upkeep.check()
    before = served(api)
    if data is None:
        api.delete(SERVING)
    else:
        api.objects[SERVING]["data"] = data
    upkeep.check()
    assert served(api) == before


def test_the_webhooks_secret_holds_no_key_but_the_leafs(api, api_client):
    replica(api_client).check()
    assert api.objects[SERVING]["type"] == "kubernetes.io/tls"
    data = {key: base64.b64decode(value) for key, value in api.objects[SERVING]["data"].items()}
    assert data.keys() == {"ca.crt", "tls.crt", "tls.key"}
    assert base64.b64decode(api.objects[SECRET]["data"]["ca.key"]) not in data.values()


def test_a_round_that_failed_begins_the_overlap_anew(api, aged):
    (a, _), clocks = aged
    a.check()
    clocks.pass_by(DEFAULT.settle)
    a.check()
    api.away = True
    with pytest.raises(ApiException):
        a.check()
    api.away = False
    clocks.pass_by(DEFAULT.overlap)
    a.check()
    assert authorities(api) == 2


@pytest.mark.parametrize("step", [-3 * DEFAULT.authority, 3 * DEFAULT.authority])
def test_a_clock_stepped_past_every_validity_is_made_good_in_one_round_of_each(
    api, api_client, tmp_path, step
):
    clocks = Clocks()
    replicas = [replica(api_client, clocks) for name in ("a", "b")]
    for clocks.wall in (NOW + step, NOW):
        for upkeep in replicas:
            upkeep.check()
    assert served(api) == kept(api)
    assert_callable(api, tmp_path)


def test_what_another_has_published_meanwhile_is_not_written_over(api, tmp_path, aged):
    (a, b), _ = aged

    def let_another_publish_first(path):
        if path == CONFIGURATION:
            api.before_write = lambda _: None
            (own,) = bundles(api)
            both = base64.b64encode(own + make_authority(NOW).certificate).decode()
            webhooks = [
                {"name": name, "clientConfig": {"caBundle": both}}
                for name in ("statefulsets.pgset.dev", "pods.pgset.dev")
            ]
            api.patch(CONFIGURATION, {"metadata": {}, "webhooks": webhooks})

    api.before_write = let_another_publish_first
    a.check()
    assert authorities(api) == 3
    b.check()
    assert_callable(api, tmp_path)


def test_who_meets_no_secret_keeps_what_others_still_serve_trusted(api, api_client, tmp_path):
    replica(api_client).check()
    api.delete(SECRET)
    replica(api_client).check()
    assert authorities(api) == 2
    assert_callable(api, tmp_path)
