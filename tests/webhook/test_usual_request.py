"""What is read and answered without gunicorn's parser, and that the rest is left to it."""

import json
from wsgiref.validate import validator

import pytest

from tests.webhook import objects
from tests.webhook.gunicorn_server import serving
from webhook.usual_request import answer, environment

BODY = json.dumps(objects.admission_review(objects.article_pod())).encode()
LINE = b"POST /mutate/pods?timeout=5s HTTP/1.1\r\n"
FIELDS = (
    b"Host: pgset-webhook.pgset-system.svc:443\r\n"
    b"User-Agent: kube-apiserver-admission\r\n"
    b"Content-Length: %d\r\n"
    b"Accept: application/json, */*\r\n"
    b"Content-Type: application/json\r\n"
    b"Accept-Encoding: gzip\r\n" % len(BODY)
)
USUAL = LINE + FIELDS + b"\r\n" + BODY


def test_a_request_as_api_servers_write_it_is_read():
    environ = environment(USUAL)
    assert environ is not None
    assert environ["wsgi.input"].read() == BODY
    names = ("PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_HOST")
    assert [environ[name] for name in names] == [
        "/mutate/pods",
        "timeout=5s",
        "application/json",
        str(len(BODY)),
        "pgset-webhook.pgset-system.svc:443",
    ]


@pytest.mark.parametrize(
    "head",
    [
        LINE.replace(b"POST", b"post") + FIELDS,
        LINE.replace(b"POST", b"GET") + FIELDS,
        LINE.replace(b"1.1", b"1.0") + FIELDS,
        LINE.replace(b"/mutate", b"//mutate") + FIELDS,
        LINE.replace(b"/pods", b"/%70ods") + FIELDS,
        LINE.replace(b"5s", b"5 s") + FIELDS,
        LINE.replace(b"\r\n", b"\n") + FIELDS,
        LINE,
        LINE + FIELDS + b"Connection: close\r\n",
        LINE + FIELDS + b"UPGRADE: h2c\r\n",
        LINE + FIELDS + b"content-length: 7\r\n",
        LINE + FIELDS + b"Content-Length : 7\r\n",
        LINE + FIELDS + b"Two-Lines: a\r\n b\r\n",
        LINE + FIELDS + b"Control: a\x00b\r\n",
        LINE + FIELDS + b"Not-Ascii: \xe9\r\n",
        LINE + FIELDS + b"Bare: a\rContent-Length: 7\r\n",
        LINE + FIELDS + b"X_Content_Length: 7\r\n",
        LINE + FIELDS.replace(b"Host", b"Hosts"),
        LINE + FIELDS.replace(b"Length: ", b"Length: five"),
        LINE + FIELDS.replace(b"Length: ", b"Length: +"),
        LINE + FIELDS.replace(b"Length: ", b"Length: 0"),
        LINE + FIELDS.replace(b"Content-Type", b"Type"),
    ],
)
def test_whatever_differs_is_gunicorns(head):
    assert environment(head + b"\r\n" + BODY) is None


@pytest.mark.filterwarnings("default")  # the validator's own, of a bytes object that it tests
def test_the_application_is_called_as_pep_3333_has_it():
    @validator
    def application(environ, start_response):
        assert environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])) == BODY
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"o", b"k"]

    environ = environment(USUAL)
    assert environ is not None
    assert answer(application, environ) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
    )


@pytest.mark.thorough
def test_both_ways_give_the_same_answer_and_keep_the_connection(tmp_path):
    unusual = LINE + FIELDS + b"Connection: keep-alive\r\n\r\n" + BODY
    unknown = USUAL.replace(b"/mutate/pods", b"/mutate/jobs")
    answers = []
    with serving(tmp_path) as server, server.connect() as connection:
        for request in (USUAL, unusual, USUAL, unknown):
            connection.sock.sendall(request)
            response = connection.response_class(connection.sock, method="POST")
            response.begin()
            answers.append((response.status, response.headers["Content-Type"], response.read()))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 200
    assert (answers[3][0], json.loads(answers[3][2]).keys()) == (404, {"error"})
