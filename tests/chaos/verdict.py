"""What a round must not show. Pure."""

from tests.chaos.faults import Fault
from tests.chaos.measure import Measures


def breaches(
    fault: Fault, durability: str, measures: Measures, trouble: str, *, again: bool = False
) -> list[str]:
    """Return a sentence for each promise that was broken; none where all were kept.

    `again`: the fault was played before on these pods.
    """
    takeovers = "" if again and fault.backs_off else too_many_takeovers(fault, measures)
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
        (takeovers != "", takeovers),
    ]
    return [sentence for broken, sentence in found if broken]


def too_many_takeovers(fault: Fault, measures: Measures) -> str:
    """Say so where there were more than the fault calls for; "" else.

    The one promise that needs a machine which does not stand still: who is not heard of for a ttl
    is rightly taken over from.
    """
    if fault.takeovers is None or measures.takeovers <= fault.takeovers:
        return ""
    return f"{measures.takeovers} takeovers, where at most {fault.takeovers} are called for"
