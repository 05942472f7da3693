"""What of the manifests a user of the chart can set, and where it goes.

deploy/chart/pgset/values.yaml says what each is for; its defaults render the manifests as they are.
"""

from typing import Final

from deploy.chart.template import Change, Option, Value

_POD: Final = ("spec", "template", "spec")
_TAG: Final = ".Values.image.tag | default .Chart.AppVersion"
_IMAGE: Final = f'printf "%s:%s" .Values.image.repository ({_TAG}) | quote'
_WEBHOOKS: Final = ("statefulsets.pgset.dev", "pods.pgset.dev")

CHANGES: Final[dict[str, tuple[Change, ...]]] = {
    "base/deployment.yaml": (
        Value(("spec", "replicas"), ".Values.replicas"),
        Option((*_POD, "securityContext"), "priorityClassName", ".Values.priorityClassName"),
        *(
            change
            for kind, container in (("initContainers", "certs"), ("containers", "webhook"))
            for change in (
                Value((*_POD, kind, container, "image"), _IMAGE),
                Option(
                    (*_POD, kind, container, "command"),
                    "imagePullPolicy",
                    ".Values.image.pullPolicy",
                ),
                Value(
                    (*_POD, kind, container, "resources"), f"toJson .Values.resources.{container}"
                ),
            )
        ),
    ),
    "base/pod-disruption-budget.yaml": (
        Value(("spec", "minAvailable"), ".Values.podDisruptionBudget.minAvailable"),
    ),
    "base/mutating-webhook-configuration.yaml": (
        *(
            Value(("webhooks", name, "failurePolicy"), ".Values.failurePolicy")
            for name in _WEBHOOKS
        ),
        Value(
            (
                *("webhooks", _WEBHOOKS[0], "namespaceSelector", "matchExpressions"),
                *("kubernetes.io/metadata.name", "values"),
            ),
            'concat (list "kube-system" .Release.Namespace) .Values.excludedNamespaces | toJson',
        ),
    ),
}

CONDITIONS: Final = {
    "base/pod-disruption-budget.yaml": ".Values.podDisruptionBudget.enabled",
    "base/network-policy.yaml": ".Values.networkPolicy.enabled",
    "monitoring/service-monitor.yaml": ".Values.serviceMonitor.enabled",
    "monitoring/pod-monitor.yaml": ".Values.serviceMonitor.enabled",
    "monitoring/prometheus-rule.yaml": ".Values.prometheusRule.enabled",
}

LEFT_OUT: Final = ("base/namespace.yaml",)
"""Helm keeps the release in its namespace, which therefore has to be there before."""
