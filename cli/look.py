"""The commands that change nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn

from cli import as_json, read, text
from cli.facts import Pod, There, Workload
from cli.kubectl import CannotError, Kubectl, cannot_start
from cli.password import SUPERUSER
from cli.text import Paint
from cli.view import SetView, exit_code, lease_of, objects_of, pods_of, port_of, primary_of
from sidecar import contract

OF_STATUS: Final = ("pods", "leases")
"""Kinds without which nobody knows whether there is a primary."""

WATCH_SECONDS: Final = 2.0
STALE_SECONDS: Final = 30.0
"""What has been on the screen for so long without an answer is not to pass for what is."""

CLEAR: Final = "\033[H\033[2J"


def status(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:
    """Show sets, once or again and again."""
    hasty = kubectl.within(STALE_SECONDS)
    while chosen.watch:
        notes: list[str] = []
        try:
            views, notes = _views(hasty, chosen)
            shown = _shown(views, chosen, paint)
        except CannotError as error:
            shown = f"kubectl pgset: {error}"
        if sys.stdout.isatty():
            print(CLEAR, end="", flush=True)
        _tell(notes)
        print(shown, flush=True)
        time.sleep(WATCH_SECONDS)
    views, notes = _views(kubectl, chosen)
    _tell(notes)
    if shown := _shown(views, chosen, paint):
        print(shown)
    return exit_code(views)


def _tell(notes: Sequence[str]) -> None:
    """Say on stderr what no view has."""
    for it in notes:
        print(it, file=sys.stderr, flush=True)


def _shown(views: tuple[SetView, ...], chosen: Namespace, paint: Paint) -> str:
    if chosen.output == "json":
        return as_json.status(views)
    if chosen.all_namespaces and chosen.set is None:
        return text.overview(views, paint)
    return text.status(views, paint, wide=chosen.output == "wide")


def _views(kubectl: Kubectl, chosen: Namespace) -> tuple[tuple[SetView, ...], list[str]]:
    """Return the views, and what is to be told beside them."""
    if chosen.all_namespaces:
        if chosen.set is not None:
            raise CannotError("-A shows all sets: leave out the name, or -A")
        there = read.all_sets(kubectl)
        read.need(there, *OF_STATUS)
        where = "in any namespace"
    else:
        there = read.namespace(kubectl, *OF_STATUS)
        where = f'in namespace "{kubectl.namespace}"'
    notes = read.told_unread(there.unread)
    if chosen.set is not None:
        there = read.only(there, read.the_set(there, chosen.set, kubectl.namespace))
    elif not there.workloads:
        notes.append(f"No set {where}.")
    return read.views(there), notes


def _one(kubectl: Kubectl, chosen: Namespace, *needed: str) -> tuple[There, Workload]:
    there = read.namespace(kubectl, *needed, events="events" in needed)
    return there, read.the_set(there, chosen.set, kubectl.namespace)


def history(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:
    """Show who has led, the newest last."""
    there, workload = _one(kubectl, chosen, "leases")
    lease = lease_of(workload, there)
    takeovers = lease.history if lease else ()
    if chosen.output == "json":
        print(as_json.history(workload, takeovers))
        return 0
    rows = [(str(it.timeline), it.pod, it.since) for it in takeovers]
    print("\n".join(text.table(("TIMELINE", "PRIMARY", "SINCE"), rows, [None] * len(rows), paint)))
    return 0


def events(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:
    """Show what was said of the set's StatefulSet, pods and Lease, the newest last."""
    there, workload = _one(kubectl, chosen, "events")
    about = objects_of(workload, there)
    found = sorted(
        (it for it in there.events if (it.kind, it.name) in about and it.time is not None),
        key=lambda it: str(it.time),
    )
    if chosen.output == "json":
        print(as_json.events(workload, found))
        return 0
    for it in found:
        line = f"{it.time:%Y-%m-%dT%H:%M:%SZ} {it.name} {it.reason}: {it.message}"
        print(paint(text.YELLOW, line) if it.warning else line)
    if not found:
        print(f'No Event about set "{workload.name}": they are kept for an hour.', file=sys.stderr)
    return 0


