"""The timeline that this member followed last, in a file that outlives its sidecar."""

import contextlib
from pathlib import Path

from sidecar import small_files
from sidecar.memory.following import Following
from sidecar.observation import Identity, LeaseView, PostgresView


class FollowingFile(Following):
    """Beside the hand-shake, and so for as long as the pod is there."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the hand-shake's."""
        self._file = folder / "following"
        super().__init__(small_files.read_number(self._file))

    def promoted_from(
        self, postgres: PostgresView, lease: LeaseView | None, me: Identity
    ) -> int | None:
        """Take in a look, and keep what is to be remembered of it."""
        before = self.timeline
        found = super().promoted_from(postgres, lease, me)
        if self.timeline != before:
            # A sidecar that goes on without is as good as one that is never restarted.
            with contextlib.suppress(OSError):
                if self.timeline is None:
                    self._file.unlink(missing_ok=True)
                else:
                    small_files.replace(self._file, f"{self.timeline}\n")
        return found
