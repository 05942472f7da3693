"""The thread that wakes the upkeep when somebody changes the registrations.

When a GitOps tool blanks a caBundle, every review fails until it is written again. The next
round would find it, but that may be an interval away.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

WATCH_SECONDS: Final = 300
"""How long the API server keeps a watch open."""

WATCH_TIMEOUT: Final = (3.0, WATCH_SECONDS + 5.0)
"""To connect and to read, in seconds."""

RETRY_SECONDS: Final = 30.0
"""Meanwhile the rounds go on."""

_log = logging.getLogger(__name__)


class RegistrationWatch:
    """Follows one MutatingWebhookConfiguration."""

    def __init__(
        self,
        api: client.AdmissionregistrationV1Api,
        configuration: str,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called, by the watch's thread, when the configuration has changed."""
        self._api = api
        self._configuration = configuration
        self._changed = changed

    def start(self) -> None:
        """Follow it in a thread that ends with the process."""
        threading.Thread(target=self._run, name="registration-watch", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.follow()
            except (ApiException, HTTPError, OSError) as error:
                _log.warning(
                    "cannot watch the MutatingWebhookConfiguration, only read it now and then: %s",
                    error,
                )
                time.sleep(RETRY_SECONDS)

    def follow(self) -> None:
        """Follow it until the API server ends the watch. Raises as the client library does."""
        events = watch.Watch().stream(
            self._api.list_mutating_webhook_configuration,
            field_selector=f"metadata.name={self._configuration}",
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=WATCH_TIMEOUT,
        )
        for _ in events:
            self._changed()
