"""What a round must not show, whatever the machine's speed. Pure."""

from tests.chaos.faults import Fault
from tests.chaos.measure import Measures


def breaches(
    fault: Fault, durability: str, measures: Measures, trouble: str, *, again: bool = False
) -> list[str]:
    """Return a sentence for each promise that was broken; none where all were kept.

    `again`: the fault was played before on these pods.
    """
    counts_takeovers = fault.takeovers is not None and not (again and fault.backs_off)
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
            counts_takeovers and measures.takeovers > (fault.takeovers or 0),
            f"{measures.takeovers} takeovers, where at most {fault.takeovers} are called for",
        ),
    ]
    return [sentence for broken, sentence in found if broken]
