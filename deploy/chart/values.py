"""What of the manifests a user of the chart can set, and where it goes.

deploy/chart/pgset/values.yaml says what each is for; its defaults render the manifests as they are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from deploy.chart.template import Change, Default, More, Option, Value

_POD: Final = ("spec", "template", "spec")
_TEMPLATE: Final = ("spec", "template", "metadata", "labels")
_IMAGE: Final = 'include "pgset.image" . | quote'
_WEBHOOKS: Final = ("statefulsets.pgset.dev", "pods.pgset.dev")
_EXCLUDED: Final = (
    'concat (list "kube-system" .Release.Namespace) (default list .Values.excludedNamespaces)'
)
_CERTS: Final = (*_POD, "containers", "certs")
_CARETAKER: Final = (*_POD, "containers", "caretaker")
_PORT: Final = ".Values.port | quote"
_PROBES_PORT: Final = ".Values.probesPort | quote"
_WEBHOOK: Final = (*_POD, "containers", "webhook")
_GRANTS: Final = "and .Values.caretaker.enabled .Values.caretaker.grants | quote"


def _of_container(path: tuple[str, ...]) -> tuple[Change, ...]:
    return (
        Value((*path, "image"), _IMAGE),
        Option((*path, "command"), "imagePullPolicy", ".Values.image.pullPolicy"),
        Value((*path, "resources"), f"toJson .Values.resources.{path[-1]}"),
    )


def _of_pod(field: str) -> Option:
    return Option((*_POD, "securityContext"), field, f".Values.{field}")


def _arguments(path: tuple[str, ...]) -> Option:
    return Option((*path, "env"), "args", f".Values.extraArgs.{path[-1]}")


def _spread(container: str) -> Default:
    action = f".Values.topologySpreadConstraints.{container}"
    return Default((*_POD, "topologySpreadConstraints"), action)


_TOLERATED: Final = _of_pod("tolerations")
_PODS: Final[tuple[Change, ...]] = (
    Option(_TEMPLATE, "annotations", ".Values.podAnnotations"),
    More(_TEMPLATE, ".Values.podLabels"),
    _of_pod("imagePullSecrets"),
    _of_pod("priorityClassName"),
    _of_pod("nodeSelector"),
    _of_pod("affinity"),
)
_INJECTED: Final = (
    'ternary (dict "cert-manager.io/inject-ca-from" (printf "%s/pgset-webhook" '
    ".Release.Namespace)) (dict) .Values.certManager.enabled"
)
"""The annotation by which cert-manager writes the CA."""
_LOG_LEVEL: Final = ".Values.logLevel | quote"
_RULES: Final = Path(__file__).resolve().parents[1] / "monitoring/prometheus-rule.yaml"


def _runbooks() -> Iterator[Option]:
    """Yield, for each alert, where its part of docs/alerts.md is."""
    for group in yaml.safe_load(_RULES.read_text())["spec"]["groups"]:
        for rule in group["rules"]:
            where = ("spec", "groups", group["name"], "rules", rule["alert"], "annotations")
            action = f'include "pgset.runbook" (list $ "{rule["alert"].lower()}")'
            yield Option((*where, "summary"), "runbook_url", action)


_MONITORS_LABELS: Final = More(("metadata", "labels"), ".Values.serviceMonitor.labels")


CHANGES: Final[dict[str, tuple[Change, ...]]] = {
    "base/deployment.yaml": (
        Value(("spec", "replicas"), ".Values.replicas"),
        # On the nodes' network two need two nodes, and a third one may have none.
        Value(
            ("spec", "strategy", "rollingUpdate", "maxUnavailable"),
            "ternary 1 0 .Values.hostNetwork",
        ),
        _of_pod("hostNetwork"),
        Value((*_WEBHOOK, "ports", "https", "containerPort"), ".Values.port"),
        Value((*_WEBHOOK, "ports", "probes", "containerPort"), ".Values.probesPort"),
        Value((*_WEBHOOK, "env", "PGSET_PORT", "value"), _PORT),
        Value((*_WEBHOOK, "env", "PGSET_PROBES_PORT", "value"), _PROBES_PORT),
        *_PODS,
        _TOLERATED,
        _spread("webhook"),
        *_of_container(_WEBHOOK),
        _arguments(_WEBHOOK),
        Value((*_WEBHOOK, "env", "PGSET_LOG_LEVEL", "value"), _LOG_LEVEL),
        Value((*_WEBHOOK, "env", "PGSET_GRANTS", "value"), _GRANTS),
        Value(
            (*_WEBHOOK, "env", "PGSET_SIDECAR_RESOURCES", "value"),
            '.Values.sidecarResources | default "" | quote',
        ),
    ),
    "base/pod-disruption-budget.yaml": (
        Value(("spec", "minAvailable"), ".Values.podDisruptionBudget.minAvailable"),
    ),
    "base/mutating-webhook-configuration.yaml": (
        Option(("metadata", "labels"), "annotations", _INJECTED),
        *(
            Value(("webhooks", name, "failurePolicy"), ".Values.failurePolicy")
            for name in _WEBHOOKS
        ),
        Value(
            (
                *("webhooks", _WEBHOOKS[0], "namespaceSelector", "matchExpressions"),
                *("kubernetes.io/metadata.name", "values"),
            ),
            f"{_EXCLUDED} | toJson",
        ),
    ),
    "base/certs-deployment.yaml": (
        *_PODS,
        _TOLERATED,
        _spread("certs"),
        *_of_container(_CERTS),
        _arguments(_CERTS),
    ),
    "base/caretaker-deployment.yaml": (
        *_PODS,
        More((*_POD, "tolerations"), ".Values.tolerations"),
        *_of_container(_CARETAKER),
        Value((*_CARETAKER, "env", "PGSET_LOG_LEVEL", "value"), _LOG_LEVEL),
        Value((*_CARETAKER, "env", "PGSET_GRANTS", "value"), ".Values.caretaker.grants | quote"),
        Value(
            (*_CARETAKER, "env", "PGSET_EXCLUDED_NAMESPACES", "value"),
            f'{_EXCLUDED} | join "," | quote',
        ),
    ),
    "monitoring/service-monitor.yaml": (
        _MONITORS_LABELS,
        More(("spec", "endpoints", "https"), ".Values.serviceMonitor.endpoint"),
    ),
    "monitoring/pod-monitor.yaml": (
        _MONITORS_LABELS,
        More(("spec", "podMetricsEndpoints", "pgset"), ".Values.serviceMonitor.endpoint"),
    ),
    "monitoring/prometheus-rule.yaml": (
        More(("metadata", "labels"), ".Values.prometheusRule.labels"),
        *_runbooks(),
    ),
}

_CARETAKER_ENABLED: Final = ".Values.caretaker.enabled"
_CERT_MANAGER: Final = ".Values.certManager.enabled"

CONDITIONS: Final = {
    "base/caretaker-service-account.yaml": _CARETAKER_ENABLED,
    "base/caretaker-cluster-role.yaml": _CARETAKER_ENABLED,
    "base/caretaker-cluster-role-binding.yaml": _CARETAKER_ENABLED,
    "base/caretaker-role.yaml": _CARETAKER_ENABLED,
    "base/caretaker-role-binding.yaml": _CARETAKER_ENABLED,
    "base/caretaker-validating-admission-policy.yaml": _CARETAKER_ENABLED,
    "base/caretaker-validating-admission-policy-binding.yaml": _CARETAKER_ENABLED,
    "base/caretaker-network-policy.yaml": f"and {_CARETAKER_ENABLED} .Values.networkPolicy.enabled",
    "base/caretaker-deployment.yaml": _CARETAKER_ENABLED,
    **{
        f"base/certs-{name}.yaml": f"not {_CERT_MANAGER}"
        for name in (
            *("service-account", "cluster-role", "cluster-role-binding", "role", "role-binding"),
            "deployment",
        )
    },
    "base/certs-network-policy.yaml": f"and (not {_CERT_MANAGER}) .Values.networkPolicy.enabled",
    "components/cert-manager/certificate-authority.yaml": _CERT_MANAGER,
    "components/cert-manager/serving-certificate.yaml": _CERT_MANAGER,
    "base/pod-disruption-budget.yaml": ".Values.podDisruptionBudget.enabled",
    "base/network-policy.yaml": ".Values.networkPolicy.enabled",
    "monitoring/service-monitor.yaml": ".Values.serviceMonitor.enabled",
    "monitoring/pod-monitor.yaml": ".Values.serviceMonitor.enabled",
    "monitoring/prometheus-rule.yaml": ".Values.prometheusRule.enabled",
}

LEFT_OUT: Final = ("base/namespace.yaml",)
"""Helm keeps the release in its namespace, which therefore has to be there before."""
