"""The application as gunicorn serves it in the tests: all but the Kubernetes API is real."""

import os

from tests.webhook import objects
from webhook.app import Adapters, create_app
from webhook.metrics import Metrics
from webhook.settings import tls_directory
from webhook.tls import ServingCertificate

application = create_app(
    Adapters(
        image=objects.IMAGE,
        lease_state=objects.never_led,
        metrics=Metrics(leases_known=lambda: True, leases_age=lambda: 0.0),
        check_certificate=ServingCertificate(tls_directory(os.environ)).context,
    )
)
