"""`python -m certs`: keeps the webhook's certificates, until SIGTERM or SIGINT.

It listens on no port: while its last round was well, a file says so to the kubelet.
"""

import argparse
import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from certs import logs
from certs.authority import service_names
from certs.ca_bundle import Registrations
from certs.lifetimes import DEFAULT, InvalidLifetimesError, Lifetimes, duration
from certs.registration_watch import RegistrationWatch
from certs.secret_store import SecretStore
from certs.serving_secret import ServingSecret
from certs.upkeep import Adapters, Upkeep
from certs.writes import ReadAgainError

RETRY: Final = timedelta(seconds=1)
"""After a failed round, and while the registrations aren't there yet."""

AFTER_CHANGE_SECONDS: Final = 0.1
"""Between two rounds at the least, however fast somebody else writes."""

CLOCK_LOOK_SECONDS: Final = 0.25
"""How soon a clock that was set is noticed: what has expired by it can't wait for a round."""

STEP_SECONDS: Final = 1.0
"""From here on a clock was set; below, it is being slewed."""

_log = logging.getLogger("certs")


def main() -> None:
    """Run until told to stop."""
    parser = argument_parser()
    arguments = parser.parse_args()
    try:
        lifetimes = lifetimes_of(arguments)
    except InvalidLifetimesError as error:
        parser.error(str(error))
    logs.configure()
    stop, wake = threading.Event(), threading.Event()
    _stop_by_signal(stop, wake)
    run(_api_client(), arguments, lifetimes, stop, wake)


def wall_clock() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def run(
    api: client.ApiClient,
    arguments: argparse.Namespace,
    lifetimes: Lifetimes,
    stop: threading.Event,
    wake: threading.Event,
    *,
    now: Callable[[], datetime] = wall_clock,
) -> None:
    """Do round after round until `stop`; `wake` ends the pause between two."""
    adapters = adapters_of(arguments, api, now)
    upkeep = Upkeep(adapters, service_names(arguments.service, arguments.namespace), lifetimes)
    registrations = client.AdmissionregistrationV1Api(api)
    RegistrationWatch(registrations, arguments.configuration, wake.set).start()
    while True:
        wake.clear()
        if stop.is_set():
            return
        # Before the round: what it has judged by a clock that is set meanwhile is judged again.
        offset = _offset(now)
        well = checked(upkeep, arguments.well)
        pause = lifetimes.interval if well else min(RETRY, lifetimes.interval)
        _pause(pause.total_seconds(), wake, now, offset)
        stop.wait(AFTER_CHANGE_SECONDS)


def _pause(
    seconds: float, wake: threading.Event, now: Callable[[], datetime], offset: float
) -> None:
    """Return when the time is over, at a wake, or soon after the wall clock was set: it is not any
    more what it was, by this offset from the monotonic one."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and abs(_offset(now) - offset) < STEP_SECONDS:
        if wake.wait(min(left, CLOCK_LOOK_SECONDS)):
            return


def _offset(now: Callable[[], datetime]) -> float:
    return now().timestamp() - time.monotonic()


def _stop_by_signal(stop: threading.Event, wake: threading.Event) -> None:
    def end(*_: object) -> None:
        stop.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def checked(upkeep: Upkeep, well: Path) -> bool:
    """Do one round; return whether the next one may wait for its interval.

    The file `well` is there afterwards if it was done without an error.
    """
    try:
        done = upkeep.check()
        well.touch()
    except (ApiException, HTTPError, ReadAgainError, OSError) as error:
        # What is served stays served; the next round tries again.
        _log.warning("the round failed: %s", error)
        well.unlink(missing_ok=True)
        return False
    return done


def adapters_of(
    arguments: argparse.Namespace, api: client.ApiClient, now: Callable[[], datetime]
) -> Adapters:
    """Return what the upkeep sees and changes."""
    return Adapters(
        store=SecretStore(client.CoreV1Api(api), arguments.namespace, arguments.secret),
        registrations=Registrations(
            client.AdmissionregistrationV1Api(api), arguments.configuration
        ),
        serving=ServingSecret(client.CoreV1Api(api), arguments.namespace, arguments.serving_secret),
        now=now,
    )


def _api_client() -> client.ApiClient:
    configuration = client.Configuration()
    # A registration that the API server has accepted is not for this library to refuse.
    configuration.client_side_validation = False
    config.load_incluster_config(client_configuration=configuration)
    return client.ApiClient(configuration)


def lifetimes_of(arguments: argparse.Namespace) -> Lifetimes:
    """Return the times that were asked for. Raises InvalidLifetimesError if they don't fit."""
    return Lifetimes(
        authority=arguments.ca_life,
        leaf=arguments.leaf_life,
        overlap=arguments.overlap,
        settle=arguments.settle,
        delivery=arguments.delivery,
        interval=arguments.interval,
    )


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m certs", description=__doc__)
    parser.add_argument("--namespace", required=True, help="the webhook's namespace")
    parser.add_argument("--service", default="pgset-webhook")
    parser.add_argument("--secret", default="pgset-webhook-tls", help="with the CA's key")
    parser.add_argument("--serving-secret", default="pgset-webhook-serving", help="without it")
    parser.add_argument("--well", type=Path, default=Path("/tmp/well"), help="a file")  # noqa: S108
    parser.add_argument("--configuration", default="pgset", help="MutatingWebhookConfiguration")
    times = parser.add_argument_group("times", "90, 90s, 15m, 12h or 365d; see certs/lifetimes.py")
    for argument, default in (
        ("--ca-life", DEFAULT.authority),
        ("--leaf-life", DEFAULT.leaf),
        ("--overlap", DEFAULT.overlap),
        ("--settle", DEFAULT.settle),
        ("--delivery", DEFAULT.delivery),
        ("--interval", DEFAULT.interval),
    ):
        times.add_argument(argument, type=duration, default=default, metavar="TIME")
    return parser


if __name__ == "__main__":
    main()
