"""The postmaster as a process, and what is remembered of it."""

import os
from pathlib import Path

import pytest

from sidecar.postgres.process import WriterMemory, postmaster_pid


def test_the_last_writer_is_known_after_a_restart_of_the_sidecar(tmp_path: Path) -> None:
    assert WriterMemory(tmp_path).last() is None
    WriterMemory(tmp_path).remember(41)
    WriterMemory(tmp_path).remember(42)
    assert WriterMemory(tmp_path).last() == 42


def test_a_writer_that_cannot_be_noted_is_known_to_this_process(tmp_path: Path) -> None:
    """Such as where the pod's memory is full."""
    memory = WriterMemory(tmp_path)
    (tmp_path / "writer").mkdir()
    with pytest.raises(OSError, match="directory"):
        memory.remember(41)
    assert memory.last() == 41
    (tmp_path / "writer").rmdir()
    memory.remember(41)
    assert WriterMemory(tmp_path).last() == 41


def test_a_pid_file_that_is_left_over_names_no_postmaster(tmp_path: Path) -> None:
    """Its pid is another process's by now: here, of this very test."""
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n")
    assert postmaster_pid(tmp_path) is None


def test_an_empty_or_missing_pid_file_names_no_postmaster(tmp_path: Path) -> None:
    assert postmaster_pid(tmp_path) is None
    (tmp_path / "postmaster.pid").touch()
    assert postmaster_pid(tmp_path) is None
