"""What is done for a start of PostgreSQL, and for a change of its primary."""

import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.act import Actor
from sidecar.action import Action, Attach, StartPostgres
from sidecar.observe import Adapters
from tests.sidecar.test_loop import adapters, data

__all__ = ["adapters", "data"]


def carry_out(adapters: Adapters, action: Action, **changes: Any) -> str | None:
    """Return what has failed; the action must not take long, whatever hangs."""
    followed: Any = SimpleNamespace(follow=lambda _: None)
    events: Any = None
    actor = Actor(replace(adapters, server=followed, **changes), events)
    told: list[str | None] = []
    acting = threading.Thread(
        target=lambda: told.append(actor.carry_out((action,), float("inf"))), daemon=True
    )
    acting.start()
    acting.join(10)
    assert told, "it hangs with the volume"
    return told[0]


@pytest.mark.thorough
@pytest.mark.parametrize("action", [Attach("10.0.0.1"), StartPostgres()], ids=["attach", "start"])
def test_a_volume_that_hangs_does_not_hang_the_loop_that_asks_for_the_version(
    adapters: Adapters, data: Path, action: Action
) -> None:
    os.mkfifo(data / "PG_VERSION")
    told = carry_out(adapters, action)
    assert told is not None
    assert "the volume has not answered" in told
