"""Prometheus' own promtool finds nothing wrong with the alerts, and has each fire as our tests do.

`tests/deploy/firing.py` evaluates expressions by itself, so that `make check` needs no Prometheus:
here the same cases are given to the real thing. `make promtool` runs this alone.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import programs
from tests.deploy.firing import SCRAPED_EVERY, Labels, Seen, fires
from tests.deploy.manifests import document
from tests.deploy.promql import NAME
from tests.deploy.test_alerts_fire import CASES, NOW, RULES

pytestmark = pytest.mark.rarely

Json = dict[str, Any]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rule file, as the Prometheus operator makes it of a PrometheusRule."""
    file = tmp_path_factory.mktemp("promtool") / "rules.yaml"
    spec = document("monitoring/prometheus-rule.yaml")["spec"]
    file.write_text(yaml.safe_dump({"groups": spec["groups"]}))
    return file


def run(*words: str | Path) -> str:
    """What promtool says; an assertion fails with it where it ends with an error."""
    command = [programs.build(programs.PROMTOOL) / "promtool", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def selector(labels: Labels | dict[str, str], name: str) -> str:
    pairs = (f'{key}="{value}"' for key, value in sorted(dict(labels).items()) if key != NAME)
    return f"{name}{{{','.join(pairs)}}}"


def of_promtool(series: Seen) -> Json:
    """The same series in promtool's words: a start, a step and how often, then no more."""
    steps = int(min(NOW, series.ends) / SCRAPED_EVERY)
    start = 0.0 if series.per_second else series.value
    values = f"{start}+{series.per_second * SCRAPED_EVERY}x{steps}"
    return {
        "series": selector(dict(series.labels), series.labels[NAME]),
        "values": values if series.ends >= NOW else f"{values} stale",
    }


def case(alert: str, kind: int) -> Json:
    """What promtool has to find firing: what our own evaluation does."""
    series = CASES[alert][kind]
    common = {"alertname": alert, "alertstate": "firing", **RULES[alert]["labels"]}
    firing = [selector(common | it, "ALERTS") for it in fires(RULES[alert], series, NOW)]
    return {
        "name": f"{alert} {('fires', 'is silent')[kind]}",
        "interval": f"{SCRAPED_EVERY:.0f}s",
        "input_series": [of_promtool(it) for it in series],
        "promql_expr_test": [
            {
                "expr": selector({"alertname": alert, "alertstate": "firing"}, "ALERTS"),
                "eval_time": f"{NOW:.0f}s",
                "exp_samples": [{"labels": it, "value": 1} for it in firing],
            }
        ],
    }


def test_promtool_finds_nothing_wrong_with_the_rules(rules: Path) -> None:
    assert f"{len(RULES)} rules found" in run("check", "rules", "--lint-fatal", rules)


@pytest.mark.parametrize("kind", [0, 1], ids=["fires", "is silent"])
def test_prometheus_has_each_alert_fire_as_we_do(rules: Path, tmp_path: Path, kind: int) -> None:
    tests = tmp_path / "tests.yaml"
    cases = [case(alert, kind) for alert in CASES]
    assert all(bool(it["promql_expr_test"][0]["exp_samples"]) is not bool(kind) for it in cases)
    content = {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{SCRAPED_EVERY:.0f}s",
        "tests": cases,
    }
    tests.write_text(yaml.safe_dump(content))
    assert "SUCCESS" in run("test", "rules", tests)
