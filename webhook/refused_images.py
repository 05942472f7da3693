"""Images that cannot be members of a set, told by their names before a database is rolled.

Any other image is taken for one with the official entrypoint until bootstrap has looked at it.
"""

import re
from typing import Final

from sidecar.contract import NEWEST_POSTGRES, OLDEST_POSTGRES

ALLOWED: Final = f"{OLDEST_POSTGRES} to {NEWEST_POSTGRES}"
"""PostgreSQL's major versions."""

POSTGRES_IMAGES: Final = ("postgres", "postgis")
"""The last part of the names of images whose tags begin with PostgreSQL's version; or, where
somebody made them for themselves, with a version of their own."""
OFFICIAL: Final = re.compile(r"(docker\.io/)?postgres|(.*/)?(library/postgres|postgis/postgis)")
"""Those, on whatever mirror, that have PostgreSQL's for certain."""
OFFICIAL_TAG: Final = re.compile(r"(\d{1,2})(?!\d)")
LIKELY_TAG: Final = re.compile(
    r"(?:(9)\.[0-6](?:\.\d\d?)?|(1\d|20)(?:\.(?:0|[1-9]\d?))?)(?=$|[-_]|alpha|beta|rc|devel)"
)
"""9.6, 9.6.24, 16, 16.4-alpine; and no 1.2.3, 5, 3.4, 24.04 or beginning of a commit's name."""
EXTENSIONS_IMAGES: Final = ("pgvector", "timescaledb")
"""Those whose tags have it after "pg"."""

_LONGEST: Final = 1024
"""Characters of an image with tag and digest. No registry takes a longer one, and each slash takes
time."""

_ANOTHER_MANAGER: Final = "which would manage the same database beside pgset"

REFUSED: Final = (
    (r"spilo[^/]*", f"runs Patroni, {_ANOTHER_MANAGER}"),
    (r"crunchy-postgres(-gis)?-ha", f"runs Patroni, {_ANOTHER_MANAGER}"),
    (r"postgresql-repmgr", f"runs repmgr, {_ANOTHER_MANAGER}"),
    (
        r"bitnami[a-z]*/postgresql",
        "removes standby.signal at each start, so that every member would be writable",
    ),
    (r"crunchy-postgres(-gis)?", "has its data in a directory that PGDATA does not name"),
    (r"supabase/postgres", "has its data in a directory that PGDATA does not name"),
    (
        r"(sclorg|centos\d*|rhel\d+)/postgresql-\d+[^/]*",
        "changes passwords at each start, which fails on every member that is read-only",
    ),
)
"""The end of a repository's name, and what is in the way."""

_PATTERNS: Final = tuple((re.compile(rf"(?:.*/)?(?:{name})"), why) for name, why in REFUSED)


def reason(image: str) -> str | None:
    """Return why an image cannot be a member, to follow its name; None if that is not known."""
    repository = _repository(image)
    for pattern, why in _PATTERNS:
        if pattern.fullmatch(repository):
            return why
    version = major_version(image)
    if version is not None and not OLDEST_POSTGRES <= version <= NEWEST_POSTGRES:
        return f"is PostgreSQL {version}, and pgset runs {ALLOWED}"
    return None


def major_version(image: str) -> int | None:
    """Return PostgreSQL's major version by an image's tag; None if that does not tell it."""
    name = _repository(image).rpartition("/")[2]
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if OFFICIAL.fullmatch(_repository(image)):
        found = OFFICIAL_TAG.match(tag)
    elif name in POSTGRES_IMAGES:
        found = LIKELY_TAG.match(tag)
    elif name in EXTENSIONS_IMAGES:
        found = re.search(r"(?:^|-)pg(\d{1,2})(?!\d)", tag)
    else:
        return None
    return int(found[found.lastindex or 0]) if found else None


def _repository(image: str) -> str:
    """Return the image's name without tag and digest; empty where no image has such a name."""
    if len(image) > _LONGEST:
        return ""
    path, slash, name = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"
