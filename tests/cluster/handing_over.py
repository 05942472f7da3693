"""A switchover as a user asks for it."""

import time
from collections.abc import Callable
from typing import Final

from deploy.demo.stage import NAMESPACE, Stage
from deploy.demo.steps import roles

AGAIN: Final = 30.0
"""Seconds; a switchover takes one or two."""


def switch_over(stage: Stage, set_name: str, heir: str) -> None:
    """Have this member lead, and wait until it does."""
    wish = f"pgset.dev/switchover-to={heir}"
    words = ("-n", NAMESPACE, "annotate", "--overwrite", "lease", f"pgset-{set_name}", wish)
    stage.ask(*words)
    wait_until_it_leads(stage, set_name, heir, lambda: stage.ask(*words))


def wait_until_it_leads(
    stage: Stage,
    set_name: str,
    heir: str,
    ask: Callable[[], object],
    namespace: str = NAMESPACE,
) -> None:
    """Wait until a switchover is done that was just asked for, and `ask` again now and then: of a
    replica that lags, as one does on a busy machine, a primary refuses it, and clears the request.
    """
    asked = time.monotonic()

    def leads() -> bool:
        nonlocal asked
        if roles(stage, set_name, namespace).get(heir) == "primary":
            return True
        if time.monotonic() > asked + AGAIN:
            asked = time.monotonic()
            ask()
        return False

    stage.wait(leads, f"{heir} to lead")
