"""What a request to the API server ends with, by a sidecar's own rights."""

import contextlib
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs.authority import make_authority
from sidecar.kube.client import (
    ApiClient,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RetryLaterError,
)
from tests.cluster.kube_adapters.site import POWERLESS, ROOM, Line, Site, lease
from tests.support.database import free_port
from tests.support.waiting import is_quick

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]


DEADLINE = 3.0
"""What a request may take: a second to connect and two to be answered."""


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
        Line(site.address, site.ca_file, tmp_path / "token").get(site.leases)


def is_given_up(client: ApiClient, seconds: float) -> bool:
    def ask() -> None:
        with pytest.raises(RetryLaterError):
            client.get("/version")

    return is_quick(ask, seconds)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_does_not_answer_is_given_up_in_time(
    site: Site, scheme: str, tmp_path: Path
) -> None:
    """With https it is silent in the handshake, with http it has taken the request."""
    (tmp_path / "token").write_text("token")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        client = ApiClient(address, site.ca_file, tmp_path / "token")
        assert is_given_up(client, DEADLINE + ROOM)


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
        assert is_given_up(client, DEADLINE + ROOM)


def test_nobody_listening_is_told_at_once(site: Site, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    address = f"https://127.0.0.1:{free_port()}"
    assert is_given_up(ApiClient(address, site.ca_file, tmp_path / "token"), ROOM)


def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token")
    (tmp_path / "other.crt").write_bytes(make_authority(datetime.now(UTC)).certificate)
    with pytest.raises(RetryLaterError, match="CERTIFICATE_VERIFY_FAILED"):
        Line(site.address, tmp_path / "other.crt", tmp_path / "token").get("/version")


def test_a_token_that_is_not_there_yet_is_no_end_of_a_watch(site: Site, tmp_path: Path) -> None:
    """The mirror's thread goes on after an ApiError, and after nothing else."""
    with pytest.raises(RetryLaterError, match="cannot read the service account token"):
        ApiClient(site.address, site.ca_file, tmp_path / "token").get(site.leases)
