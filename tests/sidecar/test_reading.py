"""A request that comes in pieces is read as the whole is, and costs no more."""

import time

import pytest

from sidecar.report.message import (
    MAX_BODY,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_TARGET,
    Answer,
    Reading,
    Request,
    parse,
)

REQUESTS = [
    b"GET /liveness HTTP/1.1\r\nHost: 10.244.1.7:8008\r\nAccept: */*\r\n\r\n",
    b"POST /failsafe HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
    b"POST /failsafe HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody and more",
    b"hello\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: \r\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: much\r\n\r\n",
    b"\r\n\r\n\r\n",
]
LARGEST = b"POST /failsafe HTTP/1.1\r\nContent-Length: %d\r\n" % MAX_BODY
LARGEST += b"a:\r\n" * ((MAX_HEAD - len(LARGEST)) // 4) + b"\r\n"


def in_pieces(*pieces: bytes) -> Request | Answer | None:
    """What is made of these pieces; nothing is read after the first answer."""
    reading = Reading()
    return next((told for piece in pieces if (told := reading.take(piece)) is not None), None)


@pytest.mark.parametrize("whole", REQUESTS)
def test_wherever_it_is_cut_it_is_read_the_same(whole: bytes) -> None:
    expected = parse(whole)
    assert expected is not None
    for cut in range(len(whole)):
        assert in_pieces(whole[:cut], whole[cut:]) == expected
    assert in_pieces(*(bytes([byte]) for byte in whole)) == expected


@pytest.mark.parametrize("more", [0, 1])
def test_the_largest_head_is_as_large_in_pieces(more: int) -> None:
    start = b"GET / HTTP/1.1\r\nA: "
    whole = start + b"b" * (MAX_HEAD - len(start) + more) + b"\r\n\r\n"
    expected = parse(whole)
    assert isinstance(expected, Answer if more else Request)
    for cut in range(MAX_HEAD - 8, len(whole)):
        assert in_pieces(whole[:cut], whole[cut:]) == expected


@pytest.mark.parametrize(("fields", "kind"), [(MAX_FIELDS, Request), (MAX_FIELDS + 1, Answer)])
def test_a_request_has_so_many_fields_and_no_more(fields: int, kind: type) -> None:
    told = parse(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * fields + b"\r\n")
    assert isinstance(told, kind)
    if isinstance(told, Answer):
        assert told.code == 431


@pytest.mark.parametrize(("target", "kind"), [(MAX_TARGET, Request), (MAX_TARGET + 1, Answer)])
def test_a_target_is_so_long_and_no_longer(target: int, kind: type) -> None:
    """Thousands of escapes, or of parameters, take milliseconds each time."""
    told = parse(b"GET /" + b"a" * (target - 1) + b" HTTP/1.1\r\n\r\n")
    assert isinstance(told, kind)
    if isinstance(told, Answer):
        assert told.code == 414


def test_too_many_fields_are_refused_before_any_of_the_body_has_come() -> None:
    told = parse(LARGEST)
    assert isinstance(told, Answer)
    assert told.code == 431


def test_a_body_that_drips_costs_no_more_with_each_byte() -> None:
    """Else a few hundred clients keep the one thread from the kubelet's probes."""
    head = b"POST / HTTP/1.1\r\n" + b"a:%s\r\n" % (b"b" * 120) * (MAX_FIELDS - 1)
    reading = Reading()
    assert reading.take(head + b"Content-Length: %d\r\n\r\n" % MAX_BODY) is None
    began = time.thread_time()
    for _ in range(MAX_BODY - 1):
        assert reading.take(b"x") is None
    assert isinstance(reading.take(b"x"), Request)
    # Read anew with every byte, this takes minutes.
    assert time.thread_time() - began < 20
