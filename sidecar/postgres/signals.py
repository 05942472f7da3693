"""What a running server can be told without a connection, as pg_ctl does it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sidecar.observation import ServerState
from sidecar.postgres import process
from sidecar.postgres.control_data import read_running_server

_PROMOTE: Final = "promote"
"""PROMOTE_SIGNAL_FILE: where it lies, the next SIGUSR1 that the postmaster gets promotes."""
_LOOK_SECONDS: Final = 0.05


class Signals:
    """Orders by a file in the data directory and a signal to the postmaster."""

    def __init__(
        self,
        data_directory: Callable[[], Path | None],
        answers: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """`answers`: whether the server is up. `clock`: monotonic seconds."""
        self._data_directory = data_directory
        self._answers = answers
        self._clock = clock

    def promote(self, deadline: float, *, wait_seconds: float) -> None:
        """Promote a standby that gives no connection, unless the clock has passed `deadline`.

        The file must not outlive this: it would promote a server that starts anew, whoever may
        lead then. So it is taken away when the server is writable, or after `wait_seconds`.
        Raises OSError.
        """
        directory = self._data_directory()
        pid = process.postmaster_pid(directory) if directory is not None else None
        if directory is None or pid is None or not self._is_standby(directory):
            return
        if not self._answers() or self._clock() >= deadline:
            return
        try:
            (directory / _PROMOTE).touch(mode=0o600)
            if self._clock() < deadline:
                os.kill(pid, signal.SIGUSR1)
                self._wait(directory, wait_seconds)
        except ProcessLookupError:
            return
        finally:
            self.withdraw()

    def withdraw(self) -> None:
        """Take an order back that was not carried out. Raises OSError."""
        directory = self._data_directory()
        if directory is not None:
            (directory / _PROMOTE).unlink(missing_ok=True)

    def _wait(self, directory: Path, seconds: float) -> None:
        until = self._clock() + seconds
        while self._clock() < until and self._is_standby(directory):
            time.sleep(_LOOK_SECONDS)

    @staticmethod
    def _is_standby(directory: Path) -> bool:
        found = read_running_server(directory)
        return found is not None and found.state is ServerState.RECOVERY
