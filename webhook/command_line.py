"""What can be known of the command line that starts PostgreSQL, from a container's fields alone.

Read as the kubelet, a shell, the image's entrypoint and PostgreSQL itself would, as far as texts
go: a value that has a `$` or a backtick left in it is one that only the pod knows.

Whoever may make a pod chooses these texts, so the work is bounded: what is longer than anybody
writes it is not read at all, and nothing is said of it.
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

ENTRYPOINTS: Final = ("docker-entrypoint.sh", "entrypoint.sh")
SERVER: Final = "postgres"
SHELLS: Final = ("sh", "bash", "dash", "ash", "ksh", "zsh")
TO_ANOTHER_USER: Final = ("gosu", "su-exec", "s6-setuidgid", "setuidgid")
"""Programs that take a user, and then what to run as that user."""
AS_ANOTHER_USER: Final = ("chpst", "setpriv")
"""Of `LAUNCHERS`, those whose options may name a user."""
INITS: Final = ("tini", "tini-static", "dumb-init", "catatonit")
"""Programs that start another one and pass signals on to it."""
LAUNCHERS: Final = (
    *("chpst", "chrt", "env", "ionice", "nice", "nohup", "numactl", "setpriv", "stdbuf", "taskset"),
)
"""Programs that become another one."""
PARENTS: Final = ("pg_ctl", "pg_ctlcluster", "runuser", "su", "sudo")
"""Programs that start another one, and pass on neither all words nor all signals."""

SUPERVISORS: Final = ("init", "my_init", "runsvdir", "s6-svscan", "supervisord", "systemd")
"""Programs that start what their own configuration names. s6-overlay's init ends at once where it
is not process 1, as it never is in a pod whose containers share their processes."""

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

MAX_WORDS: Final = 64 * 1024
"""Characters of a command line, and what references in it and in the environment may add."""
MAX_SCRIPT: Final = 16 * 1024
"""Characters of a shell's script: shlex takes time by the square of a word's length."""
MAX_FILLED_IN: Final = 4096
"""Words of a script's commands, with what stands for "$@"."""
MAX_CHILDS: Final = 1024
"""Characters of what a program such as su is given to run: there may be many, of the same words."""
MAX_LAYERS: Final = 10
"""Programs that start the next one: a shell, gosu, the entrypoint, and so on."""

_OPERATOR: Final = re.compile(r"[();<>|&]+")
_REDIRECTION: Final = re.compile(r"[&|]?[<>][<>&|]*")
_BEFORE_A_USER: Final = ("-u", "-U", "--reuid", "--ruid", "--euid", "--regid", "--groups")
"""Options of chpst and setpriv: the user may be called as the server is."""
_OF_INITS_WITH_A_VALUE: Final = ("-e", "-p", "-r", "--rewrite")
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_ASSIGNMENT: Final = re.compile(rf"({'|'.join(VARIABLES)})=(.*)", re.DOTALL)
_SETS_A_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PASSED_ON: Final = re.compile(r"\$[@*]|\$\{[@*](?::\d\d?)?\}")
_NAME: Final = re.compile(r"\$0|\$\{0|\$\{[@*]:0")
"""A script that looks at what it is called may do without."""
_COMMENT: Final = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


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
    lacks_a_name: bool = False
    """A shell's script passes words on, but the first that is appended to it becomes its $0."""
    forks: bool = False
    """A shell's script starts the server as another process, which it waits for."""
    started_by: str = ""
    """One of `PARENTS` or `SUPERVISORS` that starts the server, or of `INITS` by which a script
    does."""
    changes_owners: bool = False
    """A shell's script runs chown, for which it has to be root."""


