"""Builds the adapters and the application; gunicorn calls it in its worker, after the fork."""

import os
import time
from wsgiref.types import WSGIApplication

from webhook import own_pod
from webhook.api_server import ApiServer
from webhook.app import Adapters, create_app
from webhook.lease_cache import LeaseCache
from webhook.lease_watch import LeaseWatch
from webhook.metrics import Metrics
from webhook.settings import WebhookSettings
from webhook.tls import ServingCertificate


def application() -> WSGIApplication:
    """Build the application from the environment, and start to follow the Leases.

    Raises InvalidEnvironmentError outside of a Deployment, and ApiError where the own pod can't be
    read.
    """
    settings = WebhookSettings.from_environment(os.environ)
    api = ApiServer.in_cluster(os.environ)
    leases = LeaseCache(time.monotonic)
    LeaseWatch(api, leases).start()
    return create_app(
        Adapters(
            image=own_pod.sidecar_image(api, settings),
            lease_state=leases.state,
            metrics=Metrics(leases_known=lambda: leases.known, leases_age=lambda: leases.age),
            check_certificate=ServingCertificate(settings.tls_directory).context,
        )
    )
