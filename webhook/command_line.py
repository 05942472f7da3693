"""What can be known of the command line that starts PostgreSQL, from a container's fields alone.

Read as the kubelet, a shell, the image's entrypoint and PostgreSQL itself would, as far as texts
go: a value that has a `$` or a backtick left in it is one that only the pod knows.
"""

import dataclasses
import itertools
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from webhook.json_patch import Json

ENTRYPOINTS: Final = ("docker-entrypoint.sh",)
SERVER: Final = "postgres"
SHELLS: Final = ("sh", "bash", "dash", "ash", "ksh", "zsh")
TO_ANOTHER_USER: Final = ("gosu", "su-exec")
"""Programs that take a user, and then what to run as that user."""

VARIABLES: Final = ("PGDATA", "PGPORT")
"""What a script may set and the server would then read."""

FLAGS: Final = "bEeFijlnOPsT"
"""postgres' options without a value; every other letter takes one.
https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/postmaster/postmaster.c"""

SHORT: Final = {
    "B": "shared_buffers",
    "h": "listen_addresses",
    "k": "unix_socket_directories",
    "N": "max_connections",
    "p": "port",
    "S": "work_mem",
}
"""The parameters that options stand for: https://www.postgresql.org/docs/current/app-postgres.html"""

FLAG_VALUES: Final = {"F": ("fsync", "off"), "i": ("listen_addresses", "*"), "l": ("ssl", "on")}

