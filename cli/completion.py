"""Completion: kubectl runs a file `kubectl_complete-pgset` with the words so far."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Final

from cli import arguments, read
from cli.facts import There
from cli.kubectl import CannotError, Kubectl
from cli.text import Paint
from cli.view import pods_of

SCRIPT: Final = '#!/bin/sh\nexec kubectl pgset __complete "$@"'
NO_FILES: Final = ":4"
"""What cobra's shells take for: these, and no names of files."""

ABOUT_A_POD: Final = ("fence", "unfence", "reinit")
"""Commands that are followed by a pod, and by no set."""

NEITHER: Final = (["optin"], ["inject"], ["completion"])
"""Commands that are followed by neither: `optin` by a StatefulSet that is no set yet."""

VALUED: Final = (
    *("-n", "--namespace", "-s", "-o", "--output", "--to", "--since", "--timeout"),
    *("--file", "--image", "--image-pull-policy"),
    *(f"--{name}" for name in arguments.PASSED_ON),
)


def completion(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Print the file."""
    print(SCRIPT)
    return 0


def complete(words: Sequence[str]) -> int:
    """Print what the last word may become."""
    *before, last = words or [""]
    for each in sorted(it for it in _choices(before, last) if it.startswith(last)):
        print(each)
    print(NO_FILES)
    return 0


def _choices(before: Sequence[str], last: str = "") -> set[str]:
    plain, options = split(before)
    valued = before[-1] if before and before[-1] in VALUED else ""
    known = arguments.options(plain[0]) if plain and plain[0] in arguments.commands() else {}
    if valued not in ("", "--to"):
        return set(known.get(valued, ()))
    if last.startswith("-"):
        return set(known)
    if plain[:1] in NEITHER:
        return set()
    if not plain:
        return set(arguments.commands())
    try:
        there = read.namespace(_kubectl(options), "pods")
    except CannotError:
        return set()
    return _names(plain, there, of_pod=valued == "--to")


def _names(plain: Sequence[str], there: There, *, of_pod: bool) -> set[str]:
    """Return the names that may come next. `of_pod`: an option takes one of a pod."""
    if plain[0] in ABOUT_A_POD:
        return {pod.name for it in there.workloads for pod in pods_of(it, there)}
    if len(plain) == 1 and not of_pod:
        return {it.name for it in there.workloads}
    if not (of_pod or plain[0] == "restart"):
        return set()
    of = [it for it in there.workloads if it.name in plain[1:2]]
    return {pod.name for it in of for pod in pods_of(it, there)}


def _kubectl(options: Mapping[str, str]) -> Kubectl:
    passed_on = [
        f"--{name}={options[f'--{name}']}" for name in arguments.PASSED_ON if f"--{name}" in options
    ]
    return Kubectl(passed_on, options.get("-n") or options.get("--namespace"))


def split(before: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words that are no options, and the options that have a value."""
    plain: list[str] = []
    options: dict[str, str] = {}
    expected = ""
    for word in before:
        name, has_value, value = word.partition("=")
        if expected:
            options[expected] = word
            expected = ""
        elif word in VALUED:
            expected = word
        elif has_value and name in VALUED:
            options[name] = value
        elif not word.startswith("-"):
            plain.append(word)
    return plain, options
