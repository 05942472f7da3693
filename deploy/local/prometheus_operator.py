"""The Prometheus operator's custom resource definitions, from its Go module; nothing is built."""

import shutil
from pathlib import Path

from deploy.local import paths, toolchain
from deploy.local.digest import key_of, key_of_files
from deploy.local.shell import say

_MODULE = "github.com/prometheus-operator/prometheus-operator"
_FOLDER = paths.HERE / "prometheus-operator"
_RESOURCES = ("podmonitors", "prometheusrules", "servicemonitors")


def definitions() -> Path:
    """The folder of their manifests, fetched now if the cache has none."""
    key = key_of(key_of_files([_FOLDER], _FOLDER), *_RESOURCES)
    target = paths.cache() / "definitions" / f"{_FOLDER.name}-{key}"
    if not target.is_dir():
        _fetch(target)
    return target


def _fetch(target: Path) -> None:
    say("fetching the Prometheus operator's custom resource definitions")
    source = toolchain.sources(_FOLDER, _MODULE) / "example/prometheus-operator-crd"
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for resource in _RESOURCES:
        shutil.copyfile(
            source / f"monitoring.coreos.com_{resource}.yaml", partial / f"{resource}.yaml"
        )
    partial.rename(target)
