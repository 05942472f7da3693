"""LabelSelectors as the API has them: whom they select, and as a query parameter."""

from collections.abc import Mapping

from webhook.json_patch import Json


def selector_text(selector: Json) -> str:
    """Return a LabelSelector in the form of the query parameter `labelSelector`."""
    equal = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    rules = [_rule_text(rule) for rule in selector.get("matchExpressions") or []]
    return ",".join(equal + rules)


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects what has these labels; an empty one selects all."""
    equal = (selector.get("matchLabels") or {}).items() <= labels.items()
    return equal and all(_obeys(labels, it) for it in selector.get("matchExpressions") or [])


def _obeys(labels: Mapping[str, str], rule: Json) -> bool:
    present = rule["key"] in labels
    among = labels.get(rule["key"]) in (rule.get("values") or [])
    return {
        "In": among,
        "NotIn": not among,
        "Exists": present,
        "DoesNotExist": not present,
    }[rule["operator"]]


def _rule_text(rule: Json) -> str:
    values = ",".join(rule.get("values") or [])
    return {
        "In": f"{rule['key']} in ({values})",
        "NotIn": f"{rule['key']} notin ({values})",
        "Exists": f"{rule['key']}",
        "DoesNotExist": f"!{rule['key']}",
    }[rule["operator"]]
