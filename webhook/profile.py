"""What there is to know about a database image, as a table: one row for each family of images.

A family is found by the end of the image's name, or said by the annotation `pgset.dev/profile`. Any
other image is taken for an official one, once bootstrap has seen that it keeps that contract.
docs/images.md is made from it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar import contract
from sidecar.settings import DEFAULT_UID, InvalidSettingError

LONGEST: Final = 1024
"""Characters of an image with tag and digest. No registry takes a longer one, and each slash takes
time."""

DATA: Final = "/var/lib/postgresql/data"

HOST: Final = f"$({contract.ENV_POD_NAME})"
"""The pod's name in a value of the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The facts of one family of images."""

    name: str
    """As the annotation has it."""
    images: tuple[str, ...]
    """Names that are found, for the reader of docs/images.md."""
    repositories: str
    """A pattern for the end of the repository's name, after a slash or from its beginning."""
    tags: str = ""
    """A pattern that is somewhere in the tag."""
    refusal: str = ""
    """Why no image of this family can be a member, to follow its name."""

    entrypoint: tuple[str, ...] = ("docker-entrypoint.sh",)
    """The image's ENTRYPOINT: what runs if the container has no `command`."""
    arguments: tuple[str, ...] = ("postgres",)
    """The image's CMD: its arguments if the container has neither `command` nor `args`."""
    replaced_by: tuple[str, ...] = ()
    """What starts PostgreSQL in place of the image's own start script, which takes no arguments or
    does more to existing data than to start it; bootstrap then makes new databases itself."""

    uid: int = DEFAULT_UID
    """The uid that PostgreSQL runs as if nothing else sets it."""
    data_directory: str | None = None
    """Where the data is if PGDATA does not say so, with {major} for PostgreSQL's version; None: the
    image has no default."""
    since: tuple[int, str] | None = None
    """From this version on it is another one."""
    ignores_pgdata: bool = False
    """The data directory is this one whatever PGDATA is."""
    folder_variable: str = ""
    """The variable that names another folder in place of the pod's name."""

    version: str = ""
    """A pattern for PostgreSQL's major version at the beginning of the tag, or after a hyphen; the
    official images' is in `refused_images`."""

    password_variables: tuple[str, ...] = (
        "POSTGRES_PASSWORD",
        "POSTGRES_PASSWORD_FILE",
        "POSTGRES_HOST_AUTH_METHOD",
    )
    """The image refuses to create a database unless one of these is set."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The official image's variables, and what they are called here."""
    password_file: str = ""
    """A file with the superuser's password that counts if a volume brings it."""


_ANOTHER_MANAGER: Final = "which would manage the same database beside pgset"

OFFICIAL: Final = Profile(
    name="official",
    images=("postgres", "postgis/postgis", "pgvector/pgvector"),
    repositories=r"postgres|postgis/postgis|pgvector/pgvector",
    data_directory=DATA,
    since=(18, "/var/lib/postgresql/{major}/docker"),
)
"""https://github.com/docker-library/postgres: Dockerfile-debian.template, docker-entrypoint.sh"""

