"""JSON in and out, as far as two libraries have to agree on it."""

import json

import pytest

from webhook import codec


def nested(levels):
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    "text",
    [
        b'{"name": "pgset-0", "n": [1, -2.5, 1e3, true, null]}',
        '"ä€😀"'.encode(),
        b'"\\ud83d\\ude00"',
        b'"half of a pair: \\ud800"',
        b'{"a": 1, "a": 2}',
        b"18446744073709551615",
        b"1" + b"0" * 400,
        nested(300),
        nested(900),
    ],
)
def test_a_value_is_read_as_python_reads_it_and_survives_being_written(text):
    value = codec.decode(text)
    assert value == json.loads(text)
    assert json.loads(codec.encode(value)) == value


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"NaN", b"-Infinity", b"1e999", b"[1,]"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        codec.decode(text)


def test_what_is_too_deep_is_told_apart_from_what_is_no_json():
    with pytest.raises(RecursionError):
        codec.decode(nested(100_000))
