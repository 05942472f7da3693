"""PostgreSQL's port, as far as the fields of its container tell it.

In the order in which PostgreSQL looks: its arguments, then a file, which nobody can read here, then
PGPORT. What the container declares decides nothing, since no server reads it: a set whose container
declares another port than its server's has always worked. bootstrap compares what comes out with
where the server will listen.
"""

from dataclasses import dataclass
from typing import Final

from sidecar import contract
from webhook.command_line import CommandLine, Environment, is_known
from webhook.json_patch import Json

VARIABLE: Final = "PGPORT"
NAMES: Final = ("postgresql", "postgres", "tcp-postgresql")
"""How a container's port is called that is PostgreSQL's."""

MAX_DIGITS: Final = 20
"""Of a number that PostgreSQL takes; Python writes none of thousands of digits."""

ALLOWED: Final = f"a port from 1 to {contract.MAX_PORT} but the sidecar's, {contract.SIDECAR_PORT}"


@dataclass(frozen=True, slots=True)
class Told:
    """What says which port it is."""

    where: str
    """The beginning of a sentence."""
    text: str
    """As it stands there."""

    @property
    def number(self) -> int | None:
        """None if PostgreSQL would not take it, or the sidecar has it."""
        number = integer(self.text)
        if number is None or not 1 <= number <= contract.MAX_PORT:
            return None
        return None if number == contract.SIDECAR_PORT else number


def told(line: CommandLine, environment: Environment) -> Told | None:
    """Return what decides; None if nothing does, or only the pod knows."""
    in_arguments = line.parameters.get("port")
    if in_arguments is not None:
        return Told("the arguments set port to", in_arguments) if is_known(in_arguments) else None
    variable = line.variables.get(VARIABLE)
    if variable is None:
        variable = environment.literal(VARIABLE)
    if not variable or not is_known(variable):
        return None
    return Told(f"{VARIABLE} is", variable)


def declared(container: Json) -> int | None:
    """Return the port that the container declares by PostgreSQL's name, and no other beside it."""
    ports = container.get("ports") or []
    if any(it["containerPort"] == contract.POSTGRES_PORT for it in ports):
        return None
    named = (it["containerPort"] for it in ports if it.get("name") in NAMES)
    return next((it for it in named if it != contract.SIDECAR_PORT), None)


def resolved(given: int | None, line: CommandLine, environment: Environment) -> int:
    """Return the port; `given`: by the annotation."""
    if given is not None:
        return given
    found = told(line, environment)
    return (found and found.number) or contract.POSTGRES_PORT  # no number: it is refused


def integer(text: str) -> int | None:
    """Return a number as PostgreSQL reads it; None if it is none."""
    text = text.strip().strip("'")
    if len(text) > MAX_DIGITS:
        return None
    try:
        return int(text, 8 if text[:1] == "0" and text.isdecimal() else 0)
    except ValueError:
        return None


def service_port(port: int) -> Json:
    """Return the port of a set's Services, which is the usual one whatever PostgreSQL's is."""
    usual: Json = {"name": "postgresql", "port": contract.POSTGRES_PORT}
    return usual if port == contract.POSTGRES_PORT else usual | {"targetPort": port}
