"""`python -m certs`: keeps the trust of the webhook that runs in the same pod.

It is ready when tls.crt is in the directory, and runs until SIGTERM or SIGINT.
"""

import argparse
import logging
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from certs import logs
from certs.authority import service_names
from certs.secret_store import ReadAgainError, SecretStore
from certs.upkeep import Upkeep

CHECK_SECONDS: Final = 10.0
"""Until a blanked caBundle is found, every review fails, so it is looked for often."""

RETRY_SECONDS: Final = 1.0
"""After a failed check, and while the registrations aren't there yet."""

_log = logging.getLogger("certs")


def main() -> None:
    """Run until told to stop."""
    arguments = _arguments()
    logs.configure()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    api = _api_client()
    upkeep = Upkeep(
        store=SecretStore(client.CoreV1Api(api), arguments.namespace, arguments.secret),
        registrations=client.AdmissionregistrationV1Api(api),
        configuration=arguments.configuration,
        names=service_names(arguments.service, arguments.namespace),
        directory=arguments.directory,
        now=lambda: datetime.now(UTC),
    )
    while not stop.is_set():
        stop.wait(CHECK_SECONDS if _checked(upkeep) else RETRY_SECONDS)


def _api_client() -> client.ApiClient:
    configuration = client.Configuration()
    # A registration that the API server has accepted is not for this library to refuse.
    configuration.client_side_validation = False
    config.load_incluster_config(client_configuration=configuration)
    return client.ApiClient(configuration)


def _checked(upkeep: Upkeep) -> bool:
    try:
        return upkeep.check()
    except (ApiException, HTTPError, ReadAgainError, OSError) as error:
        # What is served stays served; the next check tries again.
        _log.warning("the check failed: %s", error)
        return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m certs", description=__doc__)
    parser.add_argument("--namespace", required=True, help="the webhook's namespace")
    parser.add_argument("--directory", type=Path, default=Path("/etc/pgset/tls"))
    parser.add_argument("--service", default="pgset-webhook")
    parser.add_argument("--secret", default="pgset-webhook-tls")
    parser.add_argument("--configuration", default="pgset", help="MutatingWebhookConfiguration")
    return parser.parse_args()


if __name__ == "__main__":
    main()
