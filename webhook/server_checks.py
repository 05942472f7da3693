"""What keeps a server from being a member, as far as the fields of its container tell.

Opting in rolls a running database, so this is said before. A set that was opted in with it before
this was looked at goes on: it is warned, and refused only what an update brings.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar import contract
from webhook import image_data, port, profile, refused_images
from webhook.command_line import INITS, CommandLine, is_known
from webhook.database import Database

EVERYWHERE: Final = ("*", "0.0.0.0")  # noqa: S104 - PostgreSQL's own words
LOOPBACK: Final = ("localhost", "127.0.0.1")

OURS: Final = ("primary_conninfo", "primary_slot_name", "promote_trigger_file")
"""Parameters that say whom a standby follows, and when it stops to."""

OFF: Final = (("off", 2), ("false", 1), ("no", 1))
"""Words that PostgreSQL reads as off, with how many of their first characters are enough."""

WAITS_FOR_STANDBYS: Final = ("on", "remote_apply", "true", "yes", "1")
"""Values of synchronous_commit with which a commit waits for a standby's disk."""

COMPARED_BY_STANDBYS: Final = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""A standby does not start with less of these than the primary had:
https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that the user has to change."""

    sentence: str
    """What, where, what is allowed."""
    keeps_all_down: bool = False
    """No member can ever come up with it."""
    reason: str = ""
    """What has to be the same for a fault to be that of before; empty: the sentence."""

    @property
    def identity(self) -> str:
        """By which an update's faults are compared with those before it."""
        return self.reason or self.sentence


@dataclass(frozen=True, slots=True)
class Server:
    """A set's database container, and what is known of its server."""

    replicas: int
    database: Database
    line: CommandLine
    directory: str | None
    """PGDATA, if it is known."""

    @property
    def directory_is_given(self) -> bool:
        """By the user, so that an image of one's own with the official one's name has no other."""
        return self.database.environment.literal(image_data.DATA_VARIABLE) is not None

    @property
    def name(self) -> str:
        """How sentences begin."""
        return f'container "{self.database.settings.container}"'


def server_of(database: Database, replicas: int) -> Server:
    """Look at the database container of a pod, or of a StatefulSet's template."""
    return Server(replicas, database, database.line, image_data.data_directory(database))


def faults(server: Server) -> Iterator[Fault]:
    """Yield all that has to be changed before this server can be a member."""
    for check in _CHECKS:
        yield from check(server)


def not_by_a_roll(before: Server, after: Server) -> Iterator[Fault]:
    """Yield what an update changes so that members from before and after it can't be in one set."""
    if min(before.replicas, after.replicas) <= 1:
        return  # the only member starts with less
    old_port, new_port = (it.database.settings.postgres_port for it in (before, after))
    if old_port != new_port:
        yield Fault(
            f"{after.name}: PostgreSQL's port changes from {old_port} to {new_port}, and members "
            "on different ports would not find each other; allowed: the same port, or one replica"
        )
    for name in COMPARED_BY_STANDBYS:
        old, new = (_number(server.line.parameters, name) for server in (before, after))
        if old is not None and new is not None and new < old:
            yield Fault(
                f"{after.name}: the arguments lower {name} from {old} to {new}, and members with "
                f"less than the primary's do not start; allowed: {name} in a configuration file "
                "or by ALTER SYSTEM on each member, and not in the arguments, or one replica"
            )


# ── The image and the command ──────────────────────────────────────────────────────────────


def _image(server: Server) -> Iterator[Fault]:
    image = server.database.container.get("image", "")
    why = refused_images.reason(image, server.database.profile)
    if why:
        yield Fault(
            f'{server.name}: image "{image}" {why}; allowed: PostgreSQL {refused_images.ALLOWED} '
            f"in an image of the families {', '.join(profile.NAMES)}",
            reason=why,
        )


def _password(server: Server) -> Iterator[Fault]:
    database = server.database
    if image_data.superuser_password_is_told(database):
        return
    variables = " or ".join(database.profile.password_variables)
    yield Fault(
        f"{server.name}: the superuser's password, of which pgset makes the members' own, is in "
        f"no variable that pgset knows of images of the family {database.profile.name}; allowed: "
        f"env {variables}, not by envFrom, or a volume at {database.profile.password_file}"
    )


