"""The picture of a round shows what its record holds, and is well-formed."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from tests.chaos import bands, picture, record
from tests.chaos.bands import Band
from tests.chaos.measure import CUT_OFF, MAIN, measure
from tests.chaos.test_measure import NEW, OLD, a_failover

SVG = "{http://www.w3.org/2000/svg}"


def near(some: list[Band]) -> list[tuple[float, float, str]]:
    return [(round(it.start, 2), round(it.end, 2), it.what) for it in some]


def test_a_band_lasts_until_something_else_is_seen() -> None:
    seen = a_failover()
    assert near(bands.states(seen, OLD)) == [(-2, 0.2, "writable"), (0.2, 6, "silent")]
    assert near(bands.states(seen, NEW)) == [(-2, 1.15, "read-only"), (1.15, 6, "writable")]
    assert near(bands.labels(seen, OLD)) == [(-10, 1.3, "primary"), (1.3, 6, "")]
    assert near(bands.lease(seen)) == [(-10, 0.3, OLD), (0.3, 0.4, ""), (0.4, 6, NEW)]
    assert near(bands.service(seen)) == [(-10, 0.05, OLD), (0.05, 1.25, ""), (1.25, 6, NEW)]


def test_every_try_of_the_main_writer_is_in_a_bar() -> None:
    seen = bands.commits(a_failover(), MAIN, 0.1)
    assert sum(bar.acknowledged for bar in seen) == 68
    assert sum(bar.failed for bar in seen) == 12


def test_the_picture_is_xml_with_the_numbers_as_text() -> None:
    seen = a_failover()
    root = ElementTree.fromstring(picture.draw(seen, "a < b & c", measure(seen)))  # noqa: S314 - ours
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[0] == "a < b & c"
    for wanted in (
        OLD,
        NEW,
        "Lease",
        "1.30 s",
        "fault",
        "all streaming",
        "seconds after the fault",
    ):
        assert wanted in texts


def test_what_the_cut_off_client_still_commits_has_a_row_of_its_own() -> None:
    seen = a_failover()
    assert "cut-off client" not in picture.draw(seen, "title", measure(seen))
    seen.attempts += [replace(it, client=CUT_OFF) for it in seen.attempts]
    assert "cut-off client" in picture.draw(seen, "title", measure(seen))


def test_nothing_is_drawn_outside_of_the_page() -> None:
    seen = a_failover()
    root = ElementTree.fromstring(picture.draw(seen, "title", measure(seen)))  # noqa: S314 - ours
    for rectangle in root.iter(f"{SVG}rect"):
        x, width = float(rectangle.attrib["x"]), float(rectangle.attrib["width"])
        assert x >= 0
        assert x + width <= picture.WIDTH


def test_a_record_that_was_kept_is_read_back_as_it_was(tmp_path: Path) -> None:
    seen = a_failover()
    record.write(seen, tmp_path / "record.json")
    assert record.read(tmp_path / "record.json") == seen
