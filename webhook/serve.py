"""Builds the adapters and the application; gunicorn calls it in its worker, after the fork."""

import os
import time
from wsgiref.types import WSGIApplication

from webhook import own_pod, tls
from webhook.api_server import ApiServer
from webhook.app import Adapters, create_app
from webhook.certificate_metrics import CertificateMetrics
from webhook.lease_cache import LeaseCache
from webhook.lease_watch import LeaseWatch
from webhook.metrics import Metrics
from webhook.settings import WebhookSettings


def application() -> WSGIApplication:
    """Build the application from the environment, and start to follow the Leases.

    Raises InvalidEnvironmentError outside a Deployment, and ApiError if our own pod can't be read.
    """
    settings = WebhookSettings.from_environment(os.environ)
    api = ApiServer.in_cluster(os.environ)
    leases = LeaseCache(time.monotonic)
    LeaseWatch(api, leases).start()
    certificate = tls.shared(settings.tls_directory)
    metrics = Metrics(leases_known=lambda: leases.known, leases_age=lambda: leases.age)
    metrics.include(CertificateMetrics(certificate))
    return create_app(
        Adapters(
            image=own_pod.sidecar_image(api, settings),
            lease_state=leases.state,
            metrics=metrics,
            check_certificate=certificate.context,
            own_accounts=settings.grants,
        )
    )
