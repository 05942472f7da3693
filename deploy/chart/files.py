"""Which files of the chart are made, and of what."""

import re
from pathlib import Path
from typing import Final

import yaml

from deploy.chart.changes import with_changes
from deploy.chart.template import template
from deploy.chart.values import CHANGES, CONDITIONS, LEFT_OUT

DEPLOY: Final = Path(__file__).resolve().parent.parent
CHART: Final = DEPLOY / "chart/pgset"

_HEAD: Final = "{{- /* Made from deploy/%s by `python -m deploy.chart`; change that. */ -}}\n"

_DASHBOARD: Final = "monitoring/dashboard.json"
_PAGE: Final = "docs/install.md"
_TITLE: Final = (
    "# pgset\n\nOne annotation turns a StatefulSet of stock PostgreSQL into a replicated set that "
    "heals itself.\n"
)


def made() -> dict[str, str]:
    """Return the texts by their path in the chart."""
    manifests = [
        f"{folder}/{name}"
        for folder in ("base", "monitoring", "components/cert-manager")
        for name in _resources(folder)
        if f"{folder}/{name}" not in LEFT_OUT
    ]
    templates = {f"templates/{Path(it).name}": _HEAD % it + _template(it) for it in manifests}
    dashboard = (DEPLOY / _DASHBOARD).read_text()
    changelog = (DEPLOY.parent / "CHANGELOG.md").read_text()
    chart = with_changes((CHART / "Chart.yaml").read_text(), changelog)
    return templates | {
        Path(_DASHBOARD).name: dashboard,
        "README.md": _readme(),
        "Chart.yaml": chart,
    }


def _readme() -> str:
    """What the page says of the chart: shown where charts are found, far from the other pages."""
    _, _, rest = (DEPLOY.parent / _PAGE).read_text().partition("\n## Helm\n")
    section, _, _ = rest.partition("\n## ")
    return _TITLE + re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", section)


def _resources(folder: str) -> list[str]:
    kustomization = yaml.safe_load((DEPLOY / folder / "kustomization.yaml").read_text())
    return list(kustomization["resources"])


def _template(manifest: str) -> str:
    text = (DEPLOY / manifest).read_text()
    return template(text, CHANGES.get(manifest, ()), CONDITIONS.get(manifest, ""))
