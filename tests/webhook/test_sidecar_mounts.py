"""Which of the database container's mounts the sidecar has."""

import pytest

from tests.webhook import objects
from tests.webhook.test_injection import bootstrap_of, sidecar_of


def mounted(path):
    pod = objects.article_pod()
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "more", "mountPath": path})
    return [
        {it["mountPath"] for it in of(pod)["volumeMounts"]} for of in (sidecar_of, bootstrap_of)
    ]


@pytest.mark.parametrize(
    "path", ["/opt", "/opt/pgset/bin", "/usr/local", "/usr/local/lib/", "/usr/lib", "/lib64"]
)
def test_what_would_hide_the_sidecars_own_programs_is_not_mounted_there(path):
    """A volume with an extension for PostgreSQL, say."""
    of_sidecar, of_bootstrap = mounted(path)
    assert path not in of_sidecar
    assert path in of_bootstrap


@pytest.mark.parametrize("path", ["/opt/ext", "/usr/local/lib/postgresql", "/usr/lib/postgresql"])
def test_everything_else_is(path):
    assert all(path in it for it in mounted(path))
