"""From what there is in a namespace to what has to be done there."""

from typing import Final

from webhook.caretaker import budgets, grants, policies, services, sidecars, stuck
from webhook.caretaker.facts import Namespace
from webhook.caretaker.step import (
    Grant,
    MakeAccount,
    MakeBudget,
    MakePolicy,
    MakeService,
    Step,
    Tell,
    Write,
    tell,
)

REFUSED: Final = "Refused"
"""The Event's reason."""


def plan(there: Namespace, *, grant: bool) -> list[Step]:
    """Return the steps, in an order in which new members find what they need.

    Idempotent: once the steps are done, a second plan holds nothing but what the user has already
    been told.
    """
    return [
        *grants.steps(there, allowed=grant),
        *services.steps(there),
        *policies.steps(there),
        *budgets.steps(there),
        *sidecars.steps(there),
        *stuck.steps(there),
    ]


def refused(there: Namespace, step: Write, why: str) -> list[Tell]:
    """Return the warnings about a step that the API server refused; `why` is its message."""
    if isinstance(step, MakeService):
        return [tell(step.owner, REFUSED, f'cannot create Service "{step.name}": {why}')]
    if isinstance(step, MakeAccount):
        return [tell(step.owner, REFUSED, f'cannot create service account "{step.name}": {why}')]
    if isinstance(step, MakePolicy):
        return [tell(step.owner, REFUSED, f'cannot write NetworkPolicy "{step.name}": {why}')]
    if isinstance(step, MakeBudget):
        return [tell(step.owner, REFUSED, f'cannot write PodDisruptionBudget "{step.name}": {why}')]
    if not isinstance(step, Grant):
        return []  # What is left over harms no set.
    return [
        tell(it, REFUSED, f'cannot grant rights to service account "{it.service_account}": {why}')
        for it in grants.wanting(there)
        if it.service_account in step.accounts
    ]
