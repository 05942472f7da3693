"""Builds the adapters, lets them answer and look, and runs the loop."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from sidecar import contract
from sidecar.act import Actor
from sidecar.adapters import Adapters
from sidecar.bootstrap import Bootstrap
from sidecar.clock import now
from sidecar.deadlines import seconds_to_be_excused
from sidecar.following_file import FollowingFile
from sidecar.keys import Keys
from sidecar.kube.client import ApiClient
from sidecar.kube.events import Events
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.pods import Pods
from sidecar.loop import Loop
from sidecar.observation import Identity
from sidecar.peers import Peers
from sidecar.pledges import Pledges, Respondent
from sidecar.postgres import credentials, process
from sidecar.postgres.comparison import Comparer
from sidecar.postgres.configuration import primary_parameters
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.divergence import ForkFinder
from sidecar.postgres.process import WriterMemory
from sidecar.postgres.recovery import RecoveryWatch
from sidecar.postgres.server import Server
from sidecar.postgres.way_in import WayIn
from sidecar.report.http import Application
from sidecar.report.metrics import Metrics
from sidecar.report.server import HttpServer
from sidecar.report.snapshot import Reporter
from sidecar.settings import Settings
from sidecar.teller import Teller
from sidecar.watchdog import Watchdog

_REFRESH_SECONDS = 0.3

_log = logging.getLogger(__name__)


def run(listener: socket.socket) -> int:
    """Run until SIGTERM, which the kubelet sends when PostgreSQL has stopped; return the exit code.

    `listener`: of the sidecar's port, where the kubelet may be waiting already.
    """
    environment = dict(os.environ)
    settings = Settings.from_environment(environment)
    me = Identity(environment[contract.ENV_POD_NAME], environment[contract.ENV_POD_UID])
    superuser = _superuser(environment)
    if superuser is None:
        return 1

    def wake() -> None:
        loop.wake()

    adapters = _adapters(environment, settings, me, superuser, wake)
    reporter = Reporter(now)
    events = Events(adapters.client, environment[contract.ENV_POD_NAMESPACE], me)
    teller = Teller(me, adapters.pods, events)
    watchdog = Watchdog(clock=now, kill=lambda: _kill(adapters))
    actor = Actor(
        adapters,
        events,
        on_excuse=lambda at: reporter.fail_probe_in(seconds_to_be_excused(settings), at),
    )
    loop = Loop(adapters, actor, teller, watchdog, reporter)
    signal.signal(signal.SIGTERM, lambda *_: loop.leave())
    adapters.bootstrap.provide_script()
    _start_threads(adapters)
    adapters.lease.start()
    adapters.pods.start()
    teller.start()
    watchdog.start()
    _answer_on(listener, adapters, reporter)
    loop.run()
    return 0


def _superuser(environment: dict[str, str]) -> Credentials | None:
    """Return who the sidecar is to PostgreSQL; None, and a line in the log, if that is in a file
    that cannot be read."""
    try:
        return credentials.from_environment(environment)
    except OSError as error:
        _log.error(
            "the file of the database container's password cannot be read: %s%s",
            error,
            "; set fsGroup in the pod's securityContext, or another defaultMode of the secret"
            if isinstance(error, PermissionError)
            else "",
        )
        return None


def _adapters(
    environment: dict[str, str],
    settings: Settings,
    me: Identity,
    superuser: Credentials,
    wake: Callable[[], None],
) -> Adapters:
    """Build them; `wake`: called, from any thread, when one of them has news for the loop."""
    namespace = environment[contract.ENV_POD_NAMESPACE]
    handshake = Path(contract.HANDSHAKE_DIRECTORY)
    client = ApiClient.in_cluster(environment)
    bootstrap = Bootstrap(handshake, me, settings.ttl)
    pods = Pods(client, namespace, settings, clock=now, on_change=wake)
    keys = Keys(superuser.password, namespace, settings.set_name, pod_uid=me.uid)
    # With the address of a pod in place of the Service.
    upstream = primary_parameters(settings, me.name) | {"port": str(settings.postgres_port)}

    def passwords() -> tuple[str, ...]:
        return keys.replication_passwords(pods.observe())

    return Adapters(
        me=me,
        settings=settings,
        clock=now,
        client=client,
        lease=LeaseKeeper(client, namespace, settings, me, clock=now, on_change=wake),
        pods=pods,
        bootstrap=bootstrap,
        server=Server(
            superuser,
            clock=now,
            on_change=wake,
            data_directory=bootstrap.data_directory,
            hba_file=bootstrap.hba_file,
            port=settings.postgres_port,
            port_alone=bootstrap.port_alone,
        ),
        writers=WriterMemory(handshake),
        peers=Peers(me, seal=keys.seal(), ttl=settings.ttl, clock=now),
        pledges=Pledges(now),
        forks=ForkFinder(
            upstream,
            passwords,
            data_directory=bootstrap.data_directory,
            clock=now,
            on_change=wake,
        ),
        comparer=Comparer(
            me,
            upstream,
            passwords,
            data_directory=bootstrap.data_directory,
            clock=now,
            on_change=wake,
        ),
        keys=keys,
        way_in=WayIn(upstream, keys, keep=bootstrap.keep_password, clock=now),
        following=FollowingFile(handshake),
        recovery=RecoveryWatch(now),
    )


def _answer_on(listener: socket.socket, adapters: Adapters, reporter: Reporter) -> None:
    """Begin to answer the kubelet, the other members and everybody else."""
    settings, pods = adapters.settings, adapters.pods
    respondent = Respondent(
        adapters.me,
        adapters.keys.seal(),
        adapters.pledges,
        lease=adapters.lease.peek,
        pods=pods.observe,
        clock=adapters.clock,
        primary=settings.primary_value,
        paused=lambda: pods.paused() or pods.opted_out(),
    )
    application = Application(
        reporter,
        Metrics(reporter, settings.set_name, requests=adapters.client.requests),
        settings,
        refresh=lambda: adapters.server.refresh(_REFRESH_SECONDS),
        respondent=respondent,
    )
    HttpServer(
        application,
        listener,
        waits=application.waits,
        is_a_members=respondent.is_a_members,
    ).start()


def _start_threads(adapters: Adapters) -> None:
    """Start those that wait for work, all of them now: `sidecar.workers` says why."""
    process.start()
    adapters.bootstrap.patiently.start()
    adapters.server.start_threads()
    adapters.peers.start()
    adapters.forks.start()
    adapters.comparer.start()
    adapters.way_in.start()


def _kill(adapters: Adapters) -> None:
    directory = adapters.bootstrap.data_directory()
    if directory is not None:
        process.send(directory, signal.SIGKILL)