PROFILES: Final = (
    Profile(
        name="bitnami",
        images=("bitnami/postgresql", "bitnamilegacy/postgresql"),
        repositories=r"bitnami[a-z]*/postgresql",
        refusal="removes standby.signal at each start, so that every member would be writable",
    ),
    Profile(
        name="sclorg",
        images=(
            *("sclorg/postgresql-16-c9s", "rhel9/postgresql-16", "fedora/postgresql-16"),
            *("rhscl/postgresql-13-rhel7", "openshift/postgresql"),
        ),
        repositories=(
            r"(sclorg|centos\d*|fedora|rhel\d+|rhscl)/postgresql-\d+[^/]*|openshift/postgresql"
        ),
        refusal="changes passwords at each start, which fails on every member that is read-only",
    ),
    Profile(
        name="supabase",
        images=("supabase/postgres",),
        repositories=r"supabase/postgres",
        refusal="has its data in a directory that PGDATA does not name",
    ),
    Profile(
        name="kartoza",
        images=("kartoza/postgis",),
        repositories=r"kartoza/postgis",
        refusal="has its data in a directory that PGDATA does not name",
    ),
    Profile(
        name="spilo",
        images=("zalando/spilo-17",),
        repositories=r"spilo[^/]*",
        refusal=f"runs Patroni, {_ANOTHER_MANAGER}",
    ),
    Profile(
        name="crunchy-ha",
        images=("crunchydata/crunchy-postgres-ha",),
        repositories=r"crunchy-postgres(-gis)?-ha",
        refusal=f"runs Patroni, {_ANOTHER_MANAGER}",
    ),
    Profile(
        name="percona-operator",
        images=("percona/percona-postgresql-operator",),
        repositories=r"percona/percona-postgresql-operator",
        refusal=f"runs Patroni, {_ANOTHER_MANAGER}",
    ),
    Profile(
        name="cybertec",
        images=("cybertec-pg-container/postgres",),
        repositories=r"cybertec-pg-container(/postgres[^/]*)?",
        refusal=f"runs Patroni, {_ANOTHER_MANAGER}",
    ),
    Profile(
        name="pg-auto-failover",
        images=("citusdata/pg_auto_failover",),
        repositories=r"pg_auto_failover[^/]*",
        refusal=f"runs pg_autoctl, {_ANOTHER_MANAGER}",
    ),
    Profile(
        name="repmgr",
        images=("bitnami/postgresql-repmgr",),
        repositories=r"postgresql-repmgr",
        refusal=f"runs repmgr, {_ANOTHER_MANAGER}",
    ),
    Profile(
        name="hardened",
        images=("dhi.io/postgres",),
        repositories=r"dhi\.io/postgres",
        entrypoint=("/usr/local/bin/docker-entrypoint.sh",),
        arguments=(),
        uid=70,
        data_directory="/var/lib/postgresql/{major}/data",
    ),
    Profile(
        name="alpine",
        images=("postgres:17-alpine", "postgis/postgis:17-3.5-alpine"),
        repositories=OFFICIAL.repositories,
        tags=r"alpine",
        uid=70,
        data_directory=DATA,
        since=OFFICIAL.since,
    ),
    OFFICIAL,
    Profile(
        name="timescaledb",
        images=("timescale/timescaledb",),
        repositories=r"timescale/timescaledb",
        uid=70,
        data_directory=DATA,
        since=OFFICIAL.since,
        version=r"pg(\d{1,2})(?!\d)",
    ),
    Profile(
        name="timescaledb-ha",
        images=("timescale/timescaledb-ha",),
        repositories=r"timescale/timescaledb-ha",
        uid=1000,
        data_directory="/home/postgres/pgdata/data",
        version=r"pg(\d{1,2})(?!\d)",
    ),
    Profile(
        name="percona",
        images=(
            "percona/percona-distribution-postgresql",
            "percona/percona-distribution-postgresql-with-postgis",
        ),
        repositories=r"percona/percona-distribution-postgresql(-with-postgis)?",
        entrypoint=("/entrypoint.sh",),
        uid=26,
        data_directory="/data/db",
        version=r"(\d{1,2})(?!\d)",
    ),
    Profile(
        name="cloudnative-pg",
        images=("cloudnative-pg/postgresql", "cloudnative-pg/postgis"),
        repositories=r"cloudnative-pg/(postgresql|postgis)",
        uid=26,
        version=r"(\d{1,2})(?!\d)",
    ),
    Profile(
        name="crunchy",
        images=("crunchydata/crunchy-postgres", "crunchydata/crunchy-postgres-gis"),
        repositories=r"crunchy-postgres(-gis)?",
        entrypoint=("/opt/crunchy/bin/uid_postgres.sh",),
        arguments=("/opt/crunchy/bin/start.sh",),
        replaced_by=("postgres",),
        uid=26,
        data_directory=f"/pgdata/{HOST}",
        ignores_pgdata=True,
        folder_variable="PGDATA_PATH_OVERRIDE",
        version=r"(9|1\d)\.\d",
        password_variables=("PG_ROOT_PASSWORD",),
        renamed={
            "POSTGRES_PASSWORD": "PG_ROOT_PASSWORD",
            "POSTGRES_DB": "PG_DATABASE",
            "PGSET_OWNER": "PG_USER",
            "PGSET_OWNER_PASSWORD": "PG_PASSWORD",
        },
        password_file="/pgroot/password",  # noqa: S106 - a path
    ),
)
"""The first whose patterns hold counts."""


NAMES: Final = tuple(it.name for it in PROFILES if not it.refusal)
"""What the annotation may say."""

_BY_NAME: Final = {it.name: it for it in PROFILES}
_PATTERNS: Final = tuple(
    (re.compile(rf"(?:.*/)?(?:{it.repositories})"), re.compile(it.tags), it) for it in PROFILES
)


def of(image: str, chosen: str | None = None) -> Profile:
    """Return the family of an image: the one that the annotation names, or by its own name."""
    return _BY_NAME[chosen] if chosen else by_name(image) or OFFICIAL


def by_name(image: str) -> Profile | None:
    """Return the family that an image's name tells; None if it tells none."""
    name, tag = repository(image), tag_of(image)
    for names, tags, profile in _PATTERNS:
        if names.fullmatch(name) and tags.search(tag):
            return profile
    return None


def parse(text: str) -> str:
    """Return the name of a family that can be adopted. Raises InvalidSettingError."""
    if text not in NAMES:
        allowed = ", ".join(f'"{name}"' for name in NAMES)
        raise InvalidSettingError(contract.PROFILE, text, f"allowed: {allowed}")
    return text


def repository(image: str) -> str:
    """Return the image's name without tag and digest; empty where no image has such a name."""
    if len(image) > LONGEST:
        return ""
    path, slash, name = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"


def tag_of(image: str) -> str:
    """Return the image's tag; empty where it has none."""
    return image[:LONGEST].partition("@")[0].rpartition("/")[2].partition(":")[2]
