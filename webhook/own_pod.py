"""What the webhook learns at its start from its own pod.

The image could be set by an env entry, but kustomize's `images`, `kubectl set image` and
mirrors change only a container's `image`, and the sidecars would then be of another version.
"""

from typing import Final

from webhook.api_server import ApiServer
from webhook.settings import SidecarImage, WebhookSettings

CONTAINER: Final = "webhook"
"""The container's name in the Deployment."""


def sidecar_image(api: ApiServer, settings: WebhookSettings) -> SidecarImage:
    """Return the image that this pod's webhook runs. Raises ApiError if the pod can't be read."""
    pod = api.get(f"/api/v1/namespaces/{settings.pod_namespace}/pods/{settings.pod_name}")
    container = next(it for it in pod["spec"]["containers"] if it["name"] == CONTAINER)
    return SidecarImage(
        container["image"], container["imagePullPolicy"], settings.sidecar_resources
    )
