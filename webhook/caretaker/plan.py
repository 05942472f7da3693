"""From what there is in a namespace to what is to be done there."""

from webhook.caretaker import grants, services, sidecars
from webhook.caretaker.facts import Namespace
from webhook.caretaker.step import Step


def plan(there: Namespace, *, grant: bool) -> list[Step]:
    """Return the steps, in an order that has new members find what they need.

    Done and looked at again, nothing is left to do but what the user has been told.
    """
    return [
        *grants.steps(there, allowed=grant),
        *services.steps(there),
        *sidecars.steps(there),
    ]
