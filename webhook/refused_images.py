"""Images that cannot be members of a set, told by their names before a database is rolled."""

import re
from typing import Final

from sidecar.contract import NEWEST_POSTGRES, OLDEST_POSTGRES
from webhook import profile

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


def reason(image: str, family: profile.Profile) -> str | None:
    """Return why an image cannot be a member, to follow its name; None if that is not known."""
    if family.refusal:
        return family.refusal
    version = major_version(image)
    if version is not None and not OLDEST_POSTGRES <= version <= NEWEST_POSTGRES:
        return f"is PostgreSQL {version}, and pgset runs {ALLOWED}"
    return None


def is_known(image: str) -> bool:
    """Return whether its name tells for certain how an image treats data."""
    name = profile.repository(image)
    of_anybody = name.rpartition("/")[2] in POSTGRES_IMAGES and not OFFICIAL.fullmatch(name)
    return profile.by_name(image) is not None and not of_anybody


def major_version(image: str) -> int | None:
    """Return PostgreSQL's major version by an image's tag; None if that does not tell it."""
    repository, tag = profile.repository(image), profile.tag_of(image)
    name = repository.rpartition("/")[2]
    family = profile.by_name(image)
    if OFFICIAL.fullmatch(repository):
        found = OFFICIAL_TAG.match(tag)
    elif name in POSTGRES_IMAGES:
        found = LIKELY_TAG.match(tag)
    elif name in EXTENSIONS_IMAGES:
        found = re.search(r"(?:^|-)pg(\d{1,2})(?!\d)", tag)
    elif family and family.version:
        found = re.search(rf"(?:^|-){family.version}", tag)
    else:
        return None
    return int(found[found.lastindex or 0]) if found else None
