"""The sidecar's requests and limits: those of the pod's own kind, or as somebody chose."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webhook import objects
from tests.webhook.changes import annotate, verdict_on
from webhook.errors import DeniedError
from webhook.mutate import mutate_pod
from webhook.resources import KEYS, SIDES, STORAGE, combined, fitted, parse

DEFAULT = {"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
LIMITED = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
FIXED = {side: {"cpu": "2", "memory": "2Gi"} for side in ("requests", "limits")}


SMALL = {"requests": {"cpu": "50m", "memory": "100M"}, "limits": {"cpu": "0.2", "memory": "110M"}}


def pod_of(*resources):
    return {"containers": [{"name": f"c{n}", "resources": it} for n, it in enumerate(resources)]}


def test_where_all_others_have_a_cpu_limit_the_sidecar_has_one_too():
    """As where a quota demands it; one from a LimitRange would be any."""
    limits = {"cpu": "250m", "memory": "128Mi"}
    assert fitted(pod_of(LIMITED, LIMITED), {})["limits"] == limits


def asking(**quantities):
    """cpu="500m/2": the request, and the limit."""
    both = {name: it.split("/") for name, it in quantities.items()}
    return {side: {name: it[n] for name, it in both.items()} for n, side in enumerate(SIDES)}


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([asking(cpu="500m/2")], {"cpu": "63m/250m"}),
        ([asking(cpu="500m/1"), asking(cpu="1/2")], {"cpu": "125m/250m"}),
        ([asking(cpu="500m/1"), asking(cpu="10m/1")], {"cpu": "25m/250m"}),
        ([asking(memory="2Gi/2Gi")], {"memory": "128Mi/128Mi"}),
        ([asking(memory="1Gi/1288490189")], {"memory": "107Mi/128Mi"}),
        ([{"limits": {"memory": "1Gi"}}], {"memory": "128Mi/128Mi"}),
        ([asking(cpu="0/1"), asking(cpu="1/1")], {"cpu": "25m/250m"}),
        ([asking(cpu="1e-1/1")], {"cpu": "25m/250m"}),
        ([asking(cpu="1/1", memory="1Gi/2Gi")], {"cpu": "250m/250m", "memory": "64Mi/128Mi"}),
    ],
)
def test_its_limit_is_no_more_times_its_request_than_in_all_others(others, found):
    """As where a LimitRange has a maxLimitRequestRatio."""
    wanted = fitted(pod_of(*others), {})
    assert {it: "/".join(wanted[side][it] for side in SIDES) for it in found} == found


@pytest.mark.parametrize(
    ("others", "limits"),
    [
        ([asking(cpu="50m/200m")], {"cpu": "200m"}),
        ([asking(cpu="50m/200m"), asking(cpu="50m/400m")], {"cpu": "250m"}),
        ([asking(cpu="10m/50m")], {"cpu": "100m"}),
        ([asking(memory="100Mi/100Mi")], {"memory": "100Mi"}),
        ([asking(**{STORAGE: "100Mi/500Mi"})], {STORAGE: "500Mi"}),
        ([asking(**{STORAGE: "1Mi/1Mi"})], {STORAGE: "64Mi"}),
    ],
)
def test_its_limit_is_not_above_all_others(others, limits):
    """As where a LimitRange has a max."""
    found = fitted(pod_of(*others), {})["limits"]
    assert {name: found[name] for name in limits} == limits


@pytest.mark.parametrize(
    ("side", "found"),
    [("requests", {"requests": "64Mi"}), ("limits", {"requests": "64Mi", "limits": "1Gi"})],
)
def test_where_all_others_say_what_storage_they_need_the_sidecar_does_too(side, found):
    """As where a quota demands it."""
    storage = {side: {"ephemeral-storage": "2Gi"}}
    wanted = fitted(pod_of(storage, storage), {})
    told = {it: of["ephemeral-storage"] for it, of in wanted.items() if "ephemeral-storage" in of}
    assert told == found
    assert fitted(pod_of(storage, {}), {}) == DEFAULT


@pytest.mark.parametrize(
    ("others", "of_pod", "cpu"),
    [
        (LIMITED, "500m", "0"),
        (LIMITED, "524m", "0"),
        (LIMITED, "525m", "25m"),
        (LIMITED, "563m", "63m"),
        (FIXED, "2", "0"),
        (FIXED, "2250m", "250m"),
        ({"limits": {"cpu": "2"}}, "2", "0"),
        (LIMITED, "1e3", "0"),
        ({}, "1", "25m"),
    ],
)
def test_the_sidecar_asks_for_no_more_than_the_pod_as_a_whole_has_left(others, of_pod, cpu):
    pod = pod_of(others) | {"resources": {"requests": {"cpu": of_pod}}}
    assert fitted(pod, {})["requests"]["cpu"] == cpu
    assert fitted(pod, parse("requests.cpu=50m"))["requests"]["cpu"] == "50m"


@pytest.mark.parametrize("others", [[{}], [LIMITED, {}]])
def test_where_one_has_none_the_sidecar_is_not_throttled(others):
    assert fitted(pod_of(*others), {}) == DEFAULT


@pytest.mark.parametrize(
    ("chosen", "requests", "limits"),
    [
        ("requests.cpu=100m", {"cpu": "100m", "memory": "64Mi"}, {"memory": "128Mi"}),
        ("limits.cpu=1", {"cpu": "25m", "memory": "64Mi"}, {"cpu": "1", "memory": "128Mi"}),
        ("requests.memory=1Gi", {"cpu": "25m", "memory": "1Gi"}, {"memory": "1Gi"}),
        ("limits.memory=96Mi", {"cpu": "25m", "memory": "64Mi"}, {"memory": "96Mi"}),
        (
            "requests.cpu=1, limits.cpu=1500m",
            {"cpu": "1", "memory": "64Mi"},
            {"cpu": "1500m", "memory": "128Mi"},
        ),
    ],
)
def test_what_is_chosen_is_taken_and_no_request_is_above_its_limit(chosen, requests, limits):
    found = fitted(pod_of({}), parse(chosen))
    assert found == {"requests": requests, "limits": limits}


@pytest.mark.parametrize("chosen", ["requests.cpu=500m", "limits.cpu=500m"])
def test_a_guaranteed_pod_stays_one_whatever_is_chosen(chosen):
    found = fitted(pod_of(FIXED), parse(chosen))
    assert found["requests"] == found["limits"] == {"cpu": "500m", "memory": "128Mi"}


def chosen_in(pod, image=objects.IMAGE):
    admitted = objects.patched(pod, mutate_pod(objects.review_of(pod), image, objects.never_led))
    return admitted["spec"]["initContainers"][0]["resources"]


def test_an_annotation_chooses_and_the_installation_fills_in():
    pod = objects.article_pod()
    image = dataclasses.replace(
        objects.IMAGE, resources={"requests.cpu": "50m", "limits.cpu": "400m"}
    )
    assert chosen_in(pod, image)["requests"]["cpu"] == "50m"
    pod["metadata"]["annotations"]["pgset.dev/sidecar-resources"] = "requests.cpu=75m"
    assert chosen_in(pod, image)["requests"]["cpu"] == "75m"
    assert chosen_in(pod, image)["limits"]["cpu"] == "400m"


@pytest.mark.parametrize(
    ("installation", "own", "both"),
    [
        ("limits.memory=128Mi", "requests.memory=256Mi", "256Mi"),
        ("requests.memory=256Mi", "limits.memory=128Mi", "128Mi"),
    ],
)
def test_the_installations_side_follows_where_it_contradicts_the_sets(installation, own, both):
    pod = objects.article_pod()
    pod["metadata"]["annotations"]["pgset.dev/sidecar-resources"] = own
    image = dataclasses.replace(objects.IMAGE, resources=parse(installation))
    found = chosen_in(pod, image)
    assert found["requests"]["memory"] == found["limits"]["memory"] == both


@pytest.mark.parametrize(
    "text",
    [
        "cpu=1",
        "requests.cpu",
        "requests.gpu=1",
        "requests.cpu=-1",
        "requests.cpu=1 core",
        "limits.cpu=10m",
        "limits.memory=16Mi",
        "requests.memory=1Gi,limits.memory=512Mi",
    ],
)
def test_what_cannot_be_is_refused_at_the_statefulset(text):
    with pytest.raises(DeniedError) as denial:
        verdict_on(annotate(sidecar_resources=text))
    assert str(denial.value).startswith(
        f'annotation pgset.dev/sidecar-resources: "{text}" is not allowed; '
        'allowed: quantities such as "requests.cpu=50m,limits.memory=256Mi"'
    )


QUANTITIES = {"cpu": ["100m", "1", "0.25", "2000m"], "memory": ["96Mi", "128M", "1Gi", "200000k"]}
CHOICES = {key: st.sampled_from(QUANTITIES[key.split(".")[1]]) for key in KEYS if "-" not in key}


@given(
    st.lists(st.sampled_from([LIMITED, FIXED, {}, SMALL]), min_size=1, max_size=2),
    st.fixed_dictionaries({}, optional=CHOICES),
    st.fixed_dictionaries({}, optional=CHOICES),
)
def test_whatever_is_chosen_no_request_is_above_its_limit(others, installation, own):
    try:
        parse(_text(installation))
        parse(_text(own))
    except ValueError:
        return
    chosen = combined(installation, own)
    assert own.items() <= chosen.items()
    found = fitted(pod_of(*others), chosen)
    both = {f"{side}.{name}": it for side, named in found.items() for name, it in named.items()}
    assert parse(_text(both)) == both


def _text(chosen):
    return ",".join(f"{key}={quantity}" for key, quantity in chosen.items())
