"""What counts as a request and what is said to the rest: bytes in, a value out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.report.message import (
    MAX_BODY,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_TARGET,
    Answer,
    Request,
    parse,
)

KUBELET = (
    b"GET /liveness HTTP/1.1\r\nHost: 10.244.1.7:8008\r\nUser-Agent: kube-probe/1.31\r\n"
    b"Accept: */*\r\nConnection: close\r\n\r\n"
)
POST = b"POST /failsafe HTTP/1.1\r\nContent-Length: 4\r\n\r\n"


def head(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (b"GET / HTTP/1.1", *lines, b""))


def test_the_kubelets_probe() -> None:
    headers = {
        "host": "10.244.1.7:8008",
        "user-agent": "kube-probe/1.31",
        "accept": "*/*",
        "connection": "close",
    }
    assert parse(KUBELET) == Request("GET", "/liveness", "", headers)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", Request("GET", "/")),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", Request("OPTIONS", "*")),
        (b"BREW /a%20b?lag=1%20MB?x HTTP/1.1\r\n\r\n", Request("BREW", "/a b", "lag=1%20MB?x")),
        (head(b"A:1", b"b: \t2\t "), Request("GET", "/", "", {"a": "1", "b": "2"})),
        (head(b"A: 1", b"a: 2"), Request("GET", "/", "", {"a": "1, 2"})),
        (head(b"A:", b"b: \xe9"), Request("GET", "/", "", {"a": "", "b": "é"})),
        (
            POST + b"bodyGET / HTTP/1.1",
            Request("POST", "/failsafe", "", {"content-length": "4"}, b"body"),
        ),
    ],
    ids=["1.0", "asterisk", "escapes", "blanks", "twice", "values", "more than its body"],
)
def test_a_request_is_read_as_it_was_meant(received: bytes, expected: Request) -> None:
    assert parse(received) == expected


@pytest.mark.parametrize("whole", [KUBELET, POST + b"body"], ids=["without a body", "with one"])
def test_nothing_is_said_before_all_of_it_has_come(whole: bytes) -> None:
    assert {parse(whole[:end]) for end in range(len(whole))} == {None}
    assert isinstance(parse(whole), Request)


@pytest.mark.parametrize(
    ("received", "code", "sentence"),
    [
        (b"\r\n\r\n", 400, "first line"),
        (b"hello\r\n\r\n", 400, "first line"),
        (b"GET /\r\n\r\n", 400, "first line"),
        (b"GET  / HTTP/1.1\r\n\r\n", 400, "first line"),
        (b"GET / HTTP/1.1 \r\n\r\n", 400, "first line"),
        (b"GET status HTTP/1.1\r\n\r\n", 400, "first line"),
        (b"GET http://orders-0/status HTTP/1.1\r\n\r\n", 400, "first line"),
        (b"GET /\xe9 HTTP/1.1\r\n\r\n", 400, "first line"),
        (b"GET /\nA: b HTTP/1.1\r\n\r\n", 400, "first line"),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400, "first line"),
        (b"GET / SMTP/1.1\r\n\r\n", 400, "first line"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "first line"),
        (head(b"no colon"), 400, "header field"),
        (head(b": no name"), 400, "header field"),
        (head(b"Blank : before the colon"), 400, "header field"),
        (head(b"A: 1", b" folded"), 400, "header field"),
        (head(b"A: \x00"), 400, "header field"),
        (head(b"A: 1\nB: 2"), 400, "header field"),
        (head(b"A: 1\rB: 2"), 400, "header field"),
        (head(b"Content-Length: -1"), 400, "Content-Length"),
        (head(b"Content-Length:"), 400, "Content-Length"),
        (head(b"Content-Length: 0x4"), 400, "Content-Length"),
        (head(b"Content-Length: \xb2"), 400, "Content-Length"),
        (head(b"Content-Length: 4", b"Content-Length: 4"), 400, "Content-Length"),
        (head(b"Content-Length: %d" % (MAX_BODY + 1)), 413, f"at most {MAX_BODY} bytes"),
        (head(b"Content-Length: " + b"9" * 5000), 413, f"at most {MAX_BODY} bytes"),
        (head(b"Transfer-Encoding: chunked"), 411, "Transfer-Encoding"),
        (head(b"Transfer-Encoding: gzip", b"Content-Length: 4"), 411, "Transfer-Encoding"),
        (b"GET /" + b"a" * MAX_HEAD, 431, "at most 8192 bytes"),
        (head(b"A: " + b"b" * MAX_HEAD), 431, "at most 8192 bytes"),
        (head(*[b"a:"] * (MAX_FIELDS + 1)), 431, "at most 64"),
        (b"GET /" + b"a" * MAX_TARGET + b" HTTP/1.1\r\n\r\n", 414, "at most 256 bytes"),
    ],
)
def test_what_is_no_request_is_told_what_is_wrong(
    received: bytes, code: int, sentence: str
) -> None:
    answer = parse(received)
    assert isinstance(answer, Answer)
    assert answer.code == code
    assert sentence in json.loads(answer.body)["error"]


def test_head_and_body_may_be_as_large_as_is_said_and_no_larger() -> None:
    room = MAX_HEAD - len(b"GET / HTTP/1.1\r\nContent-Length: %d\r\nA: " % MAX_BODY)
    whole = head(b"Content-Length: %d" % MAX_BODY, b"A: " + b"b" * room) + b"c" * MAX_BODY
    request = parse(whole)
    assert isinstance(request, Request)
    assert len(request.body) == MAX_BODY
    larger = whole.replace(b"A: ", b"A: b")
    assert isinstance(parse(larger), Answer)


TOKENS = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1)
VISIBLE = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?%"), max_size=100
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]))
NAMES = TOKENS.filter(lambda name: name.lower() not in ("content-length", "transfer-encoding"))
REQUESTS = st.builds(
    Request,
    method=TOKENS,
    path=VISIBLE.map("/{}".format),
    query=VISIBLE,
    headers=st.dictionaries(
        NAMES.map(str.lower), VALUES.map(lambda value: value.strip(" \t")), max_size=60
    ),
    body=st.binary(),
)


@given(request=REQUESTS, end=st.integers(min_value=0))
def test_a_request_comes_out_as_it_went_in_and_none_of_its_beginnings_does(
    request: Request, end: int
) -> None:
    headers = {**request.headers, "content-length": str(len(request.body))}
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    target = f"{request.path}?{request.query}"
    whole = f"{request.method} {target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1") + request.body
    assert parse(whole) == Request(
        request.method, request.path, request.query, headers, request.body
    )
    assert parse(whole[: end % len(whole)]) is None


PIECES = [b"\r\n", b"\r\n\r\n", b" ", b":", b"\n", b"GET / HTTP/1.1\r\n", b"Content-Length: 3"]


@given(st.lists(st.binary() | st.sampled_from(PIECES)).map(b"".join))
def test_whatever_comes_is_a_request_or_refused_or_unfinished(received: bytes) -> None:
    read = parse(received)
    if isinstance(read, Answer):
        assert 400 <= read.code < 500
        assert read.encode().endswith(read.body)
    elif read is None:
        assert len(received) <= MAX_HEAD + MAX_BODY


@given(st.lists(st.binary() | st.sampled_from(PIECES)).map(b"".join), st.binary())
def test_what_was_read_of_a_request_does_not_change_with_what_comes_after(
    received: bytes, more: bytes
) -> None:
    read = parse(received)
    if read is not None:
        assert parse(received + more) == read


def test_an_answer_says_that_it_is_the_last_of_its_connection() -> None:
    answer = Answer(409, b"no", "text/plain", (("Pgset-Signature", "x"),))
    assert answer.encode() == (
        b"HTTP/1.1 409 Conflict\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
        b"Connection: close\r\nPgset-Signature: x\r\n\r\nno"
    )
