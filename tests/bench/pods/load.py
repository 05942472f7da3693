"""Many clients that create pods at once, each on a connection that is kept."""

import contextlib
import http.client
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final

from sidecar import contract
from tests.bench.pods.creations import Creation
from tests.bench.pods.result import NO_ANSWER, Answer

_HEADERS: Final = {"Content-Type": "application/json"}
_SIDECAR: Final = f'"{contract.SIDECAR_CONTAINER}"'.encode()
_SHOWN: Final = 300
"""Bytes of a refusal."""

Connect = Callable[[], http.client.HTTPConnection]


def create(
    path: str,
    creations: Iterable[Creation],
    connections: int,
    connect: Connect,
    enter: Callable[[], object] = lambda: None,
) -> list[Answer]:
    """Have all pods created; each connection takes the next pod when its last one is answered.

    All are open before the first pod is sent. `enter` is called by each client's thread first.
    Raises OSError where a connection can't be made.
    """
    waiting: queue.SimpleQueue[Creation] = queue.SimpleQueue()
    for creation in creations:
        waiting.put(creation)
    with (
        ThreadPoolExecutor(connections, initializer=enter) as pool,
        contextlib.ExitStack() as opened,
    ):
        made = [
            opened.enter_context(contextlib.closing(it))
            for it in pool.map(lambda _: connect(), range(connections))
        ]
        found = pool.map(lambda it: list(_answers(it, path, waiting)), made)
        return [answer for answers in found for answer in answers]


def _answers(
    connection: http.client.HTTPConnection, path: str, waiting: "queue.SimpleQueue[Creation]"
) -> Iterator[Answer]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield _send(connection, path, waiting.get_nowait())


def _send(connection: http.client.HTTPConnection, path: str, creation: Creation) -> Answer:
    began = time.perf_counter()
    try:
        connection.request("POST", path, creation.body, _HEADERS)
        answer = connection.getresponse()
        content = answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException) as error:
        # The next request opens the connection again.
        connection.close()
        content, status = repr(error).encode(), NO_ANSWER
    milliseconds = (time.perf_counter() - began) * 1000
    said = "" if status == HTTPStatus.CREATED else content[:_SHOWN].decode(errors="replace")
    return Answer(creation.kind, milliseconds, status, _SIDECAR in content, said)
