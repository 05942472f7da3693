"""Kubernetes' quantities, and what a ResourceQuota has to be raised to."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from cli.pod_spec import Json

_UNITS: Final = {
    "": Decimal(1),
    "m": Decimal(1) / 1000,
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T"), 1)},
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}
_SAID: Final = re.compile(r"exceeded quota: ([^,]+), requested: (.+), used: (.+), limited: (.+)")
"""What the API server says: "requested: pods=1, used: pods=2, limited: pods=2"."""
_BOUND: Final = re.compile(
    r"(minimum|maximum) (cpu|memory|ephemeral-storage) usage per Container is "
    r"([0-9]+(?:\.[0-9]+)?[A-Za-z]{0,2})"
)
_RATIO: Final = re.compile(
    r"(cpu|memory|ephemeral-storage) max limit to request ratio per Container is "
    r"([0-9]+(?:\.[0-9]+)?[A-Za-z]{0,2})"
)
"""And of a LimitRange: plugin/pkg/admission/limitranger/admission.go."""
_LIMITS: Final = {"cpu": "250m", "memory": "128Mi", "ephemeral-storage": "1Gi"}
"""The sidecar's, where nobody says otherwise: webhook/resources.py."""


def enough_for(
    message: str, quotas: Sequence[Json], pods: int
) -> tuple[str, dict[str, str]] | None:
    """Return the quota that the message names, and what it has to be for so many pods more.

    None if it names none that there is: anybody may write a message. Several resources are
    separated by commas.
    """
    said = _SAID.search(message)
    if said is None or said[1] not in {it["metadata"]["name"] for it in quotas}:
        return None
    requested, used = _amounts(said[2]), _amounts(said[3])
    (quota,) = [it for it in quotas if it["metadata"]["name"] == said[1]]
    hard = quota["spec"].get("hard") or {}
    change = {}
    for name, one in requested.items():
        least = used.get(name, Decimal(0)) + one * pods
        if least > (quantity(hard.get(name, "0")) or 0):
            change[name] = written(least)
    return said[1], change


def within_limit_range(message: str) -> str:
    """Return what the sidecar has to ask for, as its annotation says it, so that the LimitRange of
    which the message speaks lets the pod be made; "" where it speaks of none.

    What it speaks of was allowed before the set had a sidecar, so it is the sidecar's.
    """
    asked: dict[str, str] = {}
    for least, name, quantity_ in _BOUND.findall(message):
        side = "requests" if least == "minimum" else "limits"
        asked[f"{side}.{name}"] = quantity_
    for name, ratio in _RATIO.findall(message):
        limit = asked.get(f"limits.{name}") or _LIMITS.get(name, "")
        amount, most = quantity(limit), quantity(ratio)
        if amount and most:
            asked[f"limits.{name}"] = limit
            unit, factor = ("m", 1000) if name == "cpu" else ("Mi", Decimal(1) / 2**20)
            asked[f"requests.{name}"] = f"{math.ceil(amount / most * factor)}{unit}"
    return ",".join(f"{name}={it}" for name, it in sorted(asked.items()))


def _amounts(text: str) -> dict[str, Decimal]:
    pairs = (it.partition("=") for it in text.split(","))
    return {name.strip(): amount for name, _, value in pairs if (amount := quantity(value))}


def quantity(text: str) -> Decimal | None:
    """Return a quantity's amount; None if it is none that we know."""
    match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)([A-Za-z]{0,2})", text.strip())
    if match is None or match[2] not in _UNITS:
        return None
    return Decimal(match[1]) * _UNITS[match[2]]


def written(amount: Decimal) -> str:
    """Return an amount as a quantity, in thousandths if it is not whole."""
    return str(int(amount)) if amount == int(amount) else f"{int(amount * 1000)}m"


def doubled(text: str) -> str | None:
    """Return twice this quantity, in its unit; None if it is none that we know."""
    match = re.fullmatch(r"([0-9]{1,20})([A-Za-z]{0,2})", text.strip())
    return f"{int(match[1]) * 2}{match[2]}" if match else None
