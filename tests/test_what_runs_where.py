"""Whatever its markers, a test is run by some step of `make test-all`."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
MARKERS = [
    re.split(r"\W", marker)[0]
    for marker in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"][
        "ini_options"
    ]["markers"]
]


def selections() -> list[str]:
    """What is behind -m, in words that are Python as well; a lane stands for all of them."""
    return [
        it.replace("beside(lane='$*')", "beside") for it in re.findall(r'-m "([^"]+)"', MAKEFILE)
    ]


def test_no_combination_of_markers_is_left_out() -> None:
    left_out = []
    for values in itertools.product((False, True), repeat=len(MARKERS)):
        marked = dict(zip(MARKERS, values, strict=True))
        if marked["beside"] and not marked["cluster"]:
            continue  # there is nothing to be beside
        if not any(eval(it, {}, marked) for it in selections()):  # noqa: S307 - our own Makefile
            left_out.append(marked)
    assert left_out == []


def test_every_lane_is_run() -> None:
    files = "".join(it.read_text() for it in (ROOT / "tests/cluster").rglob("*.py"))
    used = {*re.findall(r'lane="([^"]+)"', files), *re.findall(r'"(chaos-\d)"', files)}
    (line,) = re.findall(r"^LANES := .*beside-,([^)]*)\)$", MAKEFILE, re.M)
    assert used == {*line.split()}


@pytest.mark.parametrize("folder", re.findall(r"--ignore=(tests/\S+)", MAKEFILE))
def test_what_the_unit_tests_do_not_import_is_marked(folder: str) -> None:
    marker = folder.rpartition("/")[2]
    files = sorted((ROOT / folder).rglob("test_*.py"))
    assert files
    assert [it for it in files if f"pytest.mark.{marker}" not in it.read_text()] == []


def marked(words: str) -> set[str]:
    """The folders in tests/ of what is marked so."""
    files = [it for it in (ROOT / "tests").rglob("*.py") if re.search(words, it.read_text())]
    return {f"tests/{it.relative_to(ROOT / 'tests').parts[0]}" for it in files}


def test_what_runs_by_folder_and_marker_is_in_these_folders() -> None:
    (with_cluster,) = re.findall(r"^WITH_CLUSTER := (.*)$", MAKEFILE, re.M)
    assert marked(r"pytest\.mark\.beside\(") <= {*with_cluster.split()}
    assert marked(r"pytest\.mark\.versions\b") == {"tests/postgres"}


def test_contributing_has_a_line_for_each_target() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## What runs where")[2]
    for target in ("check", "test", "test-all"):
        assert f"| `make {target}` |" in section
        assert f"\n{target}:" in MAKEFILE
