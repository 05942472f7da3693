"""gunicorn's threaded worker, made patient: no client can make it wait.

Each connection gets only the work that can be done without waiting: a step of its TLS handshake,
reading what has come, answering once the request is whole, sending what the client takes. In
between it waits in gunicorn's own poller, as idle connections do, and is cut off when its time is
up. gunicorn itself reads and writes in threads, without a timeout: two clients that connect and
send nothing would stop a server of two threads.

Work that never waits needs no threads either: it is all done in the loop of the poller. Handing a
review to a thread and back took about a seventh of its CPU time.
"""

import contextlib
import select
import selectors
import socket
import ssl
import time
from collections import Counter, deque
from typing import Any, Final

from gunicorn import http as gunicorn_http
from gunicorn import sock
from gunicorn.workers import gthread

from webhook import stand_ins, turns, usual_request
from webhook.framing import MAX_BODY, Framing, RefusedError
from webhook.tls import NoCertificateError

PATIENCE: Final = 5.0
"""Seconds for a handshake, for a request to come and for its answer to go. The API server waits as
long for us, and has given up by then."""

LINGER: Final = 2.0
"""Seconds that a client has to take its answer before its connection is closed (RFC 9112, 9.6)."""

MAX_WAITING: Final = 16 * 2**20
"""Bytes that all unfinished requests and unread answers may hold together, so that slow clients
can't use up the memory of the pod: two of the largest. Who has waited longest is cut off."""

TURN: Final = 0.01
"""Seconds of CPU for those of a kind that are ready, before the next kind has its turn. A busy
machine makes turns last longer, and no fewer are served in each."""

CHUNK: Final = 64 * 2**10
"""More than a TLS record holds: nothing stays behind in OpenSSL, where the poller can't see it."""

LARGE: Final = 128 * 2**10
"""Bytes. A request that has more waits in another line, and no more of it is read in one turn. A
pod's review has under 64 KiB."""

_TOO_MANY: Final = RefusedError(
    "503 Service Unavailable",
    f"there are too many unfinished requests; allowed: {MAX_WAITING} bytes in all",
)


