"""Lists of objects that anybody may make, in pages that fit into memory, whatever is in them.

Whoever may create pods may make hundreds of a megabyte, which take twenty times as much once they
are read. So an answer is read up to a bound, beyond it fewer objects are asked for at once, and one
that is over it alone, or nested too deeply to be read, is passed over: it is no member's.
"""

import json
import logging
from collections.abc import Iterator
from typing import Final

from sidecar.kube.client import ApiClient, Json, TooLargeError

MAX_OBJECT: Final = 2**20
"""Bytes of an answer, or of an event of a watch; a pod has some 20 kB."""

PAGE: Final = 250
"""Objects in one answer."""

_log = logging.getLogger(__name__)


def pages(client: ApiClient, path: str, query: dict[str, str]) -> Iterator[Json]:
    """Yield the pages of a list. Raises ApiError."""
    limit, more = PAGE, ""
    while True:
        part = {"limit": str(limit)} | ({"continue": more} if more else {})
        try:
            page = client.get(path, query | part, most=MAX_OBJECT)
        except TooLargeError as error:
            if limit > 1:
                limit = max(1, limit // 8)
                continue
            _log.warning("passed over an object of %s: %s", path, error)
            page = {"metadata": _metadata(error.beginning), "items": []}
        yield page
        more = page["metadata"].get("continue") or ""
        if not more:
            return
        limit = min(PAGE, limit * 2)


def _metadata(beginning: bytes) -> Json:
    """Read what the API server writes before the items of a list. Raises ValueError without it."""
    _, _, rest = beginning.decode(errors="replace").partition('"metadata":')
    metadata: Json = json.JSONDecoder().raw_decode(rest.lstrip())[0]
    return metadata
