"""Members of a set as far as its Lease goes, and a detour to the API server that loses messages."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from sidecar.action import RenewLease, TakeLease
from sidecar.kube.client import ApiClient, RetryLaterError
from sidecar.kube.lease import LeaseKeeper
from sidecar.observation import Identity, LeaseRecord, LeaseView
from sidecar.settings import Settings
from tests.cluster.kube_adapters.site import SIDECAR, Site
from tests.support.clock import Clock
from tests.support.waiting import wait_until


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
        wait_until(lambda: self.keeper.look() is not None, "the first list")

    def _on_change(self) -> None:
        self.wakes += 1

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """The watch has told of what happens here, and nobody has looked."""
        before = self.version()
        yield
        wait_until(lambda: self.version() != before, "the watch")

    def version(self) -> str | None:
        """Of the newest record that has come, whether or not the loop has looked at it."""
        view = self.keeper.peek()
        return view.record.resource_version if view and view.record else None

    def catch_up_with(self, other: "Member") -> None:
        """Until it has been told all that the other one knows."""
        wait_until(lambda: self.version() == other.version(), "the watch")

    def view(self) -> LeaseView:
        """What it observes now."""
        view = self.keeper.look()
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
        view = self.keeper.look()
        assert view is not None
        return None if view.record is None else view.record.holder_pod

    def wait(self, holder: str | None) -> None:
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.holder() == holder, "the Lease")
        assert self.holder() == holder

    def renew(self, *, timeline: int | None = 1) -> None:
        self.keeper.look()
        self.keeper.renew(RenewLease("111", timeline, ("a-0", "a-1")))


def stored(site: Site, name: str) -> dict[str, Any]:
    return site.get("lease", f"pgset-{name}")


def renew_with(member: Member, *names: str) -> None:
    member.keeper.look()
    member.keeper.renew(RenewLease("111", 1, names))


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

        def is_answered() -> bool:
            # Its deadline is a sidecar's own, and may pass on a busy machine.
            with contextlib.suppress(RetryLaterError):
                client.get("/version")
                return True
            return False

        wait_until(is_answered, "a connection")
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
