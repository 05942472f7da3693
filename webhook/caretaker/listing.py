"""Lists and watches that fit into memory, whatever somebody has put into his objects.

Whoever may create StatefulSets somewhere may fill hundreds of them with megabytes. So an answer is
read up to a bound, beyond it fewer objects are asked for at once, and one that is over it alone is
passed over.
"""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import urllib3
from kubernetes.client.exceptions import ApiException

from webhook import codec
from webhook.json_patch import Json
from webhook.lines import lines

TIMEOUT: Final = (3.0, 10.0)
"""To connect and to read, in seconds."""

PAGE: Final = 250
"""Objects in one answer."""

MAX_ANSWER: Final = 4 * 2**20
"""Bytes of one answer, or of one event of a watch: more than an object has that the API server
stores (1.5 MB), if hardly any of its characters are escaped. Once read they take up to 20 times as
much."""

_GONE: Final = 410

_log = logging.getLogger(__name__)


def pages(request: Callable[..., Any], **arguments: Any) -> Iterator[Json]:
    """Yield the pages of a list, one at a time. Raises ApiException, or urllib3's HTTPError."""
    limit, most, more = PAGE, PAGE, ""
    while True:
        proceed = {"_continue": more} if more else {}
        try:
            page = _page(request, **arguments, **proceed, limit=limit)
        except (_TooLargeError, urllib3.exceptions.ReadTimeoutError):
            if limit == 1:
                raise
            # So many pods are a few megabytes: to try it again and again would read each twice.
            most = PAGE // 2
            limit = max(1, limit // 8)
            continue
        yield page
        more = page["metadata"].get("continue") or ""
        if not more:
            return
        limit = min(most, limit * 2)


def items(request: Callable[..., Any], **arguments: str) -> Iterator[Json]:
    """Yield the objects of a list. Raises as `pages` does."""
    for page in pages(request, **arguments):
        yield from page["items"]


def events(request: Callable[..., Any], resource_version: str, seconds: int) -> Iterator[Json]:
    """Yield the events of a watch for so many seconds. Raises as `pages` does.

    One that is too large, or that cannot be read, is passed over: the next list will tell.
    """
    answer = request(
        watch=True,
        resource_version=resource_version,
        timeout_seconds=seconds,
        _preload_content=False,
        _request_timeout=(TIMEOUT[0], seconds + 5.0),
    )
    try:
        for line in lines(answer.stream(None), MAX_ANSWER):
            try:
                event: Json = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiException(status=status.get("code"), reason=status.get("message"))
            yield event
    finally:
        answer.close()
        answer.release_conn()


class _TooLargeError(Exception):
    """Ask for fewer objects at once."""


def _page(request: Callable[..., Any], *, limit: int, **arguments: Any) -> Json:
    answer = request(**arguments, limit=limit, _preload_content=False, _request_timeout=TIMEOUT)
    try:
        content = answer.read(MAX_ANSWER + 1)
    finally:
        answer.close()
    if len(content) <= MAX_ANSWER:
        try:
            page: Json = json.loads(content)
        except RecursionError:  # Who writes managedFields decides how deep they are.
            pass
        else:
            return page
    if limit > 1:
        raise _TooLargeError
    _log.warning("passed over an object that is too large: %s", content[-200:])
    return {"metadata": codec.decode_metadata_of_list(content), "items": []}
