import tracemalloc

import pytest

from webhook.json_patch import add, append, pointer, set_member, set_members


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("spec", "containers", 0), "/spec/containers/0"),
        (("metadata", "labels", "pgset.dev/role"), "/metadata/labels/pgset.dev~1role"),
        (("a~b/c",), "/a~0b~1c"),
        ((), ""),
    ],
)
def test_a_path_is_escaped_as_rfc_6901_says(path, text):
    assert text == pointer(path)


@pytest.mark.thorough
def test_what_is_kept_of_paths_is_bounded_in_bytes():
    """A key may be a user's, of megabytes; the last 1,024 paths took 2.9 GB."""
    tracemalloc.start()
    try:
        for number in range(40):
            path = ("metadata", "labels", f"{number}~" + "a" * 2_900_000)
            assert pointer(path).startswith(f"/metadata/labels/{number}~0aaa")
        # The next ones would take their places.
        of_large_ones, _ = tracemalloc.get_traced_memory()
        for number in range(3_000):
            pointer(("metadata", "labels", f"{number}" + "a" * 300))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert of_large_ones < 4 * 2**20
    assert held < 4 * 2**20


def test_a_member_is_added_replaced_or_left():
    assert set_member(("a",), {}, 1) == [{"op": "add", "path": "/a", "value": 1}]
    assert set_member(("a",), {"a": 2}, 1) == [{"op": "replace", "path": "/a", "value": 1}]
    assert set_member(("a",), {"a": 1}, 1) == []


def test_members_make_their_object_where_it_is_absent():
    assert set_members(("labels",), None, {"a": "1"}) == [add(("labels",), {"a": "1"})]
    assert set_members(("labels",), {}, {"a": "1"}) == [add(("labels", "a"), "1")]
    assert set_members(("labels",), None, {}) == []


def test_a_list_is_made_only_where_it_is_absent():
    assert append(("volumes",), None, [1, 2]) == [add(("volumes",), [1, 2])]
    assert append(("volumes",), [0], [1, 2]) == [add(("volumes", "-"), 1), add(("volumes", "-"), 2)]
    assert append(("volumes",), None, []) == []
