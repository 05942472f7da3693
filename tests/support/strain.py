"""The sidecar's HTTP in a process of its own, and clients in another that mean it no good.

`python -m tests.support.strain serve` prints its port; `… strain KIND PORT` goes on until it is
ended.
"""

import contextlib
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from sidecar.clock import now
from sidecar.observation import Identity, Pod, PostgresView
from sidecar.pledges import Pledges, Respondent
from sidecar.report.message import MAX_BODY
from sidecar.report.server import HttpServer, listen
from tests.sidecar.test_http import LEADING, WRITABLE, application
from tests.support.honest import ASKED, ASKING, PASSWORD
from tests.support.keys import seal_of

PAUSE: Final = 0.05
REFRESH: Final = 0.3
"""Seconds for which `sidecar.agent` waits for a look at PostgreSQL."""


def serve() -> None:
    """Answer as a primary's sidecar does whose PostgreSQL says nothing, and whose loop goes on."""
    me = Identity(ASKED, "uid-0")
    pods = tuple(
        Pod(name, uid, "127.0.0.1", None) for name, uid in ((ASKED, "uid-0"), (ASKING, "uid-1"))
    )
    respondent = Respondent(
        me,
        seal_of(PASSWORD),
        Pledges(now),
        lease=lambda: None,
        pods=lambda: pods,
        clock=now,
        primary="primary",
    )
    answers = application(
        LEADING, clock=lambda: 1000.0, refresh=_waits_in_vain, respondent=respondent
    )
    server = HttpServer(answers, listen(0, "127.0.0.1"), waits=answers.waits)
    server.start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    time.sleep(600)


def _waits_in_vain() -> PostgresView:
    time.sleep(REFRESH)
    return WRITABLE


def connect(port: int) -> socket.socket:
    """Connect as fast as the server takes it."""
    return socket.create_connection(("127.0.0.1", port))


def drip(port: int, head: bytes) -> None:
    """Keep 400 clients that have sent this head and now send a byte of the body now and then."""
    held: list[socket.socket] = []
    while True:
        while len(held) < 400:
            client = connect(port)
            client.setblocking(False)
            with contextlib.suppress(OSError):
                client.send(head)
            held.append(client)
        for client in held[:]:
            try:
                client.send(b"x")
            except BlockingIOError:
                pass
            except OSError:
                held.remove(client)
                client.close()
        time.sleep(PAUSE)


def drip_many_fields(port: int) -> None:
    """With a head as large as may be, of as many fields as there is room for."""
    head = b"POST /failsafe HTTP/1.1\r\nContent-Length: %d\r\n" % MAX_BODY
    drip(port, head + b"a:\r\n" * ((8190 - len(head)) // 4) + b"\r\n")


def drip_few_fields(port: int) -> None:
    """With a head that is not refused."""
    head = b"POST /failsafe HTTP/1.1\r\nContent-Length: %d\r\n" % MAX_BODY
    drip(port, head + b"a:%s\r\n" % (b"b" * 150) * 50 + b"\r\n")


def ask_for_metrics(port: int) -> None:
    """900 at once, again and again: more than are held, and as many as this process may have."""
    while True:
        clients = [connect(port) for _ in range(900)]
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(b"GET /metrics HTTP/1.1\r\n\r\n")
        for client in clients:
            with contextlib.suppress(OSError):
                client.recv(65536)
            client.close()


def ask_for_long_queries(port: int) -> None:
    """By 300 at once."""
    asked = b"GET /replica?" + b"lag=%01&" * 1000 + b" HTTP/1.1\r\n\r\n"
    while True:
        clients = [connect(port) for _ in range(300)]
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(asked)
        for client in clients:
            with contextlib.suppress(OSError):
                client.recv(65536)
            client.close()


def say_nothing(port: int) -> None:
    """900 at once; who is cut off comes again."""
    held = [connect(port) for _ in range(900)]
    while True:
        ended, _, _ = select.select(held, [], [], 0)
        for client in ended:
            held.remove(client)
            client.close()
            held.append(connect(port))
        time.sleep(PAUSE)


def read_nothing(port: int) -> None:
    """100 that ask for much and never read it."""
    while True:
        clients = []
        for _ in range(100):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            clients.append(client)
        time.sleep(PAUSE)
        for client in clients:
            client.close()


KINDS: Final[Mapping[str, Callable[[int], None]]] = {
    function.__name__: function
    for function in (
        drip_many_fields,
        drip_few_fields,
        ask_for_metrics,
        ask_for_long_queries,
        say_nothing,
        read_nothing,
    )
}

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        KINDS[sys.argv[1]](int(sys.argv[2]))
