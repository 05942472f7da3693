import json

import pytest

from webhook.framing import MAX_BODY, MAX_HEAD, Framing, RefusedError, request_length

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


class Watched(bytearray):
    """Counts the bytes that are searched in it."""

    searched = 0

    def find(self, sought, start=0, end=None):
        end = len(self) if end is None else min(end, len(self))
        self.searched += max(0, end - start)
        return super().find(sought, start, end)


def test_a_request_in_pieces_ends_where_it_ends_in_one_and_is_searched_once():
    whole = HEAD + b"X: " + b"x" * 8000 + b"\r\nContent-Length: 3\r\n\r\n{}\n"
    received, framing = Watched(), Framing()
    for byte in whole:
        received.append(byte)
        assert framing.length(received) == request_length(bytes(received))
    assert framing.length(received) == len(whole)
    assert received.searched < 5 * len(whole)
