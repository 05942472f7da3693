"""Charts that give their StatefulSet no annotations of its own have pod annotations."""

import pytest

from tests.webhook import objects
from tests.webhook.changes import with_second_container, with_template_annotations
from webhook.errors import DeniedError
from webhook.mutate import mutate_statefulset

ENABLED = {"pgset.dev/enabled": "true"}


def plain(**template):
    """A StatefulSet as a chart makes it."""

    def change(statefulset):
        del statefulset["metadata"]["annotations"]
        with_template_annotations(**template)(statefulset)

    return objects.changed(objects.article_statefulset(), change)


def stored(statefulset, old=None):
    """What the API server stores after a review."""
    operation = "UPDATE" if old else "CREATE"
    return objects.patched(
        statefulset, mutate_statefulset(objects.review_of(statefulset, operation, old))
    )


def in_template(statefulset):
    return statefulset["spec"]["template"]["metadata"].get("annotations") or {}


def is_stamped(statefulset):
    return "pgset.dev/set" in statefulset["spec"]["template"]["metadata"]["labels"]


def own(statefulset):
    return statefulset["metadata"].get("annotations") or {}


SETTINGS = {**ENABLED, "pgset.dev/durability": "sync", "pgset.dev/ttl": "20s"}


@pytest.mark.parametrize("old", [None, plain()], ids=["created", "updated"])
def test_annotations_of_the_template_opt_in(old):
    made = stored(plain(**SETTINGS), old)
    assert own(made) == {**SETTINGS, "pgset.dev/opted-in-by": "template"}
    assert is_stamped(made)
    assert SETTINGS.items() <= in_template(made).items()


def test_the_second_look_and_the_next_update_find_nothing_to_do():
    made = stored(plain(**SETTINGS))
    assert mutate_statefulset(objects.review_of(made)).patch == []
    assert mutate_statefulset(objects.review_of(made, "UPDATE", made)).patch == []


def test_the_same_manifest_sent_whole_again_is_the_same_set():
    made = stored(plain(**SETTINGS))
    assert stored(plain(**SETTINGS), made) == made


def test_a_setting_that_changes_in_the_template_changes_and_one_that_goes_goes():
    made = stored(plain(**SETTINGS))

    def change(statefulset):
        in_template(statefulset)["pgset.dev/durability"] = "quorum"
        del in_template(statefulset)["pgset.dev/ttl"]

    updated = stored(objects.changed(made, change), made)
    wanted = {**ENABLED, "pgset.dev/durability": "quorum"}
    assert own(updated) == {**wanted, "pgset.dev/opted-in-by": "template"}
    assert in_template(updated) == {**wanted, "pgset.dev/container": "postgres"}


def test_a_container_that_is_renamed_or_gets_company_is_found():
    made = stored(plain(**ENABLED))

    def rename(statefulset):
        statefulset["spec"]["template"]["spec"]["containers"][0]["name"] = "database"

    renamed = stored(objects.changed(made, rename), made)
    assert in_template(renamed)["pgset.dev/container"] == "database"
    assert in_template(stored(objects.changed(made, with_second_container), made)) == in_template(
        made
    )


@pytest.mark.parametrize("value", [None, "false"])
def test_the_template_without_it_opts_out(value):
    made = stored(plain(**SETTINGS))

    def change(statefulset):
        if value is None:
            del in_template(statefulset)["pgset.dev/enabled"]
        else:
            in_template(statefulset)["pgset.dev/enabled"] = value

    updated = stored(objects.changed(made, change), made)
    assert own(updated) == {}
    assert not is_stamped(updated)


def test_annotations_of_the_statefulset_that_are_not_ours_stay():
    made = stored(plain(**ENABLED))
    made["metadata"]["annotations"].update({"team": "shop", "pgset.dev/paused": "true"})

    def change(statefulset):
        del in_template(statefulset)["pgset.dev/enabled"]

    assert own(stored(made, made))["pgset.dev/paused"] == "true"
    assert own(stored(objects.changed(made, change), made))["team"] == "shop"


@pytest.mark.parametrize(
    "change",
    [
        lambda annotations: annotations.update({"pgset.dev/ttl": "30s"}),
        lambda annotations: annotations.pop("pgset.dev/enabled"),
    ],
    ids=["a setting", "opting out"],
)
def test_a_change_beside_the_template_is_refused_and_not_undone_in_silence(change):
    made = stored(plain(**SETTINGS))
    with pytest.raises(DeniedError, match=r"allowed: the change in spec\.template\.metadata"):
        stored(objects.changed(made, lambda s: change(own(s))), made)


def test_who_opts_out_at_the_statefulset_is_not_opted_in_by_the_stamp():
    made = stored(objects.article_statefulset())
    out = stored(objects.changed(made, lambda s: own(s).pop("pgset.dev/enabled")), made)
    assert not is_stamped(out)
    assert "pgset.dev/enabled" not in in_template(out)
    assert mutate_statefulset(objects.review_of(out, "UPDATE", out)).patch == []


def test_who_takes_all_annotations_off_the_statefulset_opts_out():
    made = stored(plain(**ENABLED))
    out = stored(objects.changed(made, lambda s: s["metadata"].pop("annotations")), made)
    assert not is_stamped(out)


def test_a_manifest_that_moves_the_annotation_to_the_template_stays_opted_in():
    made = stored(objects.article_statefulset())
    assert is_stamped(stored(plain(**ENABLED), made))


def test_a_set_with_annotations_of_its_own_takes_none_from_its_template():
    made = stored(objects.article_statefulset())
    updated = objects.changed(
        made, lambda s: in_template(s).update({"pgset.dev/durability": "sync"})
    )
    assert stored(updated, made) == made


def test_what_cannot_be_read_in_the_template_is_refused():
    with pytest.raises(DeniedError, match=r"pgset\.dev/enabled"):
        stored(plain(**{"pgset.dev/enabled": "yes"}))
