"""python -m tests.fuzz: made-up requests and texts, and the ones that break a claim."""

import argparse
import contextlib
import logging
import random
import sys
import time
from collections import Counter

from tests.fuzz import texts
from tests.fuzz.claims import check
from tests.fuzz.mutation import request


def main() -> int:
    """Return 1 where a claim was broken."""
    arguments = _arguments()
    logging.disable()
    if arguments.replay:
        seed, number = map(int, arguments.replay.split(":"))
        made = request(seed, number)
        print(f"POST {made.path} ({made.lease_state})\n{made.body.decode(errors='replace')}")
        print(check(made))
        for read in texts.CHECKS.values():
            read(random.Random(arguments.replay))  # noqa: S311 - likewise
        return 0
    began = time.monotonic()
    outcomes: Counter[str] = Counter()
    with contextlib.suppress(KeyboardInterrupt):  # the sum of what was tried is told then, too
        _run(arguments, outcomes)
    seconds = time.monotonic() - began
    count = outcomes.total()
    each = ", ".join(f"{number} {name}" for name, number in outcomes.most_common())
    print(f"{count} inputs in {seconds:.0f} s, {count / seconds:.0f} a second: {each}")
    return int(outcomes["failed"] > 0)


def _run(arguments: argparse.Namespace, outcomes: Counter[str]) -> None:
    for number in range(arguments.inputs):
        try:
            outcomes[check(request(arguments.seed, number))] += 1
            for read in texts.CHECKS.values():
                read(random.Random(f"{arguments.seed}:{number}"))  # noqa: S311 - to be made again
        except Exception as error:  # a fault of the webhook or of the claims: both are told
            outcomes["failed"] += 1
            print(
                f"{type(error).__name__}: {str(error)[:500]}\n"
                f"  again: python -m tests.fuzz --replay {arguments.seed}:{number}",
                flush=True,
            )
            if outcomes["failed"] >= arguments.failures:
                break


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many to make")
    parser.add_argument("--seed", type=int, default=0, help="of all of them")
    parser.add_argument("--failures", type=int, default=10, help="end after so many")
    parser.add_argument("--replay", metavar="SEED:NUMBER", help="one again, in full")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
