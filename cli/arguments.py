"""What may be said after `kubectl pgset`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from cli.view import FAILED
from sidecar import contract

PASSED_ON = (
    *("context", "kubeconfig", "cluster", "user", "server", "tls-server-name", "request-timeout"),
    *("as", "as-group", "as-uid", "certificate-authority", "client-certificate", "client-key"),
)
"""Options of kubectl's own, which it gets as they are. Not its --token: commands that we show have
the user's options."""

EXIT_CODES = """exit codes: 0 all is well, 1 a set has no primary, 2 a member is missing (of
several sets, the first of these that holds), 3 the question could not be answered"""


_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


class Parser(argparse.ArgumentParser):
    """argparse's, with one sentence and our exit code for what can't be understood."""

    def __init__(self, **more: Any) -> None:
        """As kubectl, it takes no option by its first letters: "--y" is not "--yes"."""
        super().__init__(allow_abbrev=False, **more)

    def error(self, message: str) -> NoReturn:
        """End the program."""
        print(f"kubectl pgset: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(FAILED)


def _of_kubectl(parser: Parser, default: str | None) -> None:
    words = "kubectl's own choice by default"
    parser.add_argument("-n", "--namespace", default=default, help=words)
    for option in PASSED_ON:
        short = ["-s"] if option == "server" else []
        action = "append" if option == "as-group" else "store"
        names = (*short, f"--{option}")
        parser.add_argument(*names, default=default, action=action, help=argparse.SUPPRESS)


def seconds(text: str) -> int:
    """Read a time as kubectl takes it, "90s" or "2m", or a number of seconds."""
    found = re.fullmatch(r"([0-9]{1,6})(s|m|h|)", text)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError(f'"{text}" is no time; allowed: 90s, 2m, or seconds alone')
    return int(found[1]) * _SECONDS[found[2]]


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return what is wanted, or end the program with a sentence."""
    whole = parser()
    chosen, unknown = whole.parse_known_args(words)
    if unknown:
        hint = "; psql's own words come after --" if chosen.command == "psql" else ""
        whole.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    # As kubectl takes it: `-n "$NAMESPACE"` where that is not set.
    chosen.namespace = chosen.namespace or None
    return chosen


def passed_on(chosen: argparse.Namespace) -> list[str]:
    """Return the options that kubectl gets, such as "--context=prod"."""
    given = {name: getattr(chosen, name.replace("-", "_")) for name in PASSED_ON}
    return [
        f"--{name}={it}"
        for name, value in given.items()
        if value is not None
        for it in (value if isinstance(value, list) else [value])
    ]


def commands() -> list[str]:
    """Return the commands' names."""
    return list(_parsers())


def options(command: str) -> dict[str, tuple[str, ...]]:
    """Return the options that a command tells of, and what each may be if that is a choice."""
    actions = _parsers()[command]._actions
    told = [it for it in actions if it.help is not argparse.SUPPRESS]
    return {name: tuple(it.choices or ()) for it in told for name in it.option_strings}


def _parsers() -> dict[str, Parser]:
    choices: Any = next(
        it.choices for it in parser()._actions if isinstance(it, argparse._SubParsersAction)
    )
    return dict(choices)


def parser() -> Parser:
    """Return the parser; `command` in its result says what is wanted."""
    main = Parser(prog="kubectl pgset", description="Sets of PostgreSQL made by pgset.")
    main.add_argument("--version", action="version", version=f"pgset {contract.VERSION}")
    _of_kubectl(main, default=None)
    commands: Any = main.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(
        name: str, says: str, *, of_set: str = "SET", forms: tuple[str, ...] = (), **more: Any
    ) -> Parser:
        """Add a command. `of_set`: how the set is named; "" for none, "[SET]" if it may be left.
        `forms`: what its output may be instead of text."""
        command: Parser = commands.add_parser(
            name,
            help=says,
            description=says[0].upper() + says[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **more,
        )
        if of_set:
            optional = of_set.startswith("[")
            command.add_argument(
                "set", metavar=of_set.strip("[]"), nargs="?" if optional else None, default=None
            )
        if forms:
            command.add_argument("-o", "--output", choices=forms)
        # What stands before the command holds unless it is said again.
        _of_kubectl(command, default=argparse.SUPPRESS)
        return command

    status = add(
        "status",
        "members, roles, the Lease, Services",
        of_set="[SET]",
        forms=("wide", "json"),
        epilog=EXIT_CODES,
    )
    status.add_argument("-A", "--all-namespaces", action="store_true", help="one line for each set")
    status.add_argument("-w", "--watch", action="store_true", help="again every two seconds")

    switchover = add(
        "switchover",
        "let another member lead, without losing a row",
        epilog="exit codes: 0 it was asked for (with --wait: it is done), 1 it was refused, 3 it "
        "could not be asked for, or was not done in time: the request stands then",
    )
    switchover.add_argument("--to", metavar="POD", help="else a replica that is ready and in sync")
    switchover.add_argument("--wait", action="store_true", help="until it has led, or is refused")
    switchover.add_argument("--timeout", type=seconds, default=60, metavar="60s")

    _of_failover(
        add("failover", "let a member lead where nobody may; what only others have is lost")
    )
    add("pause", "nobody takes over, nothing is handed over")
    add("resume", "end a pause")
    restart = add("restart", "make one pod anew, or all, one after the other")
    restart.add_argument("pod", metavar="POD", nargs="?")
    fence = add("fence", "stop the PostgreSQL of one pod, which stays; it never leads", of_set="")
    fence.add_argument("pod", metavar="POD")
    fence.add_argument("--yes", action="store_true", help="even if nobody leads then")
    unfence = add("unfence", "let the PostgreSQL of a fenced pod start again", of_set="")
    unfence.add_argument("pod", metavar="POD")
    reinit = add("reinit", "have a replica cloned again; its old data is kept", of_set="")
    reinit.add_argument("pod", metavar="POD")
    add("history", "the changes of the primary that are on record", forms=("json",))
    add("events", "what was said of a set and its pods, by time", forms=("json",))
    logs = add("logs", "the logs of all members, merged by time")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    logs.add_argument("--since", metavar="DURATION", help="such as 10m")
    logs.add_argument("--sidecars", action="store_true", help="without PostgreSQL's")
    psql = add("psql", "a session on the primary, by psql in its pod")
    psql.add_argument("--replica", action="store_true", help="on a replica")
    psql.epilog = "What comes after -- is psql's own: kubectl pgset psql orders -- -c 'select 1'"
    add(
        "doctor",
        "what is wrong, and for each cause one command that cures it",
        of_set="[SET]",
        forms=("json",),
        epilog="exit codes: 0 nothing was found, 1 something was, 3 it could not be looked at",
    )
    report = add("report", "one archive for a bug report, with no secret in it")
    report.add_argument("-o", "--output", metavar="FILE", help="else pgset-report-SET.tar.gz")
    optin = add(
        "optin", "opt a StatefulSet in, and tell every warning or the refusal", of_set="STATEFULSET"
    )
    optin.add_argument("--dry-run", action="store_true", help="tell these and change nothing")
    _of_inject(
        add("inject", "a manifest as the webhook would have it, with the grant it needs", of_set="")
    )
    completion = add("completion", "the file that kubectl asks for completions", of_set="")
    completion.epilog = (
        "kubectl pgset completion > ~/bin/kubectl_complete-pgset; chmod +x it there, in PATH"
    )
    return main


def _of_failover(failover: Parser) -> None:
    failover.add_argument("--to", metavar="POD", required=True, help="the member that is to lead")
    failover.add_argument("--yes", action="store_true", help="without asking")
    failover.add_argument("--timeout", type=seconds, default=120, metavar="60s")
    failover.epilog = (
        "exit codes: 0 it leads, 1 it was refused, or the set's name was not typed, 3 it could not "
        "be asked for, or was not done in time: the request stands then"
    )


def _of_inject(inject: Parser) -> None:
    inject.add_argument("-f", "--file", metavar="FILE", required=True, help='"-" for stdin')
    inject.add_argument("--image", required=True, help="pgset's own, for the sidecar")
    inject.add_argument(
        "--image-pull-policy", choices=("Always", "IfNotPresent", "Never"), default="IfNotPresent"
    )
    inject.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml")
    inject.epilog = (
        "For clusters where no webhook may be installed: kubectl pgset inject -f FILE "
        "--image IMAGE | kubectl apply -f -"
    )
