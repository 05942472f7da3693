"""What the webhook learns at its start from its own pod.

The image could be told by an env entry, but kustomize's `images`, `kubectl set image` and
mirrors change only a container's `image`, and sidecars of another version would follow.
"""

from typing import Final

from kubernetes import client

from webhook.settings import SidecarImage, WebhookSettings

CONTAINER: Final = "webhook"
"""The container's name in the Deployment."""

TIMEOUT: Final = (3.0, 10.0)
"""To connect and to read, in seconds."""


def sidecar_image(api: client.CoreV1Api, settings: WebhookSettings) -> SidecarImage:
    """Return the image that this pod's webhook runs; ApiException where the pod can't be read."""
    pod = api.read_namespaced_pod(
        settings.pod_name, settings.pod_namespace, _request_timeout=TIMEOUT
    )
    container = next(c for c in pod.spec.containers if c.name == CONTAINER)
    return SidecarImage(container.image, container.image_pull_policy)
