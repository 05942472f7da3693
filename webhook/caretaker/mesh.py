"""A service mesh's proxy in a pod of a set, whoever had it injected. All pure."""

from typing import Any

from sidecar import contract
from sidecar.settings import InvalidSettingError, Settings
from webhook import database, neighbours
from webhook.errors import DeniedError
from webhook.options import Options

Json = dict[str, Any]


def in_the_way(pod: Json) -> str:
    """Return the mesh whose proxy keeps this pod's member from the others, and the annotations by
    which it would not; "" if there is none."""
    return neighbours.proxy_in_the_way(pod, lambda: _postgres_port(pod))


def _postgres_port(pod: Json) -> int:
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    try:
        set_name = (metadata.get("labels") or {}).get(contract.SET_LABEL, "")
        settings = Settings.from_annotations(set_name, annotations)
        family = Options.from_annotations(annotations).profile
        return database.find(pod["spec"], settings, family).settings.postgres_port
    except (InvalidSettingError, DeniedError):
        return contract.POSTGRES_PORT
