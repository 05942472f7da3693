"""Another mutating webhook beside ours, as sidecar injectors of the field are: a real server.

Each of its mutations is a function from a pod to the JSON patch that it answers with. All are
idempotent, as Kubernetes asks of webhooks that may be called again.
https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/
"""

import base64
import copy
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonpatch

from certs.renewal import renewed
from deploy.local.forwarder import enter_network_namespace
from tests.webhook import mounted
from webhook.json_patch import Json, Patch, add, append

HOST = "localhost"
"""By name and not by address: certs makes certificates for names."""

POLL_SECONDS = 0.01
"""How soon the server notices that it is to end."""

Mutation = Callable[[Json], Patch]


# ── What it does to pods ──────────────────────────────────────────────────────────────────


def nothing(_pod: Json) -> Patch:
    return []


def a_container(pod: Json) -> Patch:
    present = pod["spec"]["containers"]
    return append(("spec", "containers"), present, missing(present, "agent", image="agent"))


def an_init_container_at_the_front(pod: Json) -> Patch:
    return at_the_front(pod, image="mesh")


def a_native_sidecar_at_the_front(pod: Json) -> Patch:
    return at_the_front(pod, image="mesh", restartPolicy="Always")


def at_the_front(pod: Json, **container: str) -> Patch:
    path, present = ("spec", "initContainers"), pod["spec"].get("initContainers")
    wanted = missing(present or [], "mesh", **container)
    return append(path, None, wanted) if present is None else [add((*path, 0), it) for it in wanted]


def a_library_everywhere(pod: Json) -> Patch:
    """Preload it, as monitoring agents do; our sidecar does not take that from the database."""
    volumes = pod["spec"].get("volumes")
    patch = append(("spec", "volumes"), volumes, missing(volumes or [], "library", emptyDir={}))
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(pod["spec"].get(kind, [])):
            for field, name, rest in (
                ("env", "LD_PRELOAD", {"value": "/library/agent.so"}),
                ("volumeMounts", "library", {"mountPath": "/library"}),
            ):
                present = container.get(field)
                path = ("spec", kind, index, field)
                patch += append(path, present, missing(present or [], name, **rest))
    return patch


def labels_and_annotations_written_anew(pod: Json) -> Patch:
    metadata = pod["metadata"]
    return [
        add(("metadata", field), {**metadata.get(field, {}), "mesh": "on"})
        for field in ("labels", "annotations")
    ]


MUTATIONS: tuple[Mutation, ...] = (
    a_container,
    an_init_container_at_the_front,
    a_native_sidecar_at_the_front,
    a_library_everywhere,
    labels_and_annotations_written_anew,
)


def mutated(given: Json, mutation: Mutation) -> Json:
    """Return a copy of a pod, mutated."""
    document: Json = jsonpatch.apply_patch(copy.deepcopy(given), mutation(given))
    return document


def missing(present: list[Json], name: str, **rest: Any) -> list[Json]:
    """Return the item of this name where the list has none, to be appended."""
    return [] if name in {item["name"] for item in present} else [{"name": name, **rest}]


# ── The server ────────────────────────────────────────────────────────────────────────────


class SecondWebhook:
    """Serves at `url` and mutates pods by `mutation`, which may be changed while it runs."""

    def __init__(self, port: int, authority: bytes) -> None:
        self.url = f"https://{HOST}:{port}"
        self.authority = authority
        self.mutation: Mutation = nothing
        self.asked: list[str] = []
        """The paths of the reviews that were answered."""

    def registration(self, name: str, reinvocation_policy: str, namespace: str) -> Json:
        """Return the MutatingWebhookConfiguration for the pods of one namespace.

        The path that is then asked tells which one it was.
        """
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": "pods.second-webhook.test",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Fail",
                    "timeoutSeconds": 5,
                    "reinvocationPolicy": reinvocation_policy,
                    "clientConfig": {
                        "url": f"{self.url}/{name}/{reinvocation_policy}",
                        "caBundle": base64.b64encode(self.authority).decode(),
                    },
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": namespace}
                    },
                    "rules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "resources": ["pods"],
                            "operations": ["CREATE"],
                        }
                    ],
                }
            ],
        }

    def answer(self, path: str, review: Json) -> Json:
        """Answer an AdmissionReview with one."""
        self.asked.append(path)
        request = review["request"]
        patch = json.dumps(self.mutation(request["object"])).encode()
        response = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch"}
        response["patch"] = base64.b64encode(patch).decode()
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}


@contextmanager
def serving(folder: Path, network_namespace: Path | None = None) -> Iterator[SecondWebhook]:
    """Serve on the loopback interface of a network namespace, by default of our own one.

    The certificate is kept in `folder`.
    """
    trust, _ = renewed(None, [HOST], datetime.now(UTC))
    mounted.write(folder, trust)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / mounted.CERTIFICATE_FILE, folder / mounted.KEY_FILE)
    server = listening(network_namespace)
    # Shaken by the thread that answers: a client that hangs keeps nobody else waiting.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.webhook = SecondWebhook(server.server_port, trust.authority.certificate)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    try:
        yield server.webhook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    webhook: SecondWebhook


def listening(network_namespace: Path | None) -> _Server:
    """Make the server by a thread that moves there: its socket stays where it was made."""

    def make() -> _Server:
        if network_namespace is not None:
            enter_network_namespace(network_namespace)
        return _Server(("127.0.0.1", 0), _Handler)

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(make).result()


class _Handler(BaseHTTPRequestHandler):
    """By HTTP/1.0, one request a connection: none is left open at the end."""

    server: _Server

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # The API server adds `?timeout=`.
        path = self.path.partition("?")[0]
        content = json.dumps(self.server.webhook.answer(path, review)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
