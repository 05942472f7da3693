"""What can go wrong with a step, named by what the caretaker then does."""


class LookAgainError(Exception):
    """Somebody else wrote first: look at the namespace again soon, and decide again."""


class RefusedError(Exception):
    """The API server refuses this step, and will for now: go on, and retry in the next round."""


class NotLeadingError(Exception):
    """Do nothing more: another caretaker may lead by now."""
