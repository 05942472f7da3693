import json

import pytest

from webhook.framing import MAX_BODY, MAX_HEAD, RefusedError, request_length

HEAD = b"POST /mutate/pods HTTP/1.1\r\nHost: webhook\r\n"


@pytest.mark.parametrize(
    ("received", "length"),
    [
        (b"", None),
        (HEAD, None),
        (HEAD + b"\r\n", len(HEAD) + 2),
        (HEAD + b"Content-Length: 3\r\n\r\n", len(HEAD) + 24),
        (HEAD + b"content-length:3 \r\n\r\n{}\n", len(HEAD) + 24),
        (HEAD + b"Content-Length: 3\r\n\r\n{}\nGET / HTTP/1.1", len(HEAD) + 24),
        (HEAD + b"X-Content-Length: 3\r\n\r\n", len(HEAD) + 23),
        (HEAD + b"Content-Length: three\r\n\r\n", len(HEAD) + 25),
    ],
)
def test_a_request_ends_where_its_head_says(received, length):
    assert length == request_length(received)


@pytest.mark.parametrize(
    ("received", "status", "sentence"),
    [
        (
            HEAD + b"Content-Length: 7340033\r\n\r\n",
            "413 Request Entity Too Large",
            f"the request's body has 7340033 bytes; allowed: {MAX_BODY} bytes",
        ),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
            "411 Length Required",
            "the request has a Transfer-Encoding; allowed: a Content-Length",
        ),
        (
            HEAD + b"Expect: 100-continue\r\n\r\n",
            "417 Expectation Failed",
            "the request has an Expect header; allowed: a request without one",
        ),
        (
            HEAD + b"X: " + b"x" * MAX_HEAD,
            "431 Request Header Fields Too Large",
            f"the request's headers are too large; allowed: {MAX_HEAD} bytes",
        ),
    ],
)
def test_what_is_not_waited_for_is_refused_with_one_sentence(received, status, sentence):
    with pytest.raises(RefusedError) as refusal:
        request_length(received)
    head, _, body = refusal.value.answer().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}\r\nConnection: close\r\n".encode())
    assert json.loads(body) == {"error": sentence}
