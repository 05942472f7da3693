"""gunicorn's settings: `gunicorn --config python:webhook.gunicorn_config`.

https://docs.gunicorn.org/en/stable/settings.html; the obvious ones have no comment.
"""

import os
import resource
import ssl
import tempfile
from collections.abc import Callable
from typing import Any

from gunicorn import glogging

from webhook import logs, probes, tls
from webhook.settings import address, log_level, port, probes_port, tls_directory

wsgi_app = "webhook.serve:application()"
# Reviews, and the kubelet's probes.
bind = [address(port(os.environ)), address(probes_port(os.environ))]
proc_name = "pgset-webhook"
logconfig_dict = logs.configuration(log_level(os.environ))


class Logger(glogging.Logger):  # type: ignore[misc] # gunicorn has no type information
    """gunicorn's, without an access log: the application has a better line for each review."""

    def access(self, *_: object) -> None:
        """Skip collecting what that line would contain: it takes a twentieth of a review's time."""


logger_class = Logger

# A handler that never waits gains nothing from threads, and no client can make this worker wait.
# One process also means one registry of metrics and one watch of the Leases.
worker_class = "webhook.patient_worker.PatientWorker"
workers = 1

# More than come at once, as far as the process may have files (gunicorn's own: 1,000). They take
# some 10 kB each.
_, _files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, _files), _files))
worker_connections = min(2000, _files // 2)

# The API server keeps idle connections for 90 s; the side that closes first fails a request.
keepalive = 100

# Seconds from SIGTERM to the end at the latest (gunicorn's own: 30, a pod's whole grace period).
# A review takes milliseconds, so a client that is still being waited for then is slow or broken.
# Kept-alive connections live as long: a review that comes on one is answered, with
# `Connection: close`, before the end can cross it on the way.
graceful_timeout = 1

# The root file system is read-only; the heartbeat file lives where TMPDIR says.
worker_tmp_dir = tempfile.gettempdir()
control_socket_disable = True

_directory = tls_directory(os.environ)
_certificate = tls.shared(_directory)

# These two turn TLS on; the hook below provides what is served.
certfile = str(_directory / tls.CERTIFICATE_FILE)
keyfile = str(_directory / tls.KEY_FILE)


def ssl_context(_config: object, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the context for one new connection; gunicorn asks at its handshake."""
    return _certificate.context()


def post_worker_init(worker: Any) -> None:
    """Have the probes answered, on all addresses but the first; the worker keeps that one."""
    reviews, *others = worker.sockets
    worker.sockets = [reviews]
    answers = probes.Probes(lambda: worker.turned, _certificate.context)
    for it in others:
        probes.serve(it.sock, answers)
