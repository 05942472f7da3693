"""The sidecar's HTTP in a process that gets no more memory.

`python -m tests.support.short_of_memory` prints its port once it has all that it will ever have.
"""

import resource
import sys
import time
from pathlib import Path

from sidecar.report.server import HttpServer, listen
from tests.sidecar.test_http import LEADING, application
from tests.support.http_server import PATIENT

ROOM = 512 * 1024
"""Bytes: less than a thread's stack, and more than an answer."""


def main() -> None:
    answers = application(LEADING, clock=lambda: 1000.0)
    listener = listen(0, "127.0.0.1")
    server = HttpServer(answers, listener, waits=answers.waits, seconds=PATIENT)
    server.start()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main()