class Environment:
    """A container's variables, as far as their values are texts."""

    def __init__(self, variables: Iterable[Json]) -> None:
        self._known: dict[str, str] = {}
        self._left = MAX_WORDS
        for variable in variables:  # later ones may speak of earlier ones
            self._known.pop(variable["name"], None)
            if not variable.get("valueFrom"):
                self._known[variable["name"]] = self.expanded(variable.get("value", ""))

    def literal(self, name: str) -> str | None:
        """Return a variable's value; None if it has none, or one that only the pod knows."""
        value = self._known.get(name)
        return value if value is not None and is_known(value) else None

    def expanded(self, text: str) -> str:
        """Return the text with the kubelet's $(NAME) replaced where its value is known."""
        return _REFERENCE.sub(self._value, text) if "$" in text else text

    def _value(self, match: re.Match[str]) -> str:
        value = "$" if match[1] is None else self._known.get(match[1], match[0])
        if len(value) > self._left:
            return match[0]  # variables that double one another would take all the memory
        self._left -= len(value)
        return value


def read(words: Sequence[str], environment: Environment) -> CommandLine:
    """Read a command line: `words` are the container's `command` and `args`, or the image's."""
    if sum(len(word) + 1 for word in words) > MAX_WORDS:
        return CommandLine()
    return _read([environment.expanded(word) for word in words], MAX_LAYERS)


def for_bootstrap(words: Sequence[str]) -> list[str]:
    """Return what is left of a command line without what stands before it that bootstrap has no use
    for: a program such as tini, whose child the server would be, and one that changes the user,
    which bootstrap has done by then and only root may."""
    rest = list(words)
    while rest:
        program = posixpath.basename(rest[0])
        if program not in (*INITS, *TO_ANOTHER_USER, *AS_ANOTHER_USER):
            break
        launched = _launched(program, rest)
        if not 0 < launched < len(rest):
            break
        rest = rest[launched:]
    return rest


def _without_init(words: Sequence[str]) -> list[str]:
    """Return the command line that a program such as tini is given."""
    if not words or posixpath.basename(words[0]) not in INITS:
        return list(words)
    rest = list(words[1:])
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if option in _OF_INITS_WITH_A_VALUE and rest:
            rest.pop(0)
    return rest


def is_known(text: str) -> bool:
    """Return whether the text is what the program will see."""
    return "$" not in text and "`" not in text


def _read(words: Sequence[str], layers: int) -> CommandLine:
    if not words or not layers:
        return CommandLine()
    program, rest = posixpath.basename(words[0]), words[1:]
    if program in (*PARENTS, *SUPERVISORS):
        return CommandLine(started_by=program)
    if program in SHELLS:
        return _shell(rest, layers - 1)
    if launched := _launched(program, words):
        return _with_variables(words[:launched], _read(words[launched:], layers - 1))
    entry = next((i for i, it in enumerate(words) if posixpath.basename(it) in ENTRYPOINTS), None)
    if entry is not None:
        arguments = words[entry + 1 :]
        if arguments and arguments[0].startswith("-"):  # as the entrypoint itself does
            arguments = [SERVER, *arguments]
        return _with_variables(words[:entry], _read(arguments, layers - 1))
    return _server(rest) if program == SERVER else CommandLine()


def _launched(program: str, words: Sequence[str]) -> int:
    """Return which word is the program that this one makes room for; 0: it makes none."""
    if program in TO_ANOTHER_USER:
        return 2
    if program in INITS:
        return len(words) - len(_without_init(words))
    if program in LAUNCHERS:
        known = (SERVER, *ENTRYPOINTS, *SHELLS, *TO_ANOTHER_USER, *INITS, *PARENTS)
        names = (posixpath.basename(word) for word in words)
        found = (i for i, name in enumerate(names) if name in known)
        return next((i for i in found if i and words[i - 1] not in _BEFORE_A_USER), 0)
    return 0


def _with_variables(words: Iterable[str], line: CommandLine) -> CommandLine:
    found = {match[1]: match[2] for word in words if (match := _ASSIGNMENT.fullmatch(word))}
    return dataclasses.replace(line, variables={**found, **line.variables})


# ── A shell ───────────────────────────────────────────────────────────────────────────────