def _shell(server: Server) -> Iterator[Fault]:
    if server.line.drops_arguments:
        yield Fault(
            f"{server.name}: the shell's script passes no arguments on, and pgset starts "
            'PostgreSQL with more of them; allowed: a script that ends with exec "$0" "$@", and '
            "args: [docker-entrypoint.sh, postgres, …], or no shell"
        )
    elif server.line.lacks_a_name:
        yield Fault(
            f"{server.name}: no word after the shell's script is its $0, and the first argument "
            "that pgset adds would be lost as such; allowed: another word after the script, such "
            "as args: ['exec docker-entrypoint.sh postgres \"$@\"', postgres]"
        )
    elif server.line.started_by in INITS:
        yield Fault(
            f"{server.name}: the shell's script starts PostgreSQL by {server.line.started_by}, as "
            "whose child pgset cannot wait for a first database or a rewind to be done; allowed: "
            f"{server.line.started_by} before the shell, or none"
        )
    elif server.line.started_by:
        yield Fault(
            f"{server.name}: {server.line.started_by} starts PostgreSQL as a child of its own, "
            "which pgset can neither wait for nor give arguments to; allowed: "
            "docker-entrypoint.sh, which changes from root to PostgreSQL's user by itself"
        )
    elif server.line.forks:
        yield Fault(
            f"{server.name}: the shell's script starts PostgreSQL without exec, or in a pipeline, "
            "so that signals do not reach it; allowed: exec before docker-entrypoint.sh, and no |"
        )


def _port(server: Server) -> Iterator[Fault]:
    found = port.told(server.line, server.database.environment)
    if found is None:
        return
    if found.number is None:
        yield Fault(
            f'{server.name}: {found.where} "{found.text}"; allowed: {port.ALLOWED}',
            # A file may say otherwise than a variable.
            keeps_all_down="port" in server.line.parameters,
        )
    elif found.number != server.database.settings.postgres_port:
        yield Fault(
            f'{server.name}: {found.where} "{found.text}", but annotation {contract.PORT} says '
            f'"{server.database.settings.port}"; allowed: the same in both, or no annotation',
            keeps_all_down="port" in server.line.parameters,
        )


def _directory(server: Server) -> Iterator[Fault]:
    line = server.line
    given = {
        "-D": line.config_directory,
        "data_directory": line.parameters.get("data_directory"),
        "the script's PGDATA": line.variables.get("PGDATA"),
    }
    for what, directory in given.items():
        if directory is None or (what != "-D" and directory == ""):
            continue
        same = not is_known(directory) or _same(directory, server.directory)
        yield Fault(
            f'{server.name}: {what} is "{directory}", but pgset makes and starts the database '
            "that variable PGDATA names; allowed: only env PGDATA says where the data is",
            keeps_all_down=not same and server.directory_is_given,
        )


def _same(directory: str, other: str | None) -> bool:
    return other is None or f"{other}/" == f"{directory.rstrip('/')}/"


def _addresses(server: Server) -> Iterator[Fault]:
    given = server.line.parameters.get("listen_addresses")
    if given is None or not is_known(given):
        return
    addresses = [address.strip() for address in given.strip("'").split(",")]
    local = any(address in LOOPBACK for address in addresses)
    others = any(address not in LOOPBACK and address for address in addresses)
    if not any(address in EVERYWHERE for address in addresses) and not (local and others):
        yield Fault(
            f'{server.name}: the arguments set listen_addresses to "{given}", but the sidecar '
            "connects to 127.0.0.1 and other members to the pod's address; "
            'allowed: "*", which is the image\'s own'
        )


# ── Parameters that the arguments would keep pgset from setting ───────────────────────────


def _ours(server: Server) -> Iterator[Fault]:
    for name, value in server.line.parameters.items():
        if name in OURS or (name.startswith("recovery_target") and not _inert(name, value)):
            yield Fault(
                f"{server.name}: the arguments set {name}, which decides whom a member follows "
                "and when it is promoted; allowed: arguments without it"
            )
    if server.line.parameters.get("recovery_min_apply_delay", "0").strip("'") != "0":
        yield Fault(
            f"{server.name}: the arguments set recovery_min_apply_delay, and a member that "
            "restarts with it neither streams nor can lead for that long; allowed: arguments "
            "without it"
        )
    if is_off(server.line.parameters, "allow_alter_system"):
        yield Fault(
            f"{server.name}: the arguments set allow_alter_system to off, and by ALTER SYSTEM the "
            "sidecar tells a running member whom to follow; allowed: arguments without it"
        )
    if is_off(server.line.parameters, "hot_standby"):
        yield Fault(
            f"{server.name}: the arguments set hot_standby to off, and the sidecar cannot look at "
            "a standby that lets nobody in; allowed: arguments without it"
        )


