"""Builds the adapters and runs the loop: what the sidecar container starts."""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import waitress

from sidecar import contract
from sidecar.act import Actor
from sidecar.bootstrap import Bootstrap
from sidecar.kube.client import ApiClient
from sidecar.kube.events import Events
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.pods import Pods
from sidecar.loop import Loop
from sidecar.observation import Identity
from sidecar.observe import Adapters
from sidecar.peers import Peers
from sidecar.postgres import credentials
from sidecar.postgres.process import WriterMemory
from sidecar.postgres.server import Server
from sidecar.report.http import Application
from sidecar.report.log import configure_logging
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter
from sidecar.settings import Settings

_PR_SET_DUMPABLE = 4

_log = logging.getLogger(__name__)


def hide_from_other_processes() -> None:
    """Keep PostgreSQL, which has the same uid, from reading the token through /proc/<pid>/root.

    A superuser of the database can run programs there (COPY … FROM PROGRAM); with "dumpable" off
    the kernel refuses them this process's environment, memory and files. See proc(5), prctl(2).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) was refused")


def main() -> int:
    """Run until SIGTERM, which the kubelet sends when PostgreSQL has stopped."""
    hide_from_other_processes()
    configure_logging()
    environment = dict(os.environ)
    settings = Settings.from_environment(environment)
    me = Identity(environment[contract.ENV_POD_NAME], environment[contract.ENV_POD_UID])
    namespace = environment[contract.ENV_POD_NAMESPACE]
    try:
        superuser = credentials.from_environment(environment)
    except OSError as error:
        _log.error("the file of the database container's password cannot be read: %s", error)
        return 1
    clock = time.monotonic
    client = ApiClient.in_cluster(environment)
    reporter = Reporter(clock)

    def wake() -> None:
        loop.wake()

    adapters = Adapters(
        me=me,
        settings=settings,
        clock=clock,
        client=client,
        lease=LeaseKeeper(client, namespace, settings, me, clock=clock, on_change=wake),
        pods=Pods(client, namespace, settings, clock=clock, on_change=wake),
        bootstrap=Bootstrap(Path(contract.HANDSHAKE_DIRECTORY), me, silence=settings.ttl),
        server=Server(superuser, clock=clock, on_change=wake),
        writers=WriterMemory(Path(contract.HANDSHAKE_DIRECTORY)),
        peers=Peers(me),
    )
    loop = Loop(adapters, Actor(adapters, superuser), Events(client, namespace, me), reporter)
    signal.signal(signal.SIGTERM, lambda *_: loop.leave())
    adapters.bootstrap.provide_script()
    adapters.lease.start()
    adapters.pods.start()
    _serve(Application(reporter, Metrics(reporter, settings.set_name), settings))
    loop.run()
    return 0


def _serve(application: Application) -> None:
    """Answer on every address of the pod; probes come from the node, peers from other pods."""
    server = waitress.create_server(
        application,
        listen=f"*:{contract.SIDECAR_PORT}",
        threads=4,
        ident="pgset",
        # A peer or a probe says little and takes little time; nobody may hold a thread for long.
        channel_timeout=10,
        connection_limit=100,
        max_request_body_size=65536,
    )
    threading.Thread(target=server.run, name="http", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
