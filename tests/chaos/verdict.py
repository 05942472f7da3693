"""What a round must not show, whatever the machine's speed. Pure."""

from tests.chaos.faults import Fault
from tests.chaos.measure import Measures


def breaches(fault: Fault, durability: str, measures: Measures, trouble: str) -> list[str]:
    """Return a sentence for each promise that was broken; none where all were kept."""
    lossless = fault.lossless or durability != "async"
    found = [
        (trouble != "", trouble),
        (not measures.resumed, "writes did not resume"),
        (
            measures.double_ticks > 0,
            f"two members were writable at once in {measures.double_ticks} samples",
        ),
        (
            lossless and measures.lost > 0,
            f"{measures.lost} acknowledged rows are lost, where none may be",
        ),
        (
            fault.takeovers is not None and measures.takeovers > fault.takeovers,
            f"{measures.takeovers} takeovers, where at most {fault.takeovers} are called for",
        ),
    ]
    return [sentence for broken, sentence in found if broken]
