"""What the webhook reads from the API server, over real HTTP."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from certs.renewal import renewed
from tests.webhook import mounted
from tests.webhook.patient_api_server import patient_api_server
from webhook import own_pod
from webhook.api_server import TOKEN_FILE, ApiError, ApiServer
from webhook.settings import InvalidEnvironmentError, SidecarImage, WebhookSettings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def directory(tmp_path):
    (tmp_path / TOKEN_FILE).write_text("a token\n")
    return tmp_path


@contextmanager
def answering(
    answer: bytes, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one request with these bytes, and close; yield the URL and what was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        # A client that does not trust us hangs up in the handshake.
        with contextlib.suppress(ssl.SSLError), connection:
            stream = tls.wrap_socket(connection, server_side=True) if tls else connection
            with stream:
                asked.append(stream.recv(2**16))
                stream.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http{'s' if tls else ''}://localhost:{listener.getsockname()[1]}", asked
        thread.join()


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def whole(content: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(content), content)


def test_a_request_carries_the_token_as_it_is_in_its_file_now(directory):
    with answering(whole(b'{"kind": "Pod"}')) as (url, asked):
        api = patient_api_server(url, directory)
        (directory / TOKEN_FILE).write_text("a newer token\n")
        assert api.get("/api/v1/pods/one", {"a": "b/c"}) == {"kind": "Pod"}
    assert asked[0].startswith(b"GET /api/v1/pods/one?a=b%2Fc HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer a newer token\r\n" in asked[0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "GET /x: 403 no"),
        (whole(b"<html>"), "not JSON"),
        (whole(b"[]"), "not a JSON object"),
        (HEAD + b"Content-Length: 100\r\n\r\n{", "GET /x: "),
    ],
    ids=["forbidden", "html", "list", "cut off"],
)
def test_what_is_no_good_answer_can_be_tried_again_later(directory, answer, reason):
    with answering(answer) as (url, _), pytest.raises(ApiError, match=reason):
        patient_api_server(url, directory).get("/x")


def test_nobody_there_can_be_tried_again_later(directory):
    # Bound, so that nobody else is given the port meanwhile, and nobody listens there.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ApiError):
            patient_api_server(url, directory).get("/x")


def test_without_a_token_it_can_be_tried_again_later(tmp_path):
    with pytest.raises(ApiError, match=TOKEN_FILE):
        patient_api_server("http://127.0.0.1:1", tmp_path).get("/x")


def test_only_the_api_server_that_the_ca_vouches_for_is_told_the_token(directory):
    trust, other = (renewed(None, ["localhost"], datetime.now(UTC))[0] for _ in range(2))
    mounted.write(directory, trust)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / mounted.CERTIFICATE_FILE, directory / mounted.KEY_FILE)
    with answering(whole(b"{}"), context) as (url, asked):
        assert patient_api_server(url, directory).get("/x") == {}
    assert b"a token" in asked[0]
    mounted.write(directory, other)
    with answering(whole(b"{}"), context) as (url, asked):
        api = patient_api_server(url, directory)
        with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
            api.get("/x")
    assert asked == []


def test_events_are_told_however_they_are_cut_into_chunks(directory):
    events = [{"type": "ADDED", "object": {"n": number}} for number in range(3)]
    text = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    pieces = (text[start : start + 7] for start in range(0, len(text), 7))
    answer = CHUNKED + b"".join(map(chunk, pieces)) + chunk(b"")
    with answering(answer) as (url, asked):
        assert list(patient_api_server(url, directory).watch("/x", {}, 30)) == events
    assert b"watch=true&timeoutSeconds=30 " in asked[0]


def test_a_watch_that_is_cut_off_is_told_after_its_events(directory):
    answer = CHUNKED + chunk(b'{"type": "ADDED", "object": {}}\n')
    with answering(answer) as (url, _):
        events = patient_api_server(url, directory).watch("/x", {}, 30)
        assert next(events)["type"] == "ADDED"
        with pytest.raises(ApiError, match="watch of /x"):
            next(events)


def test_sidecars_run_the_image_of_the_webhooks_own_container(directory):
    containers = [
        {"name": "certs", "image": "another", "imagePullPolicy": "Never"},
        {"name": "webhook", "image": "mirror/pgset:1", "imagePullPolicy": "Always"},
    ]
    settings = WebhookSettings("pgset-webhook-x", "pgset-system", directory)
    with answering(whole(json.dumps({"spec": {"containers": containers}}).encode())) as (
        url,
        asked,
    ):
        found = own_pod.sidecar_image(patient_api_server(url, directory), settings)
    assert found == SidecarImage("mirror/pgset:1", "Always")
    assert asked[0].startswith(b"GET /api/v1/namespaces/pgset-system/pods/pgset-webhook-x HTTP/1.1")


def test_where_the_api_server_is_comes_from_the_kubelet():
    assert ApiServer.in_cluster(IN_CLUSTER)._base_url == "https://[fd00::1]:443"


@pytest.mark.parametrize("missing", IN_CLUSTER)
def test_outside_of_a_cluster_the_missing_variable_is_named(missing):
    with pytest.raises(InvalidEnvironmentError, match=f"env {missing} is missing"):
        ApiServer.in_cluster({k: v for k, v in IN_CLUSTER.items() if k != missing})
