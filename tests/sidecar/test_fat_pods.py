"""What somebody puts into pods of a namespace takes little of a sidecar's memory."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sidecar.kube.client import Json
from tests.support import loopback

pytestmark = pytest.mark.thorough

LIMIT_MB = 128
"""Of the sidecar's container: webhook/resources.py."""
FAT = 60

LOOK = """
import sys, threading, time
from pathlib import Path
from sidecar.kube.client import ApiClient
from sidecar.kube.pods import Pods
from sidecar.settings import Settings

client = ApiClient(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[2]), read_seconds=120)
settings = Settings(set_name="orders")
pods = Pods(client, "shop", settings, clock=time.monotonic, on_change=lambda: None)
pods.start()
deadline = time.monotonic() + 240
while "orders-1" not in {it.name for it in pods.observe() or ()} and time.monotonic() < deadline:
    time.sleep(0.05)
status = Path("/proc/self/status").read_text()
peak = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
print(peak, *(f"{it.name}={it.ip}" for it in pods.observe() or () if it.ip))
"""


def pod(name: str, **more: Any) -> Json:
    metadata = {"name": name, "uid": f"uid of {name}", "resourceVersion": "3"}
    return {"metadata": metadata, "status": {"podIP": f"ip of {name}"}} | more


@lru_cache
def fat(number: int) -> str:
    """Nearly as large as the API server stores one, and of small values, each of which takes 20
    times as much in memory."""
    name = f"orders-{100 + number}"
    return json.dumps(pod(name, spec={"containers": [{"env": [{"name": "a"}] * 90_000}]}))


def deep(name: str) -> str:
    """Whoever writes managedFields decides how deep they are."""
    shown = json.dumps(pod(name, spec={"deep": None}))
    return shown.replace("null", '{"f:a":' * 5_000 + "{}" + "}" * 5_000)


class _Api(loopback.QuietHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.send_response(200)
        self.end_headers()
        # Who has read enough hangs up.
        with suppress(ConnectionError):
            for piece in self.answer(url.path, query):
                self.wfile.write(piece.encode())
            if "watch" in query:
                self.wfile.flush()
                self.server.closes.wait(300)  # type: ignore[attr-defined]

    def answer(self, path: str, query: dict[str, str]) -> Iterator[str]:
        if not path.endswith("/pods"):
            yield "" if "watch" in query else '{"metadata": {"resourceVersion": "5"}, "items": []}'
        elif "watch" in query:
            events = [fat(0), deep("orders-8"), json.dumps(pod("orders-1"))]
            for event in events:
                yield f'{{"type": "ADDED", "object": {event}}}\n'
        else:
            items = [*map(fat, range(FAT)), deep("orders-9"), json.dumps(pod("orders-0"))]
            begin = int(query.get("continue", "0"))
            end = min(len(items), begin + int(query.get("limit", len(items))))
            more = f', "continue": "{end}"' if end < len(items) else ""
            yield f'{{"metadata": {{"resourceVersion": "5"{more}}}, "items": ['
            for number in range(begin, end):
                yield ("," if number > begin else "") + items[number]
            yield "]}"


def test_pods_of_a_megabyte_each_take_little_of_the_memory_and_hide_no_member(
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text("token")
    closes = threading.Event()
    with loopback.serving(_Api, before_close=closes.set) as server:
        server.closes = closes  # type: ignore[attr-defined]
        ran = subprocess.run(
            [sys.executable, "-c", LOOK, loopback.url(server), str(token)],
            capture_output=True,
            text=True,
            check=True,
        )
    peak, *seen = ran.stdout.split(" ", 1)
    assert int(peak) < LIMIT_MB * 1024 * 3 / 4
    assert "orders-0=ip of orders-0" in seen[0]
    assert "orders-1=ip of orders-1" in seen[0]