def is_off(parameters: Mapping[str, str], name: str) -> bool:
    """Return whether the arguments say so, of a parameter that is on by default."""
    value = parameters.get(name, "on").strip("'").lower()
    return value == "0" or any(len(value) >= least and it.startswith(value) for it, least in OFF)


def _inert(name: str, value: str) -> bool:
    """Return whether a recovery target is the default, or only says what to do at one."""
    if name == "recovery_target_timeline":
        return value.lower() == "latest"
    return value == "" or name in ("recovery_target_action", "recovery_target_inclusive")


def _synchronous(server: Server) -> Iterator[Fault]:
    durability = server.database.settings.durability
    if durability != "async" and "synchronous_standby_names" in server.line.parameters:
        yield Fault(
            f"{server.name}: the arguments set synchronous_standby_names, by which pgset keeps "
            f'durability "{durability}"; allowed: arguments without it'
        )


def _unwaited(server: Server) -> Iterator[Fault]:
    """What the command line says of it, the sidecar cannot see: its own sessions set it."""
    value = server.line.parameters.get("synchronous_commit", "on").strip("'")
    durability = server.database.settings.durability
    if durability != "async" and is_known(value) and value.lower() not in WAITS_FOR_STANDBYS:
        yield Fault(
            f'{server.name}: the arguments set synchronous_commit to "{value}", with which '
            f'commits do not keep durability "{durability}"; allowed: arguments without it, or '
            f"{contract.DURABILITY}: async"
        )


def _replication(server: Server) -> Iterator[Fault]:
    if server.replicas <= 1:
        return  # as good as before, and warned of
    parameters = server.line.parameters
    if parameters.get("wal_level", "").strip("'").lower() == "minimal":
        yield Fault(
            f'{server.name}: the arguments set wal_level to "minimal", with which no replica can '
            "stream; allowed: arguments without it, or one replica"
        )
    for name, needed in _needed_to_replicate(server.replicas).items():
        value = _number(parameters, name)
        if value is not None and value < needed:
            yield Fault(
                f'{server.name}: the arguments set {name} to "{value}", and {server.replicas} '
                f"members need {needed}; allowed: arguments without it, at least {needed}, or one "
                "replica",
                reason=f"{name} is too low",  # also with fewer members than before
            )


def _needed_to_replicate(replicas: int) -> Mapping[str, int]:
    """Return the least of each parameter: a member that is cloned takes two senders, each of the
    others one, and every member but the primary has a slot."""
    return {"max_wal_senders": replicas, "max_replication_slots": replicas - 1}


# ── The data's volume ─────────────────────────────────────────────────────────────────────


def _volume(server: Server) -> Iterator[Fault]:
    directory = server.directory
    mount = directory and image_data.mount_of(server.database, directory)
    if mount and image_data.hides_the_sidecar(mount):
        yield Fault(
            f"{server.name}: the data directory {directory} is on a volume at "
            f"{mount['mountPath']}, where the sidecar, which needs it at the same place, has its "
            "own programs; allowed: a volumeMount further down"
        )
    if directory is not None and mount is None:
        yield Fault(
            f"{server.name}: no volume is mounted at the data directory {directory} or above it, "
            "so that its data would be in the container and lost with it; allowed: a volumeMount "
            "there, or env PGDATA with a directory on a volume",
            keeps_all_down=server.directory_is_given or not server.database.mounts,
        )


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    return port.integer(parameters[name]) if name in parameters else None


_Check = Callable[[Server], Iterator[Fault]]

_CHECKS: Final[tuple[_Check, ...]] = (
    _image,
    _password,
    _shell,
    _port,
    _directory,
    _volume,
    _addresses,
    _ours,
    _synchronous,
    _unwaited,
    _replication,
)
"""In the order of the harm: the first is what a refusal says."""
