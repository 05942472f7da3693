"""What `webhook.patient_worker` uses of gunicorn that gunicorn promises to nobody.

A new release fails here first, by name. That the worker works with it is for test_gunicorn and
test_slow_clients.
"""

import ast
import inspect
import selectors
import socket
import tomllib
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn import http, sock
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers import gthread
from packaging.requirements import Requirement

from webhook import gunicorn_config, patient_worker, probes
from webhook.patient_worker import PatientWorker
from webhook.settings import address

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

CALLED = [
    (gthread.ThreadWorker.enqueue_req, ("self", "conn")),
    (gthread.ThreadWorker.on_client_socket_readable, ("self", "conn", "client")),
    (gthread.ThreadWorker.on_pending_socket_readable, ("self", "conn", "client")),
    (gthread.ThreadWorker.handle, ("self", "conn")),
    (gthread.ThreadWorker.finish_request, ("self", "conn", "fs")),
    (gthread.ThreadWorker.murder_pending, ("self",)),
    (gthread.ThreadWorker.accept, ("self", "listener")),
    (gthread.ThreadWorker.wait_for_and_dispatch_events, ("self", "timeout")),
    (gthread.TConn.__init__, ("self", "cfg", "sock", "client", "server")),
    (gthread.TConn.set_timeout, ("self",)),
    (gthread.ThreadWorker.load_wsgi, ("self",)),
    (sock.ssl_wrap_socket, ("sock", "conf")),
]
"""What is called or overridden, with its parameters; more of them may have a default."""


@pytest.fixture
def worker():
    config = Config()
    worker = gthread.ThreadWorker(1, 1, [], None, 30, config, Logger(config))
    yield worker
    worker.tmp.close()


@pytest.mark.parametrize(("function", "parameters"), CALLED)
def test_a_private_function_is_there_and_takes_what_it_took(function, parameters):
    found = inspect.signature(function).parameters
    needed = [name for name, it in found.items() if it.default is inspect.Parameter.empty]
    assert tuple(needed) == parameters


def test_a_connection_that_waits_for_more_is_told_by_a_name_of_gthreads():
    assert gthread._DEFER is not None


@pytest.mark.parametrize("name", ["pending_conns", "keepalived_conns"])
def test_connections_wait_in_a_deque_of_the_workers(worker, name):
    assert list(getattr(worker, name)) == []
    getattr(worker, name).append("a connection")


KEPT = [
    *("poller", "max_keepalived", "alive", "cfg", "log"),
    *("nr_conns", "worker_connections", "sockets"),
]


@pytest.mark.parametrize("name", KEPT)
def test_a_worker_keeps_under_a_name_what_ours_looks_at(worker, name):
    assert hasattr(worker, name)


def test_a_worker_keeps_the_application_under_a_name_that_ours_calls(worker):
    worker.app = SimpleNamespace(wsgi=lambda: "the application")
    worker.load_wsgi()
    assert worker.wsgi == "the application"


def test_nothing_of_the_worker_is_used_that_is_not_named_here():
    (ours,) = (
        it
        for it in ast.walk(ast.parse(inspect.getsource(patient_worker)))
        if isinstance(it, ast.ClassDef) and it.name == "PatientWorker"
    )
    used = {
        it.attr
        for it in ast.walk(ours)
        if isinstance(it, ast.Attribute) and ast.unparse(it.value) in ("self", "super()")
    }
    named = {*KEPT, "pending_conns", "keepalived_conns", "wsgi"}
    named |= {function.__name__ for function, _ in CALLED}
    assert used - set(vars(PatientWorker)) - named == set()
    overridden = {it for it in vars(PatientWorker) if it in dir(gthread.ThreadWorker)}
    assert {it for it in overridden if not it.startswith("__")} <= named


def test_the_poller_tells_a_client_by_its_connection_and_a_listener_by_none(worker):
    """Our worker serves by that who has had no turn for longest."""
    with (
        selectors.DefaultSelector() as worker.poller,
        sock.socket.create_server(("127.0.0.1", 0)) as listener,
        sock.socket.create_connection(listener.getsockname()) as client,
    ):
        worker.sockets = [listener]
        worker.set_accept_enabled(True)
        assert worker.poller.get_key(listener).data == worker.accept
        conn = gthread.TConn(worker.cfg, client, ("", 0), ("", 0))
        waiting = Future()
        waiting.set_result(gthread._DEFER)
        worker.finish_request(conn, waiting)
        assert worker.poller.get_key(client).data.args == (conn,)
        assert (list(worker.pending_conns), worker.nr_conns) == ([conn], 0)


@pytest.mark.parametrize("name", ["initialized", "parser", "timeout", "sock", "client"])
def test_a_connection_keeps_under_a_name_what_our_worker_looks_at(name):
    with sock.socket.socket() as socket:
        assert hasattr(gthread.TConn(Config(), socket, ("", 0), ("", 0)), name)


def test_a_worker_serves_the_first_address_and_leaves_the_others_to_the_probes(worker, monkeypatch):
    served = []
    monkeypatch.setattr(probes, "serve", lambda listener, _: served.append(listener))
    config = Config()
    config.set("bind", ["127.0.0.1:0", "127.0.0.1:0"])
    first, second = sock.create_sockets(config, Logger(config))
    worker.sockets = [first, second]
    gunicorn_config.post_worker_init(worker)
    assert worker.sockets == [first]
    assert served == [second.sock]
    for it in (first, second):
        it.close()


def test_a_parser_takes_a_whole_request_from_a_list_of_bytes():
    request = next(http.get_parser(Config(), [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ("", 0)))
    assert (request.method, request.path) == ("GET", "/")


def test_only_releases_are_allowed_that_the_worker_runs_on():
    """By test_gunicorn and test_slow_clients: 27.0.0 and older cut off who asks while it ends."""
    listed = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    (allowed,) = (it.specifier for it in map(Requirement, listed) if it.name == "gunicorn")
    assert "27.0.1" in allowed
    assert not {*allowed.filter(["25.1.0", "25.3.0", "26.2.0", "27.0.0", "28.0.0"])}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 here")
def test_it_listens_on_the_addresses_of_both_families():
    config = Config()
    config.set("bind", [address(0)])
    (listener,) = sock.create_sockets(config, Logger(config))
    try:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5.0).close()
    finally:
        listener.close()


def test_without_ipv6_it_listens_on_the_addresses_of_ipv4(monkeypatch):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    assert address(8443) == "0.0.0.0:8443"
