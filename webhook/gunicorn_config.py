"""gunicorn's settings: `gunicorn --config python:webhook.gunicorn_config`.

https://docs.gunicorn.org/en/stable/settings.html; the obvious ones have no comment.
"""

import os
import ssl
import tempfile
from collections.abc import Callable

from gunicorn import glogging

from webhook import logs, tls
from webhook.settings import address, port, tls_directory

wsgi_app = "webhook.serve:application()"
bind = address(port(os.environ))
proc_name = "pgset-webhook"
logconfig_dict = logs.CONFIGURATION


class Logger(glogging.Logger):  # type: ignore[misc] # gunicorn has no type information
    """gunicorn's, without an access log: the application has a better line for each review."""

    def access(self, *_: object) -> None:
        """Skip collecting what that line would contain: it takes a twentieth of a review's time."""


logger_class = Logger

# A handler that never waits gains nothing from threads, and no client can make this worker wait.
# One process also means one registry of metrics and one watch of the Leases.
worker_class = "webhook.patient_worker.PatientWorker"
workers = 1

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
