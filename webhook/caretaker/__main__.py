"""`python -m webhook.caretaker`: runs until SIGTERM or SIGINT."""

import contextlib
import logging
import logging.config
import os
import random
import signal
import sys
import time
from typing import Final, NoReturn

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from webhook import logs
from webhook.caretaker import lease
from webhook.caretaker.carry_out import Writer
from webhook.caretaker.election import Election
from webhook.caretaker.errors import LookAgainError, NotLeadingError, RefusedError
from webhook.caretaker.events import Events
from webhook.caretaker.look import Look
from webhook.caretaker.rounds import Rounds
from webhook.caretaker.settings import CaretakerSettings
from webhook.settings import log_level

POLL_SECONDS: Final = 1.0
"""How soon this process notices that it leads."""

MAX_BACK_OFF: Final = 30.0

_log = logging.getLogger("webhook.caretaker")


def main() -> NoReturn:
    """Build the adapters from the environment, then wait to lead, lead, and wait again.

    Raises InvalidEnvironmentError, or kubernetes' ConfigException outside a Deployment.
    """
    settings = CaretakerSettings.from_environment(os.environ)
    logging.config.dictConfig(logs.configuration(log_level(os.environ)))
    api = _api_client()
    store = lease.ApiLease(api, settings.pod_namespace)
    election = Election(store, settings.pod_name, time.monotonic)
    rounds = Rounds(Look(api), Writer(api), Events(api), settings, lambda: election.leads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    lease.hold_on(election)
    try:
        run(rounds, election)
    finally:
        with contextlib.suppress(ApiException, HTTPError, RefusedError, LookAgainError):
            election.resign()


def run(rounds: Rounds, election: Election) -> NoReturn:
    """Follow the cluster whenever this caretaker leads; any other error ends the process."""
    back_off = POLL_SECONDS
    while True:
        if not election.leads:
            time.sleep(POLL_SECONDS)
            continue
        try:
            rounds.follow()
            back_off = POLL_SECONDS
        except NotLeadingError:
            continue
        except (ApiException, HTTPError) as error:
            _log.warning("the round failed: %s", error)
            time.sleep(back_off * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            back_off = min(back_off * 2, MAX_BACK_OFF)


def _api_client() -> client.ApiClient:
    configuration = client.Configuration()
    # What the API server has accepted is not for this library to refuse.
    configuration.client_side_validation = False
    # The next attempt or round tries again; three retries would take four times as long.
    configuration.retries = False
    config.load_incluster_config(client_configuration=configuration)
    return client.ApiClient(configuration)


if __name__ == "__main__":
    main()
