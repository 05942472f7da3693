"""Builds the adapters and the application; gunicorn calls it in its worker, after the fork."""

import os
import time
from wsgiref.types import WSGIApplication

from kubernetes import client, config

from webhook import own_pod
from webhook.app import Adapters, create_app
from webhook.lease_cache import LeaseCache
from webhook.lease_watch import LeaseWatch
from webhook.metrics import Metrics
from webhook.settings import WebhookSettings
from webhook.tls import ServingCertificate


def application() -> WSGIApplication:
    """Build the application from the environment, and start to follow the Leases.

    Raises InvalidEnvironmentError or kubernetes' ConfigException outside of a Deployment, and
    ApiException where the own pod can't be read.
    """
    settings = WebhookSettings.from_environment(os.environ)
    config.load_incluster_config()
    leases = LeaseCache(time.monotonic)
    LeaseWatch(client.CoordinationV1Api(), leases).start()
    return create_app(
        Adapters(
            image=own_pod.sidecar_image(client.CoreV1Api(), settings),
            lease_state=leases.state,
            metrics=Metrics(leases_known=lambda: leases.known, leases_age=lambda: leases.age),
            check_certificate=ServingCertificate(settings.tls_directory).context,
        )
    )
