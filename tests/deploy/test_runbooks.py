"""docs/alerts.md says of each alert how bad it is and what to do."""

import re
from pathlib import Path

from tests.deploy.manifests import document

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"


def test_each_alert_has_its_part_of_the_page() -> None:
    groups = document("monitoring/prometheus-rule.yaml")["spec"]["groups"]
    severities = {
        it["alert"]: it["labels"]["severity"] for group in groups for it in group["rules"]
    }
    told = re.findall(r"^### (\w+)\n\n(\w+)\. ", PAGE.read_text(), re.M)
    assert len(told) == len(severities)
    assert dict(told) == severities
