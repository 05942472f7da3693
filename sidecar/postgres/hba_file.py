"""A pg_hba.conf of our own beside one that is not ours to write, as text in and text out.

One from a ConfigMap cannot be written. Where the command line leaves it free, hba_file in
postgresql.auto.conf then names one of ours, with our lines first and the operator's behind them:
included from PostgreSQL 16 on, and before that copied, and kept in step while the server runs.
"""

import re
from typing import Final

from sidecar.postgres.configuration import (
    FORMER_HBA_LINE,
    HBA_LINES,
    with_hba_lines,
    without_hba_lines,
)

OWN_HBA_FILE: Final = "pgset_hba.conf"
"""In the data directory. A clone carries it along with the setting that names it."""

_FIRST_WITH_INCLUDE: Final = 16
_COPY: Final = "# pgset: a copy of {source}, kept in step with it: change that one"
_COPIED: Final = re.compile(rf"^{_COPY.format(source='(.*)')}$", re.M)
_RELATIVE: Final = re.compile(r'^[^#\n]*?(?:^|[\s,])"?@(?!/)', re.M)
"""A list of names in a file beside it: @names."""


def own_hba(source: str, content: str, major_version: int) -> str | None:
    """Return our own file for the operator's pg_hba.conf at `source`.

    None: that one has our lines, or it refers to files beside it, which a copy would not find.
    """
    lines = set(content.split("\n"))
    if set(HBA_LINES) <= lines or {HBA_LINES[0], FORMER_HBA_LINE} <= lines:
        return None
    if major_version >= _FIRST_WITH_INCLUDE:
        quoted = source.replace('"', '""')
        return with_hba_lines(f'include "{quoted}"\n')
    return None if _RELATIVE.search(content) else _copy(source, content)


def copied_from(own: str) -> str | None:
    """Return the path of the file that this one of ours is a copy of."""
    found = _COPIED.search(own)
    return found[1] if found else None


def in_step(own: str, source: str, content: str) -> str:
    """Return the copy as it should be now; our lines are in it if they were before."""
    copy = _copy(source, content)
    return copy if HBA_LINES[0] in own.split("\n") else without_hba_lines(copy)


def _copy(source: str, content: str) -> str:
    return with_hba_lines("\n".join((_COPY.format(source=source), content)))
