"""JSON to values and back: with orjson if it can, else with Python's own module.

orjson takes a tenth of the time. It refuses what hardly anybody writes: numbers that fit no double,
half of a surrogate pair, too many levels (1024 to read, 254 to write). Python's own takes that, or
says why not. Whole numbers of more than 64 bits become doubles.
"""

import json
import math
from typing import Any, Final

import orjson


def decode(text: bytes) -> Any:
    """Read one JSON value. Raises ValueError if `text` is not one, RecursionError if too deep."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _DECODER.decode(text.decode())


def decode_metadata_of_list(beginning: bytes) -> Any:
    """Read what the API server writes before the items of a list. Raises ValueError without it."""
    _, _, rest = beginning.decode(errors="replace").partition('"metadata":')
    return _DECODER.raw_decode(rest.lstrip())[0]


def encode(value: object) -> bytes:
    """Write what `decode` returned, or something made from it. Raises RecursionError as it does."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()


def _finite(text: str) -> float:
    """Refuse infinity and NaN, which Python would write into a patch, and which are not JSON.

    `text` is a number with a fraction or exponent, or one of Python's names for these.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
