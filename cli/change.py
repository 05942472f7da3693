"""The commands that change something: by the annotations that docs/opt-in.md names."""

from __future__ import annotations

import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Final

from cli import read
from cli.facts import There, Workload
from cli.kubectl import CannotError, Kubectl, cannot_start
from cli.switchover import Asked, Outcome, candidate, outcome
from cli.text import GREEN, RED, Paint
from cli.view import FAILED, lease_of, pods_of, primary_of
from sidecar import contract

POLL_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 10.0
"""A look may take so long although what is waited for should have come by then."""

REFUSED: Final = 1


def switchover(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:
    """Ask the primary to hand over, and see what comes of it."""
    there = read.namespace(kubectl, "pods", "leases", events=True)
    workload = read.the_set(there, chosen.set, kubectl.namespace)
    lease, primary = lease_of(workload, there), primary_of(workload, there)
    if lease is None or primary is None:
        raise CannotError(
            f'set "{workload.name}" has no primary that could hand over: '
            f"{kubectl.hint('doctor', workload.name)} tells why"
        )
    to = chosen.to or candidate(workload, there)
    if to is None:
        raise CannotError(f'set "{workload.name}" has no replica that is ready: name one by --to')
    if to not in {it.name for it in pods_of(workload, there)}:
        raise CannotError(f'set "{workload.name}" has no pod "{to}"')
    if to == primary.name:
        raise CannotError(f"{to} leads already")
    if workload.paused:
        hint = kubectl.hint("resume", workload.name)
        raise CannotError(f"the set is paused: {hint} comes first")
    if lease.switchover_to:
        raise CannotError(f"a switchover to {lease.switchover_to} is under way")
    asked = Asked(workload, primary, to, frozenset(it.id for it in there.events))
    words = ("annotate", "lease", contract.lease_name(workload.name), "-n", workload.namespace)
    kubectl.run(*words, f"{contract.SWITCHOVER_TO}={to}", "--overwrite")
    if not chosen.wait:
        print(f"{primary.name} was asked to hand over to {to}")
        return 0
    return _wait(kubectl, asked, chosen.timeout, paint)


def _wait(kubectl: Kubectl, asked: Asked, limit: int, paint: Paint) -> int:
    try:
        code = _see(kubectl, asked, limit, paint)
    except KeyboardInterrupt:
        print(f"\nkubectl pgset: {_stands(kubectl, asked)}", file=sys.stderr)
        raise
    if code is None:
        print(
            f"kubectl pgset: {asked.pod.name} has not handed over to {asked.to} within {limit} s; "
            f"{kubectl.hint('events', asked.workload.name)} tells more. {_stands(kubectl, asked)}",
            file=sys.stderr,
        )
    return FAILED if code is None else code


def _see(kubectl: Kubectl, asked: Asked, limit: int, paint: Paint) -> int | None:
    """Return the exit code once it is known what comes of it; None if that takes too long."""
    began = time.monotonic()
    gap_began = None
    for there in looks(kubectl, asked.workload, limit):
        at = time.monotonic()
        said = outcome(asked, there)
        if said.outcome is Outcome.REFUSED:
            print(paint(RED, said.sentence))
            return REFUSED
        if said.outcome is Outcome.NOBODY:
            gap_began = gap_began or at
        if said.outcome is Outcome.DONE:
            gap = "less than one look" if gap_began is None else f"{at - gap_began:.1f} s"
            print(
                f"{paint(GREEN, said.sentence)} after {at - began:.1f} s; without a "
                f"primary's label for {gap}, as seen every {POLL_SECONDS} s"
            )
            return 0
    return None


def _stands(kubectl: Kubectl, asked: Asked) -> str:
    return f"The request stands until it is withdrawn: {withdrawn(kubectl.shown, asked.workload)}"


def withdrawn(kubectl: str, workload: Workload) -> str:
    """Return the command that takes the request back; `kubectl`: as commands begin."""
    lease = contract.lease_name(workload.name)
    return f"{kubectl} -n {workload.namespace} annotate lease {lease} {contract.SWITCHOVER_TO}-"


def looks(kubectl: Kubectl, workload: Workload, limit: int) -> Iterator[There]:
    """Yield what there is, every POLL_SECONDS for `limit` seconds. Where it cannot be read, that is
    told once: the API server may be away for a moment, and the request stands."""
    began, told = time.monotonic(), ""
    while (left := began + limit - time.monotonic()) > 0:
        try:
            there = _look(kubectl.within(max(left, LOOK_SECONDS)), workload)
        except CannotError as error:
            if str(error) != told:
                print(f"kubectl pgset: {error}", file=sys.stderr)
            told = str(error)
        else:
            told = ""
            yield there
        time.sleep(POLL_SECONDS)


def _look(kubectl: Kubectl, workload: Workload) -> There:
    where = ("-n", workload.namespace)
    there = There.from_json(
        *kubectl.together(
            ("pods", *where, "-l", f"{contract.SET_LABEL}={workload.name}"),
            ("leases", *where, "-l", f"{contract.SET_LABEL}={workload.name}"),
            ("events", *where, "--field-selector", "involvedObject.kind=Pod,source=pgset-sidecar"),
        )
    )
    read.need(there, "pods", "leases")
    return there


def pause(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Pause a set."""
    _annotate(kubectl, chosen.set, f"{contract.PAUSED}=true")
    print(f"{chosen.set} is paused: nobody takes over and nothing is handed over")
    return 0


def resume(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """End a pause."""
    _annotate(kubectl, chosen.set, f"{contract.PAUSED}-")
    print(f"{chosen.set} goes on")
    return 0


def _annotate(kubectl: Kubectl, name: str, change: str) -> None:
    workload = read.the_set(read.namespace(kubectl), name, kubectl.namespace)
    words = ("annotate", "statefulset", workload.name, "-n", workload.namespace)
    kubectl.run(*words, change, "--overwrite")


def restart(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Make pods anew; a primary hands over first, as it always does."""
    there = read.namespace(kubectl, *(["pods"] if chosen.pod else []))
    workload = read.the_set(there, chosen.set, kubectl.namespace)
    where = ("-n", workload.namespace)
    if chosen.pod is None:
        kubectl.run("rollout", "restart", "statefulset", workload.name, *where)
        print(f"the pods of {workload.name} are made anew, one after the other")
        return 0
    if chosen.pod not in {it.name for it in pods_of(workload, there)}:
        raise CannotError(f'set "{workload.name}" has no pod "{chosen.pod}"')
    kubectl.run("delete", "pod", chosen.pod, *where, "--wait=false")
    print(f"{chosen.pod} is made anew")
    return 0


def optin(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Opt in, or have the webhook say what it would; what it warns of is shown as it is."""
    where = ("annotate", "statefulset", chosen.set, "-n", kubectl.namespace)
    dry = ("--dry-run=server",) if chosen.dry_run else ()
    words = (*where, f"{contract.ENABLED}=true", "--overwrite", *dry)
    try:
        done = subprocess.run(kubectl.command(*words), check=False)
    except OSError as error:
        raise cannot_start(error) from None
    return REFUSED if done.returncode else 0
