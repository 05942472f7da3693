"""`python -m tests.support.idle_threads DIRECTORY` runs a sidecar up to its loop, without an API.

It prints the names of the threads that are there and were not started.
"""

import gc
import os
import sys
import threading
from pathlib import Path

from sidecar import contract

ENVIRONMENT = {
    "KUBERNETES_SERVICE_HOST": "127.0.0.1",
    "KUBERNETES_SERVICE_PORT": "1",
    "POSTGRES_PASSWORD": "secret",
    contract.ENV_POD_NAME: "orders-0",
    contract.ENV_POD_UID: "uid-0",
    contract.ENV_POD_NAMESPACE: "shop",
}


def main() -> None:
    directory = Path(sys.argv[1])
    # Before the modules that take them from there.
    contract.HANDSHAKE_DIRECTORY = str(directory)  # type: ignore[misc]
    contract.TOKEN_DIRECTORY = str(directory)  # type: ignore[misc]
    from sidecar import agent  # noqa: PLC0415 - see above
    from sidecar.report.server import listen  # noqa: PLC0415
    from sidecar.settings import Settings  # noqa: PLC0415

    class Loop(agent.Loop):
        def run(self) -> None:
            there = [it for it in gc.get_objects() if isinstance(it, threading.Thread)]
            sys.stdout.write("".join(f"{it.name}\n" for it in there if it.ident is None))
            sys.stdout.flush()
            os._exit(0)

    agent.Loop = Loop  # type: ignore[misc]
    os.environ.update(ENVIRONMENT | Settings(set_name="orders").to_environment())
    agent.run(listen(0, "127.0.0.1"))


if __name__ == "__main__":
    main()
