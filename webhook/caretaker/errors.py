"""What can go wrong with a step, named by what the caretaker does then."""


class LookAgainError(Exception):
    """Somebody else wrote first: look at the namespace again soon, and decide anew."""


class RefusedError(Exception):
    """The API server does not take this step, and won't at once: go on, try in the next round."""


class NotLeadingError(Exception):
    """Do nothing more: another caretaker may lead by now."""
