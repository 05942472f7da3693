"""The few questions that `up` asks the API server, with the admin's certificate."""

import http.client
import json
import ssl
from typing import Any

from deploy.local import pki

_TIMEOUT_SECONDS = 3.0


def is_ready(port: int) -> bool:
    """Whether the API server behind this loopback port is ready for requests."""
    status, _ = _get(port, "/readyz")
    return status == http.HTTPStatus.OK


def ready_nodes(port: int) -> set[str]:
    """The names of the nodes that are Ready."""
    return {
        node["metadata"]["name"]
        for node in _items(port, "/api/v1/nodes")
        if _has_condition(node, "Ready")
    }


def ready_pods(port: int, namespace: str, selector: str) -> int:
    """How many pods with these labels (`key=value`) are Ready."""
    pods = _items(port, f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")
    return sum(_has_condition(pod, "Ready") for pod in pods)


def _has_condition(thing: dict[str, Any], kind: str) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(it["type"] == kind and it["status"] == "True" for it in conditions)


def _items(port: int, path: str) -> list[dict[str, Any]]:
    status, body = _get(port, path)
    if status != http.HTTPStatus.OK:
        return []
    items: list[dict[str, Any]] = json.loads(body)["items"]
    return items


def _get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; status 0 where there is no answer yet."""
    context = ssl.create_default_context(cafile=str(pki.certificate("ca")))
    context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=context, timeout=_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
