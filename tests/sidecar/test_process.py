"""The postmaster as a process, and what is remembered of it."""

import os
from pathlib import Path

from sidecar.postgres.process import WriterMemory, postmaster_pid


def test_the_last_writer_is_known_after_a_restart_of_the_sidecar(tmp_path: Path) -> None:
    assert WriterMemory(tmp_path).last() is None
    WriterMemory(tmp_path).remember(41)
    WriterMemory(tmp_path).remember(42)
    assert WriterMemory(tmp_path).last() == 42


def test_a_pid_file_that_is_left_over_names_no_postmaster(tmp_path: Path) -> None:
    """Its pid is another process's by now: here, of this very test."""
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n")
    assert postmaster_pid(tmp_path) is None


def test_an_empty_or_missing_pid_file_names_no_postmaster(tmp_path: Path) -> None:
    assert postmaster_pid(tmp_path) is None
    (tmp_path / "postmaster.pid").touch()
    assert postmaster_pid(tmp_path) is None