class _Client:
    """How far a connection's client has come, and by when it has to come further. For example:

     0 s    it connects                    its handshake has to be done at 5 s (PATIENCE)
     1 s    its handshake is done          a request has to begin at 101 s (gunicorn's keepalive)
    60 s    the first bytes of a request   it has to be whole at 65 s
    62 s    it is whole, and answered      the answer has to be taken at 67 s
    63 s    the answer is taken            another request has to begin at 163 s, or else, after
                                           the last answer, it has to close at 65 s (LINGER)
    """

    def __init__(self, address: str = "") -> None:
        self.address = address
        self.received = bytearray()
        self.framing = Framing()
        self.since = time.monotonic()
        """When it came, or had its last answer."""
        self.deadline = self.since + PATIENCE
        self.unsent = bytearray()
        """What is left of the answer."""
        self.may_ask_again = True
        self.answered = False
        """It has its last answer, and only has to close."""
        self.has_asked = False
        """It had a review answered, as only an API server has."""
        self.held = 0
        """How many of the worker's `held` are its bytes."""
        self.turn = self.since
        """When something was last done for it."""
        self.ready_since = 0.0
        """Since when it is ready and waits for its turn; 0 while we wait for it."""
        self.large = False
        """Its request has more than LARGE bytes."""
        self.ended = False
        """It was closed to make room."""

    def waits_for(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def is_ready(self, now: float) -> None:
        self.ready_since = self.ready_since or now

    def begins_turn(self) -> None:
        """Put its deadline off by as long as it has waited for its turn."""
        self.turn = time.monotonic()
        if self.ready_since:
            self.deadline += self.turn - self.ready_since
            self.ready_since = 0.0


class PatientWorker(gthread.ThreadWorker):  # type: ignore[misc] # gunicorn has no type information
    """Put it into gunicorn's `worker_class`; for HTTP/1.1 over TLS."""

    pending_conns: deque[Any]
    keepalived_conns: deque[Any]
    """gunicorn's own: connections that wait for more from their client, or for another request."""

    held = 0
    """Bytes of all unfinished requests and unread answers."""
    turned = 0.0
    """When the loop last began a round."""

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do what can be done for who is ready, and for a `TURN` of each kind at most."""
        ready = [key for key, _ in self.poller.select(timeout)]
        self.turned = time.monotonic()
        for conn in turns.clients(ready):
            conn.pgset_client.is_ready(self.turned)
        for kind in turns.kinds(ready):
            end = time.thread_time() + TURN
            for key in kind:
                key.data(key.fileobj)
                if time.thread_time() > end:
                    break

    def accept(self, listener: socket.socket) -> None:
        """Accept all that wait, and only that: who was first need not have the first turn."""
        end = time.thread_time() + TURN
        while time.thread_time() < end:
            try:
                client, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self.log.warning("cannot accept a connection: %s", error)
                return
            self.nr_conns += 1
            # gunicorn accepts nobody while it has as many as it may have.
            if self.nr_conns >= self.worker_connections:
                self._make_room()
            conn = gthread.TConn(self.cfg, client, address, listener.getsockname())
            conn.pgset_client = _Client(address[0])
            self.finish_request(conn, stand_ins.Done(gthread._DEFER))

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        """Go on with one that waited for more."""
        if not conn.pgset_client.ended:
            super().on_pending_socket_readable(conn, client)

    def enqueue_req(self, conn: Any) -> None:
        """Do what can be done for a connection that is new or ready, where gunicorn has threads."""
        self.finish_request(conn, stand_ins.Done(self.handle(conn)))

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Do the same for a kept-alive connection, which usually stays one, and in the poller."""
        if conn.pgset_client.ended:
            return
        self.keepalived_conns.remove(conn)
        result = self.handle(conn)
        if result is True and self.alive:
            conn.set_timeout()
            self.keepalived_conns.append(conn)
        else:
            self.poller.unregister(client)
            self.finish_request(conn, stand_ins.Done(result))

    def handle(self, conn: Any) -> object:
        """Do what can be done for `conn` at once.

        Returns, as gunicorn has it: True if the connection is kept for another request, False if it
        is to be closed, and `_DEFER` if it waits for its client.
        """
        client = conn.pgset_client
        client.begins_turn()
        result = self._handle(conn, client)
        self._count(client, len(client.received) + len(client.unsent) if result else 0)
        return result

    def _handle(self, conn: Any, client: _Client) -> object:
        conn.sock.setblocking(False)
        try:
            return self._advance(conn, client)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            if time.monotonic() < client.deadline:
                return gthread._DEFER
        except NoCertificateError as error:
            self.log.warning("cut off a client: %s", error)
        except OSError as error:  # ssl.SSLError is one of them
            self.log.debug("cut off a client: %s", error)
        except Exception:
            # The loop goes on: all other clients are served by it too.
            self.log.exception("cut off a client")
        return _cut_off(conn)

    def finish_request(self, conn: Any, fs: stand_ins.Done) -> None:
        """Let gunicorn put the connection where it belongs, and keep to the client's deadline."""
        super().finish_request(conn, fs)
        if self.pending_conns and self.pending_conns[-1] is conn:
            conn.timeout = conn.pgset_client.deadline
            if conn.pgset_client.unsent:
                key = self.poller.get_key(conn.sock)
                self.poller.modify(conn.sock, selectors.EVENT_WRITE, key.data)

    def murder_pending(self) -> None:
        """Close all whose time is up; gunicorn stops at the first one that has time left."""
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            if not conn.pgset_client.ready_since:
                self._end(conn)

    def _count(self, client: _Client, held: int) -> None:
        self.held += held - client.held
        client.held = held

    def _make_room(self) -> None:
        """End some of the address that has most: the oldest that never had a review answered.

        Where all of them had, the longest idle. An API server asks on the connections that it has,
        and so keeps them.
        """
        waiting = [*self.pending_conns, *self.keepalived_conns]
        have = Counter(conn.pgset_client.address for conn in waiting)
        most = max(have, key=have.__getitem__, default=None)
        theirs = [conn for conn in waiting if conn.pgset_client.address == most]
        theirs.sort(key=lambda conn: conn.pgset_client.since)
        silent = [conn for conn in theirs if not conn.pgset_client.has_asked]
        # Several at once, as looking for them takes as long as a handshake.
        for conn in silent[: self.worker_connections // 50 + 1] or theirs[:1]:
            self._end(conn)

    def _end(self, conn: Any) -> None:
        """Close one that waits; the poller may have told already that it is ready."""
        conn.pgset_client.ended = True
        self._count(conn.pgset_client, 0)
        for connections in (self.pending_conns, self.keepalived_conns):
            with contextlib.suppress(ValueError):
                connections.remove(conn)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def _advance(self, conn: Any, client: _Client) -> object:
        """Go on from where it waited. Raises an error of its socket where it has to wait again."""
        if client.answered:
            return _drained(conn)
        if client.unsent:
            return self._send(conn, client)
        if not conn.initialized:
            self._shake_hands(conn, client)
        try:
            request = self._whole_request(conn, client)
        except RefusedError as refusal:
            self.log.warning("refused a request: %s", refusal)
            conn.sock.send(refusal.answer())
            return self._finished(conn, client)
        if request is None:
            return _cut_off(conn)
        self._answer(conn, client, request)
        return self._send(conn, client)

    def _answer(self, conn: Any, client: _Client, request: bytes) -> None:
        environ = usual_request.environment(request)
        # gunicorn closes those connections that it must not keep.
        if environ and self.alive and len(self.keepalived_conns) < self.max_keepalived:
            client.unsent += usual_request.answer(self.wsgi, environ)
            kept = True
        else:
            kept = self._answer_by_gunicorn(conn, client, request)
        if request.startswith(b"POST /mutate/") and client.unsent.startswith(b"HTTP/1.1 200"):
            client.has_asked = True
        # Requests that were sent without waiting for an answer have to be sent again.
        client.may_ask_again = kept and not client.received
        client.waits_for(PATIENCE)

    def _answer_by_gunicorn(self, conn: Any, client: _Client, request: bytes) -> bool:
        # A parser of bytes, not of a socket: it can't wait for what has not come.
        conn.parser = gunicorn_http.get_parser(self.cfg, [request], conn.client)
        tls, conn.sock = conn.sock, stand_ins.Answer()
        try:
            kept = super().handle(conn)
            client.unsent = conn.sock.written
        finally:
            conn.sock = tls
        return bool(kept)

    def _send(self, conn: Any, client: _Client) -> object:
        self._count(client, len(client.received) + len(client.unsent))
        self._check_memory()
        while client.unsent:
            del client.unsent[: conn.sock.send(client.unsent)]
        if not client.may_ask_again:
            return self._finished(conn, client)
        client.since = time.monotonic()
        client.waits_for(self.cfg.keepalive)
        return True

    def _shake_hands(self, conn: Any, client: _Client) -> None:
        if _has_gone(conn.sock):
            raise ConnectionResetError("it has gone before its handshake")
        if not isinstance(conn.sock, ssl.SSLSocket):
            conn.sock = sock.ssl_wrap_socket(conn.sock, self.cfg)
        conn.sock.do_handshake()
        conn.initialized = True
        # gunicorn checks whether a kept connection's parser has read too much: this one is empty.
        conn.parser = gunicorn_http.get_parser(self.cfg, [], conn.client)
        # API servers open spare connections: one without a request counts as kept alive.
        client.waits_for(self.cfg.keepalive)

    def _whole_request(self, conn: Any, client: _Client) -> bytes | None:
        """Read what has come, and return the request; None if the client has closed.

        Raises SSLWantReadError while the request isn't whole, BlockingIOError after as much
        of a large one as may be read in a turn.
        """
        seen, most = len(client.received), LARGE if client.large else 1
        while (length := client.framing.length(client.received)) is None or (
            len(client.received) < length
        ):
            client.large = length is not None and length > LARGE
            if client.large and len(client.received) - seen >= most:
                raise BlockingIOError
            received = conn.sock.recv(CHUNK)
            if not received:
                return None
            if not client.received:
                client.waits_for(PATIENCE)
            client.received += received
            self._count(client, len(client.received))
            self._check_memory()
        request = bytes(client.received[:length])
        del client.received[:length]
        client.framing, client.large = Framing(), False
        return request

    def _check_memory(self) -> None:
        """Cut off who has waited longest for the rest of a request, or to have its answer read."""
        while self.held > MAX_WAITING:
            waiting = [conn for conn in self.pending_conns if conn.pgset_client.held]
            if not waiting:
                break
            oldest = min(waiting, key=lambda conn: conn.pgset_client.deadline)
            self.log.warning("cut off the slowest client: all wait for more than %s", MAX_WAITING)
            if not oldest.pgset_client.unsent:
                with contextlib.suppress(OSError):
                    oldest.sock.send(_TOO_MANY.answer())
            self._end(oldest)

    def _finished(self, conn: Any, client: _Client) -> object:
        """Close after an answer; at once, the client might lose what it has not read yet."""
        with contextlib.suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        client.answered = True
        client.waits_for(LINGER)
        return _drained(conn)


def _has_gone(client: socket.socket) -> bool:
    """Return whether nobody is there any more: what they had sent before can still be read."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


def _drained(conn: Any) -> bool:
    """Discard what still comes. Raises BlockingIOError while the client hasn't closed."""
    for _ in range(MAX_BODY // CHUNK):
        if not conn.sock.recv(CHUNK):
            break
    return _cut_off(conn)


def _cut_off(conn: Any) -> bool:
    """Leave gunicorn a connection that it can close in its loop without waiting."""
    with contextlib.suppress(OSError):
        conn.sock.shutdown(socket.SHUT_RDWR)
    return False
