"""python -m tests.simulator: run schedules, and tell of the first that breaks an invariant."""

import argparse
import gc
import sys
import time
from collections import Counter

from tests.simulator.faults.registry import ALL
from tests.simulator.faults.strike import Kind
from tests.simulator.golden import render
from tests.simulator.member.parts import Parts
from tests.simulator.runner import run
from tests.simulator.seeds import from_seed
from tests.simulator.shrink import shrink


def main() -> int:
    """Return 1 where an invariant was broken."""
    arguments = _arguments()
    if arguments.replay is not None:
        schedule = from_seed(arguments.replay, world=arguments.world)
        result = run(schedule, recording=True)
        print(render(schedule, result), end="")
        return int(result.violation is not None)
    gc.disable()
    began, used = time.monotonic(), time.process_time()
    by_durability: Counter[str] = Counter()
    commits = promotions = 0
    failures = []
    first = arguments.seed
    for seed in range(first, first + arguments.schedules):
        schedule = from_seed(seed, world=arguments.world)
        result = run(schedule)
        by_durability[schedule.durability] += 1
        commits += result.commits
        promotions += result.promotions
        if result.violation is not None:
            failures.append((schedule, result.violation))
            print(f"seed {seed}: {result.violation}", flush=True)
            if len(failures) >= arguments.failures:
                break
        if seed % 50 == 0:
            gc.collect()
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    count = sum(by_durability.values())
    each = ", ".join(f"{number} {name}" for name, number in sorted(by_durability.items()))
    print(
        f"{count} schedules ({each}) in {seconds:.0f} s, {60 * count / cpu:.0f} per minute of one "
        f"core: {commits} commits acknowledged, {promotions} promotions, {len(failures)} failures"
    )
    for schedule, violation in failures if arguments.failures > 1 else failures[:1]:
        print(f"\nseed {schedule.seed} made smaller:")
        small, result = shrink(schedule, violation.invariant, Parts())
        print(render(small, result), end="")
    return int(bool(failures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulator",
        description=__doc__,
        epilog="what happens to a set:\n" + "".join(_in_words(kind) for kind in ALL.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--schedules", type=int, default=5000, help="how many to run")
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule")
    parser.add_argument("--failures", type=int, default=1, help="end after so many")
    parser.add_argument(
        "--world", action="store_true", help="with slow and refusing parts of the world as well"
    )
    parser.add_argument("--replay", type=int, metavar="SEED", help="tell one schedule in full")
    return parser.parse_args()


def _in_words(kind: Kind) -> str:
    return f"  {kind.name:<17} {kind.sentence}{' (--world)' if kind.world else ''}\n"


if __name__ == "__main__":
    sys.exit(main())
