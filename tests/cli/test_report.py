"""What a report has, and what of a namespace it does not; what could not be read is told."""

import io
import os
from argparse import Namespace

import pytest

from cli import doctor, read
from cli.facts import Pod, There
from cli.installation import Unread
from cli.kubectl import CannotError, Kubectl
from cli.look import by_time, events, merged, status
from cli.report import of_the_set
from cli.text import Paint
from tests.cli import stand
from tests.cli.objects import event, healthy, pod, service, the_set, there

PLAIN = Paint(on=False)


class Stand:
    """A kubectl that may not read some kinds."""

    def __init__(self, *forbidden: str) -> None:
        self._forbidden = forbidden
        self.namespace, self.shown = "shop", "kubectl"

    def within(self, _seconds: float):
        return self

    def items(self, kind: str, *_: str):
        if kind in self._forbidden:
            raise CannotError(f"kubectl: {kind} is forbidden")
        return [it for it in healthy() if f"{it['kind'].lower()}s" == kind]

    together = Kubectl.together


def test_a_report_has_the_sets_own_objects_alone() -> None:
    foreign = pod(0, "primary")
    foreign["metadata"] |= {"name": "mail-0", "labels": {}, "ownerReferences": []}
    about = [event("Pod", "orders-1", "Own"), event("Pod", "mail-0", "Foreign")]
    mail, app = service("mail", app="mail"), service("app", app="orders")
    items = [*healthy(), foreign, *about, mail, app]
    found = there(*items)
    kept = of_the_set(items, the_set(found), found)
    assert kept == [*healthy(), about[0], app]


def test_a_kind_that_is_forbidden_does_not_end_what_needs_it_not() -> None:
    found = read.namespace(Stand("services", "leases"), "pods")
    assert {it.what for it in found.unread} == {"leases", "services"}
    assert len(found.pods) == 2
    for forbidden in ("statefulsets", "pods"):
        with pytest.raises(CannotError, match=forbidden):
            read.namespace(Stand(forbidden), "pods")
    with pytest.raises(CannotError, match="statefulsets"):
        read.namespace(Stand(*read.KINDS))


def test_nothing_is_wrong_is_said_only_by_who_has_seen_all() -> None:
    unread = [Unread("pods", "forbidden")]
    assert "not all could be looked at: pods" in doctor.told([], 1, PLAIN, unread)
    assert "Nothing is wrong" in doctor.told([], 1, PLAIN)


def test_a_set_whose_pods_may_not_be_read_is_not_judged() -> None:
    found = There.from_json([healthy()[0]], (Unread("pods", "forbidden"),))
    installed = doctor.Installation("pgset-system", registered=None)
    unread: list[Unread] = []
    assert (
        doctor.causes_of(Stand("resourcequotas"), found.workloads, found, installed, unread) == []
    )
    assert [it.what for it in unread] == ["resourcequotas"]


class Logs(Stand):
    """A kubectl that shows the logs of these pods, and fails at others."""

    def __init__(self, *pods: str) -> None:
        super().__init__()
        self._pods = pods

    def run(self, *words: str) -> str:
        if not set(words) & set(self._pods):
            raise CannotError("kubectl: no log")
        return "2026-01-01T00:00:00Z hello\n"


def test_logs_that_nobody_may_read_are_no_empty_logs() -> None:
    pods = [Pod("shop", "orders-0"), Pod("shop", "orders-1")]
    lines = merged(Logs("orders-1"), pods, ["postgres"], [])
    assert [line for _, line in lines] == ["2026-01-01T00:00:00Z orders-1 postgres: hello"]
    with pytest.raises(CannotError, match="no log"):
        merged(Logs(), pods, ["postgres"], ["--since=long"])


def test_no_event_is_told_as_such(capsys) -> None:
    assert events(Stand(), Namespace(set="orders", output=None), PLAIN) == 0
    assert capsys.readouterr() == ("", 'No Event about set "orders": they are kept for an hour.\n')


def test_lines_are_sorted_by_their_times() -> None:
    ordered = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.12Z"]
    assert [by_time(it) for it in ordered] == sorted(map(by_time, ordered))


def test_a_watch_goes_on_after_a_look_that_failed(monkeypatch, capsys) -> None:
    monkeypatch.setattr("cli.look.WATCH_SECONDS", 0)
    looks = iter([Stand(), Stand(*read.KINDS), Stand()])

    def together(*requests):
        stand = next(looks, None)
        if stand is None:
            raise KeyboardInterrupt
        return stand.together(*requests)

    kubectl = Stand()
    kubectl.together = together
    chosen = Namespace(watch=True, all_namespaces=False, set="orders", output=None)
    with pytest.raises(KeyboardInterrupt):
        status(kubectl, chosen, PLAIN)
    shown = capsys.readouterr().out
    assert shown.count("shop/orders: primary orders-0") == 2
    assert "statefulsets is forbidden" in shown


def test_a_watch_does_not_show_what_was_while_nobody_answers(tmp_path, monkeypatch, capsys) -> None:
    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    script = tmp_path / "kubectl"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("cli.look.STALE_SECONDS", 0.5)
    monkeypatch.setattr("cli.look.time.sleep", stop)
    chosen = Namespace(watch=True, all_namespaces=False, set="orders", output=None)
    with pytest.raises(KeyboardInterrupt):
        status(Kubectl([], "shop"), chosen, PLAIN)
    assert "kubectl has not answered within 0.5 s" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_watch_does_not_wipe_away_what_it_tells_beside(monkeypatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("sys.stderr", screen)

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.look.time.sleep", stop)
    chosen = Namespace(watch=True, all_namespaces=False, set="orders", output=None)
    with pytest.raises(KeyboardInterrupt):
        status(Stand("services"), chosen, PLAIN)
    last = screen.getvalue().rpartition("\033[2J")[2]
    assert "not looked at: services" in last
    assert "shop/orders: primary orders-0" in last


class Selecting(stand.Stand):
    """A kubectl that heeds `-l`."""

    def items(self, *words: str):
        found = super().items(*words)
        if "-l" not in words:
            return found
        label = words[words.index("-l") + 1]
        return [
            it
            for it in found
            if (label.lstrip("!") in (it["metadata"].get("labels") or {})) != label.startswith("!")
        ]


def test_a_pod_from_before_the_opt_in_is_not_absent_in_the_overview(capsys) -> None:
    former = pod(1, "replica")
    former["metadata"] |= {"labels": {"app": "orders"}, "annotations": {}}
    chosen = Namespace(watch=False, all_namespaces=True, set=None, output=None)
    status(Selecting(healthy()[0], pod(0, "primary"), former), chosen, PLAIN)
    shown = capsys.readouterr().out
    assert "orders-1 has no sidecar" in shown
    assert "absent" not in shown


def test_that_there_is_no_set_at_all_is_said(capsys) -> None:
    kubectl = Stand()
    kubectl.together = lambda *_: ([], ())
    chosen = Namespace(watch=False, all_namespaces=True, set=None, output=None)
    assert status(kubectl, chosen, PLAIN) == 0
    assert capsys.readouterr().err == "No set in any namespace.\n"


def test_where_there_is_no_set_there_is_no_line_about_one(capsys) -> None:
    kubectl = Stand()
    kubectl.together = lambda *_: ([], ())
    chosen = Namespace(watch=False, all_namespaces=False, set=None, output=None)
    assert status(kubectl, chosen, PLAIN) == 0
    assert capsys.readouterr().out == ""
