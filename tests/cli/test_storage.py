"""Volumes that are full grow once."""

import json
import shlex

import pytest

from tests.cli.objects import causes, event, pod, said, with_replica

FULL = said("FollowingProblem", "/data takes no writes: No space left on device")


def claim(name: str = "data-orders-1", asked: str = "5Gi", has: str = "5Gi"):
    return {
        "metadata": {"name": name},
        "spec": {"resources": {"requests": {"storage": asked}}},
        "status": {"capacity": {"storage": has}},
    }


def on_volumes(*, ready: bool = False, pgdata: str = "", **paths: str):
    replica = pod(1, "replica", ready=ready)
    spec = replica["spec"]
    spec["volumes"] = [
        {"name": name, "persistentVolumeClaim": {"claimName": f"{name}-orders-1"}} for name in paths
    ]
    mounts = [{"name": name, "mountPath": path} for name, path in paths.items()]
    spec["containers"][0]["volumeMounts"] = mounts
    if pgdata:
        spec["containers"][0]["env"] = [{"name": "PGDATA", "value": pgdata}]
    return replica


def patched(replica, *more, claims) -> dict[str, str]:
    words = [shlex.split(it.command) for it in causes(*with_replica(replica, *more), claims=claims)]
    return {
        it[it.index("pvc") + 1]: json.loads(it[-1])["spec"]["resources"]["requests"]["storage"]
        for it in words
        if "pvc" in it
    }


def test_a_full_volume_grows() -> None:
    assert patched(on_volumes(data="/data"), FULL, claims=[claim()]) == {"data-orders-1": "10Gi"}


@pytest.mark.parametrize("has", ["5Gi", "", "x"])
def test_one_that_grows_already_does_not_double_again(has) -> None:
    assert patched(on_volumes(data="/data"), FULL, claims=[claim(asked="10Gi", has=has)]) == {}


def test_one_that_has_grown_since_does_not_double_again() -> None:
    grown = event("Pod", "orders-1", "FileSystemResizeSuccessful", component="kubelet")
    assert patched(on_volumes(data="/data"), FULL, grown, claims=[claim()]) == {}


def test_what_a_member_that_is_well_said_long_ago_has_passed() -> None:
    old = FULL | {"lastTimestamp": "2026-11-29T11:50:00Z"}
    well = on_volumes(ready=True, data="/data")
    assert patched(well, old, claims=[claim()]) == {}
    assert patched(well, FULL, claims=[claim()]) == {"data-orders-1": "10Gi"}
    assert patched(on_volumes(data="/data"), old, claims=[claim()]) == {"data-orders-1": "10Gi"}


def test_one_that_takes_writes_again_does_not_grow() -> None:
    over = event("Pod", "orders-1", "ProblemOver", f"this is over: {FULL['message']}")
    over |= {"type": "Normal", "lastTimestamp": "2026-11-29T12:00:10Z"}
    assert patched(on_volumes(data="/data"), FULL, over, claims=[claim()]) == {}


def test_only_the_volume_of_the_data_directory_grows() -> None:
    both = [claim(), claim("backup-orders-1")]
    two = {"data": "/data", "backup": "/backup"}
    assert patched(on_volumes(pgdata="/data/pg", **two), FULL, claims=both) == {
        "data-orders-1": "10Gi"
    }
    assert patched(on_volumes(**two), FULL, claims=both) == {}, "which one is not known"
