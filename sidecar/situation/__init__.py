"""An observation and the words that the table of `sidecar.decide` speaks of it in.

Everything here is a question with an answer: nothing is decided and nothing is done. Each module
has the words of one matter and those of the modules before it:
lease → server → members → election → handover → durability → start.
"""

from sidecar.observation import Observation
from sidecar.settings import Settings
from sidecar.situation.start import StartWords


class Situation(StartWords):
    """What is true of one observation."""


_last: Situation | None = None


def situation_of(observation: Observation, settings: Settings) -> Situation:
    """Return the situation; the same one for the same observation, whose words it remembers."""
    global _last  # noqa: PLW0603 - a memory of one value, which changes no answer
    if _last is None or _last.seen is not observation or _last.settings is not settings:
        _last = Situation(observation, settings)
    return _last
