"""A client of each set, in one process: `python -m tests.bench.sets.writers LOG SET=ADDRESS ...`.

Each commits a row every 100 ms through its set's Service, and connects anew after a failure. What
was acknowledged is a line of JSON in the log. It ends at SIGTERM. The password is read from
PGPASSWORD.
"""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from typing import Final, TextIO

from tests.bench.sets.result import Acknowledged
from tests.chaos.link import Link, LinkError

SECONDS: Final = 1.0
"""What connecting may take, and a statement."""
INTERVAL: Final = 0.1

_CREATE: Final = "create table if not exists bench (at timestamptz)"
_WRITE: Final = (
    "insert into bench values (now()) returning "
    "(select count(*) from pg_stat_replication where state = 'streaming')"
)


def _write(set_name: str, address: str, log: TextIO, stopping: threading.Event) -> None:
    link: Link | None = None
    while not stopping.wait(INTERVAL):
        try:
            if link is None:
                link = Link(address, os.environ["PGPASSWORD"], SECONDS)
                link.ask(_CREATE, SECONDS)
            streaming = int(link.ask(_WRITE, SECONDS)[0][0] or 0)
        except LinkError:
            if link is not None:
                link.close()
            link = None
            continue
        noted = Acknowledged(set_name, time.monotonic(), streaming)
        # One write: lines of several threads must not mix.
        log.write(f"{json.dumps(asdict(noted))}\n")


def main() -> int:
    """Write until SIGTERM."""
    path, *targets = sys.argv[1:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with open(path, "w", buffering=1) as log:  # noqa: PTH123 - by line, as it comes
        threads = [
            threading.Thread(target=_write, args=(*target.split("="), log, stopping))
            for target in targets
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
