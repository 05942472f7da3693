"""What comes from Debian: tools that are installed, and programs that are only unpacked.

containerd, etcd and PostgreSQL would be started as services of the host if they were
installed. They run from a folder of the cache instead, and the host's package list and
services stay as they were.
"""

import functools
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.local import paths
from deploy.local.digest import key_of
from deploy.local.errors import LocalClusterError
from deploy.local.shell import run, run_long, say

_TOOLS = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "sysctl": "procps",
}
_PYTHON_MODULES = {"ensurepip": "python3-venv"}
_APT_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class Unpacked:
    """Packages whose programs run from the cache, and the libraries they need installed."""

    name: str
    packages: tuple[str, ...]
    libraries: tuple[str, ...]


NODE_RUNTIME = Unpacked(
    "node-runtime",
    ("containerd", "containernetworking-plugins", "etcd-server", "runc"),
    ("libseccomp2",),
)
POSTGRESQL = Unpacked(
    "postgresql",
    ("postgresql-15", "postgresql-client-15"),
    (
        "libgssapi-krb5-2",
        "libicu72",
        "libldap-2.5-0",
        "liblz4-1",
        "libpam0g",
        "libpq5",
        "libssl3",
        "libsystemd0",
        "libxml2",
        "libxslt1.1",
        "libzstd1",
    ),
)
PATCHELF = Unpacked("patchelf", ("patchelf",), ("libstdc++6",))

SUITE = "bookworm"
"""The one of the host's own sources."""

MMDEBSTRAP = ("unshare", "--mount", "mmdebstrap")
"""In a mount namespace of its own. It mounts /proc in the root that it makes: nobody else looks in
there, which would keep it from being unmounted, and nothing stays mounted if it is killed."""

NEWER_SUITE = ("--aptopt=Acquire::Check-Valid-Until false",)
"""For mmdebstrap: a mirror may keep the index of a suite that changes daily for longer than that
index says that it is valid."""

BUSYBOX = Unpacked("busybox", ("busybox-static",), ())
"""What Alpine's images have in place of GNU's programs."""


def install_tools() -> None:
    """Install the command-line tools that are missing on this host."""
    missing = {package for program, package in _TOOLS.items() if not _has_program(program)}
    missing |= {
        package
        for module, package in _PYTHON_MODULES.items()
        if importlib.util.find_spec(module) is None
    }
    _install(missing)


def unpack(wanted: Unpacked) -> Path:
    """The folder under which the packages' files are, fetched and unpacked if need be."""
    _install({library for library in wanted.libraries if not _is_installed(library)})
    target = paths.cache() / "debian" / f"{wanted.name}-{key_of(*wanted.packages)}"
    if not target.is_dir():
        _fetch_and_unpack(wanted, target)
    return target


def node_programs() -> Path:
    """The folder of containerd, its shim, runc and etcd."""
    folder = unpack(NODE_RUNTIME)
    return folder / "usr/bin"


def network_plugins() -> Path:
    """The folder of the CNI plugins."""
    return unpack(NODE_RUNTIME) / "usr/lib/cni"


def mirrors() -> list[str]:
    """The host's own sources of Debian packages, as lines for a sources.list."""
    _update_lists()
    fields = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    filters = ["Created-By: Packages", "Origin: Debian"]
    lines = run(["apt-get", "indextargets", "--format", fields, *filters]).splitlines()
    if not lines:
        raise LocalClusterError(
            "apt on this host has no source of Debian packages: add one to "
            "/etc/apt/sources.list, then try again"
        )
    return list(dict.fromkeys(lines))


def mirrors_of(suite: str) -> list[str]:
    """The same for a suite of Debian that need not be among the host's sources."""
    if suite == SUITE:
        return mirrors()
    lines = set()
    for line in mirrors():
        kind, uri, release, component = line.split()
        # Updates and security fixes are in suites of their own, with a hyphen, and elsewhere.
        if "-" not in release:
            lines.add(f"{kind} {uri} {suite} {component}")
    return sorted(lines)


def _fetch_and_unpack(wanted: Unpacked, target: Path) -> None:
    say(f"fetching Debian's {', '.join(wanted.packages)}")
    _update_lists()
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    archives = partial / "archives"
    archives.mkdir(parents=True)
    run_long(
        "apt-get download",
        # Not as user _apt: that one can't write to root's cache.
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", *wanted.packages],
        paths.cache() / "build-logs/apt.log",
        cwd=archives,
        env=_APT_QUIET,
    )
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", archive, partial])
    shutil.rmtree(archives)
    partial.rename(target)


def _install(missing: set[str]) -> None:
    if not missing:
        return
    names = sorted(missing)
    say(f"installing Debian's {', '.join(names)}")
    _update_lists()
    run_long(
        "apt-get install",
        ["apt-get", "install", "--yes", "--no-install-recommends", *names],
        paths.cache() / "build-logs/apt.log",
        env=_APT_QUIET,
    )


@functools.cache
def _update_lists() -> None:
    if not _has_program("apt-get"):
        raise LocalClusterError(
            "there is no apt-get: the local cluster takes its programs from Debian packages, "
            "so run it on Debian 12 or newer"
        )
    run_long("apt-get update", ["apt-get", "update"], paths.cache() / "build-logs/apt.log")


def _has_program(name: str) -> bool:
    return shutil.which(name) is not None


def _is_installed(package: str) -> bool:
    status = run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], check=False)
    return status == "installed"
