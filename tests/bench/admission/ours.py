"""The application as `webhook.serve` builds it, with the API server that the benchmark gives it."""

import os
import time
from typing import Final
from wsgiref.types import WSGIApplication

from webhook.api_server import ApiServer
from webhook.app import Adapters, create_app
from webhook.lease_cache import LeaseCache
from webhook.lease_watch import LeaseWatch
from webhook.metrics import Metrics
from webhook.settings import SidecarImage, tls_directory
from webhook.tls import ServingCertificate

API: Final = "PGSET_BENCH_API"
"""The env entry with the URL of the API server that knows the Leases; the token for it is beside
the serving certificate."""


def application() -> WSGIApplication:
    """Build it from the environment, and start to follow the Leases."""
    directory = tls_directory(os.environ)
    leases = LeaseCache(time.monotonic)
    LeaseWatch(ApiServer(os.environ[API], directory), leases).start()
    return create_app(
        Adapters(
            image=SidecarImage(name="pgset:0.2.0", pull_policy="IfNotPresent"),
            lease_state=leases.state,
            metrics=Metrics(leases_known=lambda: leases.known, leases_age=lambda: leases.age),
            check_certificate=ServingCertificate(directory).context,
        )
    )
