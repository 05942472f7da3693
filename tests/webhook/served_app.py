"""The application as gunicorn serves it in the tests: all but the Kubernetes API is real."""

import os

from tests.webhook import objects
from webhook import tls
from webhook.app import Adapters, create_app
from webhook.certificate_metrics import CertificateMetrics
from webhook.metrics import Metrics
from webhook.settings import tls_directory

directory = tls_directory(os.environ)
certificate = tls.shared(directory)
metrics = Metrics(leases_known=lambda: True, leases_age=lambda: 0.0)
metrics.include(CertificateMetrics(certificate))
application = create_app(
    Adapters(
        image=objects.IMAGE,
        lease_state=objects.never_led,
        metrics=metrics,
        check_certificate=certificate.context,
    )
)