def logs(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Show the logs of all members."""
    there, workload = _one(kubectl, chosen, "pods")
    pods = [it for it in pods_of(workload, there) if it.version]
    if not pods:
        raise CannotError(f'set "{workload.name}" has no member')
    names = [contract.SIDECAR_CONTAINER] + ([] if chosen.sidecars else [workload.container])
    since = [f"--since={chosen.since}"] if chosen.since else []
    if chosen.follow:
        return _follow(kubectl, workload, pods, names, since)
    for _, line in merged(kubectl, pods, names, since):
        print(line)
    return 0


def merged(
    kubectl: Kubectl, pods: list[Pod], containers: list[str], options: list[str]
) -> list[tuple[str, str]]:
    """Return the times and lines of these containers' logs, by time. Raises CannotError if there is
    none that can be read."""
    failed: list[CannotError] = []

    def of(place: tuple[Pod, str]) -> list[tuple[str, str]]:
        pod, container = place
        where = ("-n", pod.namespace, pod.name, "-c", container)
        try:
            said = kubectl.run("logs", *where, "--timestamps", *options)
        except CannotError as error:
            # A container that has not been started has no log: no reason to show none at all.
            failed.append(error)
            return []
        lines = (line.partition(" ") for line in said.splitlines())
        return [(at, f"{at} {pod.name} {container}: {rest}") for at, _, rest in lines]

    places = [(pod, container) for pod in pods for container in containers]
    with ThreadPoolExecutor(len(places)) as pool:
        found = [it for lines in pool.map(of, places) for it in lines]
    if len(failed) == len(places):
        raise failed[0]
    return sorted(found, key=lambda it: by_time(it[0]))


def by_time(at: str) -> str:
    """Return what times are sorted by: kubectl leaves out a fraction's last zeros."""
    whole = at.rstrip("Z")
    return (whole if "." in whole else f"{whole}.").ljust(30, "0")


def _follow(
    kubectl: Kubectl, workload: Workload, pods: list[Pod], names: list[str], since: list[str]
) -> int:
    """Have kubectl itself follow: what comes, comes by time. It does not see pods made later."""
    _become(kubectl.command(*followed(workload, len(pods), names, since)))


def followed(workload: Workload, pods: int, names: list[str], since: list[str]) -> list[str]:
    """Return kubectl's words. A container that has not started, or ends, ends none of the others;
    by a label alone, kubectl would show the last 10 lines of what is asked for by time."""
    container = ["-c", names[0]] if len(names) == 1 else ["--all-containers"]
    streams = [f"--max-log-requests={pods * 50}", "--ignore-errors"]
    all_of_it = ["--tail=-1"] if since else []
    selected = ("-l", f"{contract.SET_LABEL}={workload.name}", *container)
    words = ("logs", "-n", workload.namespace, *selected, "-f", "--prefix", "--timestamps")
    return [*words, *streams, *since, *all_of_it]


def psql(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Become a psql in a member's pod."""
    there, workload = _one(kubectl, chosen, "pods", "leases")
    pod = _replica(workload, there) if chosen.replica else primary_of(workload, there)
    if pod is None:
        raise CannotError(
            f'set "{workload.name}" has no {"replica" if chosen.replica else "primary"} now: '
            f"{kubectl.hint('doctor', workload.name)} tells why"
        )
    tty = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    where = ("exec", "-n", pod.namespace, pod.name, "-c", workload.container, "-i", *tty)
    _become(kubectl.command(*where, "--", *psql_in_pod(port_of(workload, there), chosen.words)))


def psql_in_pod(port: int, words: Sequence[str]) -> list[str]:
    """Return the command; the user's words come last, and so may say another database or port."""
    script = (
        'export PGDATABASE="${PGDATABASE:-postgres}"; '
        f'{SUPERUSER}; exec psql -U "$user" -p {port} "$@"'
    )
    return ["sh", "-c", script, "psql", *words]


def _replica(workload: Workload, there: There) -> Pod | None:
    return next(
        (
            it
            for it in pods_of(workload, there)
            if it.ready and it.labels.get(workload.role_label) == workload.replica_value
        ),
        None,
    )


def _become(command: list[str]) -> NoReturn:
    """Have the process go on as kubectl. Raises CannotError."""
    sys.stdout.flush()
    if hasattr(signal, "SIGPIPE"):
        # Python ignores it, and what a process ignores the next program ignores, too.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is meant
    except OSError as error:
        raise cannot_start(error) from None