def _shell(words: Sequence[str], layers: int) -> CommandLine:
    script, positional = _script(words)
    if script is None or len(script) > MAX_SCRIPT:
        return CommandLine()  # a file, which nobody can read here, or too long
    commands = list(_commands(script))
    server: list[str] = []
    forks = changes_owners = False
    init = ""
    left = MAX_FILLED_IN
    for command, is_child in commands:
        program = list(itertools.dropwhile(_SETS_A_VARIABLE.match, command))
        executed = program[:1] == ["exec"]
        filled_in = _filled_in(program[1:] if executed else program, positional)
        program = list(itertools.islice(filled_in, left + 1))
        left -= len(program)
        if left < 0:
            return CommandLine()
        changes_owners = changes_owners or program[:1] == ["chown"]
        if _starts_postgres(program):
            server = program
            forks = is_child or not executed
            init = _init_of(program)
    started = _read(server, layers)
    passed_on, named = bool(_PASSED_ON.search(script)), bool(_NAME.search(script))
    return dataclasses.replace(
        _with_variables(itertools.chain.from_iterable(it for it, _ in commands), started),
        drops_arguments=started.drops_arguments or not passed_on,
        lacks_a_name=started.lacks_a_name or (passed_on and not positional and not named),
        forks=started.forks or forks,
        started_by=started.started_by or init,
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


def _commands(script: str) -> Iterator[tuple[list[str], bool]]:
    """Yield each command, and whether it is part of a pipeline or in the background: then the shell
    stays beside it, also if it has exec."""
    text = _COMMENT.sub("", script.replace("\\\n", " ")).replace("\n", " ; ")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    command: list[str] = []
    is_piped_to = False
    try:
        for token in lexer:
            if _REDIRECTION.fullmatch(token):
                next(lexer, "")  # the file
            elif _OPERATOR.fullmatch(token):
                control = token.strip("();")
                yield command, is_piped_to or control in ("|", "|&", "&")
                command = []
                is_piped_to = control in ("|", "|&")
            elif command or token not in ("then", "else", "do", "{", "!", "if"):
                command.append(token)
    except ValueError:
        return  # a quotation that does not end, as in a here-document
    yield command, is_piped_to


def _starts_postgres(program: Sequence[str]) -> bool:
    names = [posixpath.basename(word) for word in program]
    first = 0
    while first < len(names) and names[first] in TO_ANOTHER_USER:
        first += 2  # and the user's name
    if first >= len(names):
        return False
    if names[first] in PARENTS:
        return _starts_it_as_a_child(names[first], program[first + 1 :])
    if names[first] in (*INITS, *LAUNCHERS):
        return any(it in (SERVER, *SHELLS, *ENTRYPOINTS, *PARENTS) for it in names[first:])
    return names[first] in (SERVER, *SHELLS) or any(it in ENTRYPOINTS for it in names[first:])


def _init_of(program: Sequence[str]) -> str:
    """Return the program such as tini whose child a script has the server started as, or ""."""
    names = [posixpath.basename(word) for word in program]
    while len(names) > 2 and names[0] in TO_ANOTHER_USER:  # noqa: PLR2004 - and the user's name
        names = names[2:]
    return names[0] if names[:1] and names[0] in INITS else ""


def _starts_it_as_a_child(parent: str, words: Sequence[str]) -> bool:
    if parent in ("pg_ctl", "pg_ctlcluster"):
        return not {"start", "restart"}.isdisjoint(words)
    for option, value in itertools.pairwise(words):
        if option in ("-c", "--command", "--session-command"):
            commands = re.split(r"[;&|\n]+", value[:MAX_CHILDS])
            return any(_starts_postgres(_plain_words(command)) for command in commands)
    for i, option in enumerate(words):
        if option in ("-u", "--user"):
            rest = itertools.dropwhile(lambda it: it.startswith("-"), words[i + 2 :])
            return _starts_postgres(list(rest))
    return False


def _plain_words(command: str) -> list[str]:
    words = itertools.dropwhile(_SETS_A_VARIABLE.match, command.split())
    return [word.strip("'\"") for word in words if word != "exec"]


def _filled_in(command: Iterable[str], positional: Sequence[str]) -> Iterator[str]:
    for word in command:
        if _PASSED_ON.fullmatch(word):
            first = re.search(r"\d+", word)
            yield from positional[int(first[0]) if first else 1 :]
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
        for after, letter in enumerate(word[1:], 2):
            if letter not in FLAGS:
                yield letter, word[after:] or next(rest, "")
                break
            yield letter, ""
