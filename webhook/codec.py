"""JSON to values and back: orjson where it can, Python's own where that is more exact.

orjson takes a tenth of the time. It refuses what nobody writes: numbers that no double holds,
half of a surrogate pair, too many levels (1024 to read, 254 to write). Python's own takes that, or
says in a sentence why not. Whole numbers of more than 64 bits become doubles.
"""

import json
import math
from typing import Any, Final

import orjson


def decode(text: bytes) -> Any:
    """Read one JSON value; ValueError where `text` is none, RecursionError where it is too deep."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _DECODER.decode(text.decode())


def encode(value: object) -> bytes:
    """Write what `decode` returned, or what was made of it; RecursionError as there."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()


def _finite(text: str) -> float:
    """Python's JSON knows infinity and NaN, and would write into a patch what JSON does not have.

    `text` is a number with a fraction or exponent, or one of the names that Python gives these.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number that can be kept")
    return value


_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
