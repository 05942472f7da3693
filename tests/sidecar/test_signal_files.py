"""A server that was asked to be promoted does not start again before a standby.signal is there."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar import signal_files
from sidecar.act import Actor
from sidecar.action import ForgetPromotion, Promote, PutStandbySignal, RemoveStandbySignal
from sidecar.adapters import Adapters
from tests.sidecar.rules.observations import RECORD, lease
from tests.sidecar.test_loop import adapters, data

__all__ = ["adapters", "data"]

Act = Callable[..., None]


@pytest.fixture
def act(adapters: Adapters) -> Act:
    def carry_out(*actions: Any, promote: Callable[[], None] = lambda: None, **server: Any) -> None:
        """`promote`: what the server does when it is asked to."""
        held: Any = SimpleNamespace(peek=lambda: lease(RECORD))
        asked: Any = SimpleNamespace(promote=lambda **_: promote(), **server)
        events: Any = None
        actor = Actor(replace(adapters, lease=held, server=asked), events)
        assert actor.carry_out(actions, float("inf")) is None

    return carry_out


def signals(data: Path) -> set[str]:
    return {path.name for path in data.glob("*.signal*")}


def promoted(act: Act, data: Path, *, restores: bool = False) -> None:
    """As PostgreSQL does it: what it has not seen at its start, it leaves."""
    (data / "standby.signal").touch()
    act(Promote(1), promote=(data / "standby.signal").unlink, restores=restores)


def test_until_then_there_is_a_recovery_signal(act: Act, data: Path) -> None:
    promoted(act, data)
    assert signals(data) == {"recovery.signal"}
    act(PutStandbySignal())
    assert signals(data) == {"standby.signal"}


def test_it_is_there_before_the_promotion_is_asked_for(act: Act, data: Path) -> None:
    seen: list[set[str]] = []
    (data / "standby.signal").touch()
    act(Promote(1), promote=lambda: seen.append(signals(data)), restores=False)
    assert seen == [{"standby.signal", "recovery.signal"}]


def test_a_server_with_a_restore_command_has_none(act: Act, data: Path) -> None:
    """It would recover by that, and then be writable, on yet another timeline."""
    promoted(act, data, restores=True)
    assert signals(data) == set()


def test_recovery_signal_goes_with_a_promotion_that_was_none(act: Act, data: Path) -> None:
    (data / "standby.signal").touch()
    act(Promote(1), restores=False)
    act(ForgetPromotion())
    assert signals(data) == {"standby.signal"}


def test_recovery_signal_goes_with_a_pod_that_leaves(
    act: Act, adapters: Adapters, data: Path
) -> None:
    """The next one may have no sidecar, and be promoted by hand."""
    (data / "standby.signal").touch()
    act(Promote(1), restores=False)
    adapters.bootstrap.leave()
    assert signals(data) == {"standby.signal"}


def test_recovery_signal_stays_where_the_standby_signal_could_not_be_put(
    act: Act, data: Path
) -> None:
    promoted(act, data)
    act(ForgetPromotion())
    assert signals(data) == {"recovery.signal"}


def test_the_next_pod_without_a_sidecar_finds_none(act: Act, data: Path) -> None:
    promoted(act, data)
    act(RemoveStandbySignal())
    assert signals(data) == set()


@pytest.mark.parametrize("text", ["", "# a tool's\n"], ids=["empty", "with words"])
def test_somebody_elses_is_left_as_it_is(act: Act, data: Path, text: str) -> None:
    """It counts for nothing beside a standby.signal, but only its owner knows what it is for."""
    (data / "recovery.signal").write_text(text)
    promoted(act, data)
    act(PutStandbySignal(), ForgetPromotion(), RemoveStandbySignal())
    assert (data / "recovery.signal").read_text() == text


def test_it_is_whole_as_soon_as_it_is_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one would be taken for somebody else's, and this data be left alone."""

    def end(*_: object) -> None:
        raise OSError("the volume is full")

    monkeypatch.setattr("os.write", end)
    with pytest.raises(OSError, match="full"):
        signal_files.hold_the_next_start(data)
    assert not (data / "recovery.signal").exists()


def put_a_link(path: Path) -> None:
    """It leads to what PostgreSQL's container has not."""
    (path.parent.parent / "of the sidecar").touch()
    path.symlink_to("../of the sidecar")


IN_THEIR_PLACE = pytest.mark.parametrize("put", [put_a_link, os.mkfifo], ids=["link", "pipe"])


@IN_THEIR_PLACE
def test_what_is_no_file_of_the_data_directory_is_no_standby_signal(
    act: Act, data: Path, put: Callable[[Path], None]
) -> None:
    put(data / "standby.signal")
    assert not signal_files.start_is_read_only(data)
    act(PutStandbySignal())
    assert signal_files.start_is_read_only(data)
    assert (data / "standby.signal").lstat().st_size == 0
    assert not (data / "standby.signal").is_symlink()


@IN_THEIR_PLACE
def test_nor_does_it_hold_a_start(act: Act, data: Path, put: Callable[[Path], None]) -> None:
    put(data / "recovery.signal")
    promoted(act, data)
    assert not (data / "recovery.signal").is_symlink()
    assert (data / "recovery.signal").read_text().startswith("pgset\n")