_OPERATOR: Final = re.compile(r"[();<>|&]+")
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_ASSIGNMENT: Final = re.compile(rf"({'|'.join(VARIABLES)})=(.*)", re.DOTALL)
_SETS_A_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PASSED_ON: Final = re.compile(r"\$[@*]|\$\{[@*]\}|\$\{1\+.*\}")
_COMMENT: Final = re.compile(r"^\s*#.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What starts PostgreSQL in a container."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters by name in lower case; of several values the last, which counts."""
    config_directory: str | None = None
    """`-D`: where the configuration is and, unless it says otherwise, the data."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those of `VARIABLES` that a script sets."""
    drops_arguments: bool = False
    """A shell's script gets words appended to it, and passes none on."""
    forks: bool = False
    """A shell's script starts the server as another process, which it waits for."""
    changes_owners: bool = False
    """A shell's script runs chown, for which it has to be root."""


def read(words: Sequence[str], environment: Iterable[Json]) -> CommandLine:
    """Read a command line: `words` are the container's `command` and `args`, or the image's."""
    known = _literals(environment)
    return _read([_expanded(word, known) for word in words])


def is_known(text: str) -> bool:
    """Return whether the text is what the program will see."""
    return "$" not in text and "`" not in text


def literal(environment: Iterable[Json], name: str) -> str | None:
    """Return a variable's value; None if it has none, or one that only the pod knows."""
    value = _literals(environment).get(name)
    return value if value is not None and is_known(value) else None


def _read(words: Sequence[str]) -> CommandLine:
    if not words:
        return CommandLine()
    program, rest = posixpath.basename(words[0]), words[1:]
    if program in SHELLS:
        return _shell(rest)
    if program in TO_ANOTHER_USER:
        return _read(rest[1:])
    entry = next((i for i, it in enumerate(words) if posixpath.basename(it) in ENTRYPOINTS), None)
    if entry is not None:
        arguments = words[entry + 1 :]
        if arguments and arguments[0].startswith("-"):  # as the entrypoint itself does
            arguments = [SERVER, *arguments]
        return _with_variables(words[:entry], _read(arguments))
    return _server(rest) if program == SERVER else CommandLine()


def _with_variables(words: Iterable[str], line: CommandLine) -> CommandLine:
    found = {match[1]: match[2] for word in words if (match := _ASSIGNMENT.fullmatch(word))}
    return dataclasses.replace(line, variables={**found, **line.variables})


# ── A shell ───────────────────────────────────────────────────────────────────────────────


def _shell(words: Sequence[str]) -> CommandLine:
    script, positional = _script(words)
    if script is None:
        return CommandLine()  # a file, which nobody can read here
    commands = list(_commands(script))
    started = CommandLine()
    forks = changes_owners = False
    for command in commands:
        program = list(itertools.dropwhile(_SETS_A_VARIABLE.match, command))
        executed = program[:1] == ["exec"]
        program = list(_filled_in(program[1:] if executed else program, positional))
        changes_owners = changes_owners or program[:1] == ["chown"]
        if program and _starts_postgres(program):
            started = _read(program)
            forks = not executed
    return dataclasses.replace(
        _with_variables(itertools.chain.from_iterable(commands), started),
        drops_arguments=started.drops_arguments or not _PASSED_ON.search(script),
        forks=started.forks or forks,
        changes_owners=started.changes_owners or changes_owners,
    )


def _script(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Return the script of `-c`, and what it finds in $0, $1 and so on."""
    is_text = False
    rest = list(words)
    while rest and rest[0][:1] in ("-", "+") and rest[0] != "--":
        option = rest.pop(0)
        if not option.startswith("--"):
            is_text = is_text or "c" in option
            if option.endswith("o") and rest:
                rest.pop(0)
    if rest[:1] == ["--"]:
        rest.pop(0)
    return (rest[0], rest[1:]) if is_text and rest else (None, ())


def _commands(script: str) -> Iterator[list[str]]:
    text = _COMMENT.sub("", script.replace("\\\n", " ")).replace("\n", " ; ")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    command: list[str] = []
    try:
        for token in lexer:
            if _OPERATOR.fullmatch(token):
                yield command
                command = []
            elif command or token not in ("then", "else", "do", "{", "!", "if"):
                command.append(token)
    except ValueError:
        return  # a quotation that does not end, as in a here-document
    yield command


def _starts_postgres(program: Sequence[str]) -> bool:
    names = [posixpath.basename(word) for word in program]
    if names[0] in TO_ANOTHER_USER:
        return len(program) > 2 and _starts_postgres(program[2:])  # noqa: PLR2004 - the user's name
    return names[0] in (SERVER, *SHELLS) or any(name in ENTRYPOINTS for name in names)


def _filled_in(command: Iterable[str], positional: Sequence[str]) -> Iterator[str]:
    for word in command:
        if word in ("$@", "$*", "${@}", "${*}"):
            yield from positional[1:]
        elif word in ("$0", "${0}"):
            yield from positional[:1]
        else:
            yield word


# ── PostgreSQL's own arguments ────────────────────────────────────────────────────────────


def _server(words: Sequence[str]) -> CommandLine:
    parameters: dict[str, str] = {}
    directory = None
    for option, value in _options(words):
        if option == "D":
            directory = value
        elif option in ("c", "-"):
            name, _, setting = value.partition("=")
            parameters[name.strip().replace("-", "_").lower()] = setting.strip()
        elif option in SHORT:
            parameters[SHORT[option]] = value
        elif option in FLAG_VALUES:
            name, setting = FLAG_VALUES[option]
            parameters[name] = setting
    return CommandLine(parameters, directory)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield options and values as getopt finds them: `-p5433`, `-Fp 5433`, `--port=5433`."""
    rest = iter(words)
    for word in rest:
        if word == "--":
            return
        if not word.startswith("-"):
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in FLAGS:
                yield letter, ""
                continue
            yield letter, letters or next(rest, "")
            break


# ── Variables ─────────────────────────────────────────────────────────────────────────────


def _literals(environment: Iterable[Json]) -> dict[str, str]:
    """Return the variables whose values are texts. Later ones may speak of earlier ones."""
    known: dict[str, str] = {}
    for variable in environment:
        known.pop(variable["name"], None)
        if not variable.get("valueFrom"):
            known[variable["name"]] = _expanded(variable.get("value", ""), known)
    return known


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """Return the text with the kubelet's $(NAME) replaced where its value is known."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else known.get(match[1], match[0])

    return _REFERENCE.sub(value, text) if "$" in text else text
