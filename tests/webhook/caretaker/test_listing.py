"""Lists of what is larger than one answer may be, over real HTTP."""

import json
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from tests.support.api_server import client_of
from tests.support.loopback import QuietHandler
from webhook.caretaker.listing import MAX_ANSWER, PAGE, items

PODS = 2 * PAGE
SIZE = MAX_ANSWER // PAGE + 1
"""Of a pod: a page of them is just too large."""


class Handler(QuietHandler):
    limits: list[int]

    def do_GET(self) -> None:
        query = {key: int(it[0]) for key, it in parse_qs(urlsplit(self.path).query).items()}
        self.limits.append(query["limit"])
        first = query.get("continue", 0)
        last = min(PODS, first + query["limit"])
        found = [
            {"metadata": {"name": f"pod-{it}"}, "more": "x" * SIZE} for it in range(first, last)
        ]
        metadata = {"continue": str(last)} if last < PODS else {}
        content = json.dumps({"metadata": metadata, "items": found}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except ConnectionError:  # who has read enough hangs up
            self.close_connection = True


def test_of_usual_pods_that_are_too_many_at_once_it_asks_for_fewer_and_not_again_for_more():
    handler = type("Handler", (Handler,), {"limits": []})
    with client_of(handler, validates=False) as api:
        found = list(items(client.CoreV1Api(api).list_pod_for_all_namespaces))
    assert [it["metadata"]["name"] for it in found] == [f"pod-{it}" for it in range(PODS)]
    assert handler.limits == [250, 31, 62, 124, 125, 125, 125]
