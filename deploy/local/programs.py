"""The programs that are built by Go from their own modules: Kubernetes, Helm, promtool and others.

Each module is a folder, here if not said otherwise, with a go.mod and go.sum that fix every
dependency. What was built is kept in the cache under a key of these files and of the flags.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.local import locks, paths, toolchain
from deploy.local.digest import key_of, key_of_files
from deploy.local.errors import LocalClusterError
from deploy.local.shell import run_long, say

_GIB = 1024**3
_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True)
class GoModule:
    """One folder with a go.mod, and what is built from it."""

    name: str
    packages: tuple[str, ...]
    link_flags: tuple[str, ...] = ("-s", "-w")
    free_gib: int = 1
    parent: Path = paths.HERE
    tags: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The module's folder in the checkout."""
        return self.parent / self.name

    @property
    def key(self) -> str:
        """Changes with whatever changes the binaries."""
        sources = [it for it in self.folder.rglob("*") if it.suffix in {".go", ".mod", ".sum"}]
        return key_of(
            key_of_files(sources, self.folder), *self.packages, *self.link_flags, *self.tags
        )


NEWEST_KUBERNETES = "1.36"

KUBERNETES_RELEASES = {NEWEST_KUBERNETES: "1.36.3", "1.33": "1.33.13", "1.30": "1.30.14"}
"""What may be chosen by `KUBERNETES` in the environment, and the release that its module has."""


def kubernetes_version() -> str:
    """The Kubernetes that is meant, such as "1.33". Raises LocalClusterError if there is none."""
    chosen = os.environ.get("KUBERNETES") or NEWEST_KUBERNETES
    if chosen not in KUBERNETES_RELEASES:
        known = ", ".join(KUBERNETES_RELEASES)
        raise LocalClusterError(f"KUBERNETES={chosen} is not known here; allowed: {known}")
    return chosen


def kubernetes_module(version: str) -> GoModule:
    """The module of one Kubernetes."""
    major, minor = version.split(".")
    return GoModule(
        "kubernetes" if version == NEWEST_KUBERNETES else f"kubernetes-{version}",
        tuple(
            f"k8s.io/kubernetes/cmd/{program}"
            for program in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            )
        ),
        (
            "-s",
            "-w",
            # Without these the API server says that it is v0.0.0.
            f"-X {_VERSION_PACKAGE}.gitVersion=v{KUBERNETES_RELEASES[version]}",
            f"-X {_VERSION_PACKAGE}.gitMajor={major}",
            f"-X {_VERSION_PACKAGE}.gitMinor={minor}",
        ),
        free_gib=8,
    )


COREDNS = GoModule("coredns", ("github.com/coredns/coredns",), free_gib=2)
PAUSE = GoModule("pause", (".",))
HELM = GoModule(
    "helm",
    ("helm.sh/helm/v3/cmd/helm",),
    (
        "-s",
        "-w",
        "-X helm.sh/helm/v3/internal/version.version=v3.22.0",
        # Without these `helm template` takes the cluster to be a Kubernetes 1.20.
        "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
        "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36",
    ),
    free_gib=2,
)
KUBECONFORM = GoModule("kubeconform", ("github.com/yannh/kubeconform/cmd/kubeconform",))
PROMTOOL = GoModule(
    "promtool",
    ("github.com/prometheus/prometheus/cmd/promtool",),
    free_gib=3,
    # Rules need no client of each cloud, which is a third of what there is to build.
    tags=("remove_all_sd",),
)


def build(module: GoModule) -> Path:
    """The folder of the module's binaries, built now if the cache has none."""
    target = paths.cache() / "programs" / f"{module.name}-{module.key}"
    if not target.is_dir():
        with locks.alone(target.name):
            if not target.is_dir():  # by now, by somebody else
                _build(module, target)
    return target


def kubernetes() -> Path:
    """The folder of the Kubernetes programs."""
    return build(kubernetes_module(kubernetes_version()))


def openapi() -> Path:
    """What Kubernetes' sources say of its API, as the API server does: OpenAPI 2, as JSON."""
    module = kubernetes_module(kubernetes_version())
    sources = toolchain.sources(module.folder, "k8s.io/kubernetes")
    return sources / "api/openapi-spec/swagger.json"


def _build(module: GoModule, target: Path) -> None:
    began = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    for folder in (target.parent, Path.home()):  # Go's own caches are in the latter
        _check_disk(folder, module)
    say(f"building {module.name} from its Go module (once; then it is in the cache)")
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    run_long(
        f"go build {module.name}",
        [
            toolchain.go(),
            "build",
            "-v",
            f"-tags={','.join(module.tags)}",
            "-ldflags",
            " ".join(module.link_flags),
            "-o",
            f"{partial}/",
            *module.packages,
        ],
        paths.cache() / f"build-logs/{module.name}.log",
        cwd=module.folder,
        env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
    )
    partial.rename(target)
    say(f"built {module.name} in {time.monotonic() - began:.0f} s")


def _check_disk(folder: Path, module: GoModule) -> None:
    free = shutil.disk_usage(folder).free // _GIB
    if free < module.free_gib:
        raise LocalClusterError(
            f"building {module.name} needs {module.free_gib} GiB of disk and {folder} has "
            f"{free} GiB: make room, or set PGSET_CACHE and HOME to folders on a larger disk"
        )
