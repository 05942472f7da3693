"""Orders to bootstrap that fail again and again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failures:
    """The same order to bootstrap has failed, and nothing else was tried since."""

    verb: str
    """The order: initdb, clone, rewind, reclone or start."""
    holder: str
    """The Lease's holder who was to be copied, as `holderIdentity` has it."""
    number: int
    """How often, in this way: `refused` or not."""
    at: float
    """When it was seen to have failed last."""
    why: str
    """How it failed last, as a clause."""
    refused: bool = False
    """It cost nothing: nothing was copied yet, or nothing could be written before a start."""
