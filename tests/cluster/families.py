"""What users of images of each family write, and where they find the result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

OFFICIAL: Final = {"POSTGRES_PASSWORD": "x", "POSTGRES_DB": "app"}


@dataclass(frozen=True, slots=True)
class Family:
    """One family of images, as tests use its stand-in."""

    name: str
    uid: int
    mount: str
    data: str
    """The data directory; {pod} is the pod's name."""
    variables: Mapping[str, str] = field(default_factory=lambda: OFFICIAL)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the database container."""
    makes_data: str = ""
    """What an init container does where the image makes no database itself."""
    owner: str = "postgres"
    """The role that the application's database belongs to."""
    encoding: str = "UTF8"
    """What the image makes by itself."""
    always: bool = False
    """Run in `make test`, as the most dangerous one that can be adopted."""

    def directory(self, pod: str) -> str:
        """Return the data directory in a pod."""
        return self.data.format(pod=pod)


FAMILIES = (
    Family(
        name="crunchy",
        uid=26,
        mount="/pgdata",
        data="/pgdata/{pod}",
        variables={
            "PG_MODE": "primary",
            "PG_ROOT_PASSWORD": "x",
            "PG_PRIMARY_USER": "primaryuser",
            "PG_PRIMARY_PASSWORD": "y",
            "PG_USER": "owner",
            "PG_PASSWORD": "z",
            "PG_DATABASE": "app",
        },
        owner="owner",
        always=True,
    ),
    Family(
        name="alpine",
        uid=70,
        mount="/var/lib/postgresql/data",
        data="/var/lib/postgresql/data",
    ),
    Family(
        name="timescaledb-ha",
        uid=1000,
        mount="/home/postgres/pgdata",
        data="/home/postgres/pgdata/data",
    ),
    Family(name="percona", uid=26, mount="/data/db", data="/data/db", encoding="SQL_ASCII"),
    Family(
        name="cloudnative-pg",
        uid=26,
        mount="/var/lib/postgresql/data",
        data="/var/lib/postgresql/data/pgdata",
        variables={**OFFICIAL, "PGDATA": "/var/lib/postgresql/data/pgdata"},
        more={"command": ["postgres"]},
        makes_data=(
            'if [ ! -e "$PGDATA/PG_VERSION" ]; then echo x > /tmp/password && '
            "initdb --username=postgres --pwfile=/tmp/password --auth=scram-sha-256 && "
            "echo \"listen_addresses = '*'\" >> $PGDATA/postgresql.conf; fi"
        ),
    ),
)
