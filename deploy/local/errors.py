"""The one error that a user of the local cluster meets."""


class LocalClusterError(Exception):
    """Something outside of this code is missing or failed.

    The message is one sentence for the user: what is missing, and what to do.
    """
