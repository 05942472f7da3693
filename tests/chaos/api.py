"""The API server as the runner asks it: directly from the host, with the admin's certificate."""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from deploy.local import paths, pki

Json = dict[str, Any]

_SECONDS: Final = 60.0
"""What a busy API server may take to answer."""
_WATCH_SILENCE: Final = 5.0
"""After so long without a word a watch is begun anew: the API server may have been replaced."""


class ApiError(Exception):
    """The API server refused, or there was no answer."""


def request(
    method: str,
    path: str,
    body: Json | None = None,
    *,
    kind: str = "application/json",
    seconds: float = _SECONDS,
) -> Json:
    """Return what the API server answers; ApiError where it does not say yes, or not in time."""
    connection = _connect(seconds)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": kind})
        answer = connection.getresponse()
        content: Json = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ApiError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= http.HTTPStatus.BAD_REQUEST:
        raise ApiError(f"{method} {path}: {content.get('message', answer.status)}")
    return content


def merge(path: str, patch: Json) -> Json:
    """Change an object by a merge patch."""
    return request("PATCH", path, patch, kind="application/merge-patch+json")


def watch(path: str, stopping: Callable[[], bool]) -> Iterator[Json]:
    """Yield a collection's events, each object as it is now first; ends when it breaks.

    Each call begins with the objects that are there, so what was missed is made good.
    """
    separator = "&" if "?" in path else "?"
    connection = _connect(_WATCH_SILENCE)
    try:
        connection.request("GET", f"{path}{separator}watch=1")
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            return
        while not stopping() and (line := answer.readline()):
            yield json.loads(line)
    except (OSError, http.client.HTTPException, ValueError):
        return
    finally:
        connection.close()


def _connect(seconds: float) -> http.client.HTTPSConnection:
    server = json.loads(paths.kubeconfig().read_text())["clusters"][0]["cluster"]["server"]
    address = urlsplit(server)
    context = ssl.create_default_context(cafile=str(pki.certificate("ca")))
    context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    return http.client.HTTPSConnection(
        address.hostname or "", address.port, context=context, timeout=seconds
    )
