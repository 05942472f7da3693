"""From what there is in a namespace to what is to be done there."""

from typing import Final

from webhook.caretaker import grants, services, sidecars
from webhook.caretaker.facts import Namespace
from webhook.caretaker.step import Grant, MakeService, Step, Tell, tell

REFUSED: Final = "Refused"
"""The Event's reason."""


def plan(there: Namespace, *, grant: bool) -> list[Step]:
    """Return the steps, in an order that has new members find what they need.

    Done and looked at again, nothing is left to do but what the user has been told.
    """
    return [
        *grants.steps(there, allowed=grant),
        *services.steps(there),
        *sidecars.steps(there),
    ]


def refused(there: Namespace, step: Grant | MakeService, why: str) -> list[Tell]:
    """Return what is told of a step that the API server did not take, in whose words `why` is."""
    if isinstance(step, MakeService):
        return [tell(step.owner, REFUSED, f'Service "{step.name}" can\'t be made: {why}')]
    return [
        tell(it, REFUSED, f'service account "{it.service_account}" can\'t be granted rights: {why}')
        for it in grants.wanting(there)
        if it.service_account in step.accounts
    ]
