"""The images of the local cluster: ours, a PostgreSQL to test with, CoreDNS and pause.

An image is kept as an archive in the cache, named by a key of everything that it is made
from: it is built anew when, and only when, one of these changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local import (
    buildah,
    node_config,
    packages,
    paths,
    postgresql,
    programs,
    virtual_environment,
)
from deploy.local.digest import key_of, key_of_files
from deploy.local.shell import run_long, say

PGSET = "docker.io/library/pgset:0.2.0"
POSTGRES = f"docker.io/library/postgres:{postgresql.DEFAULT}"
COREDNS = "localhost/pgset-coredns:1"

_LOCK = paths.CHECKOUT / "requirements.txt"
_DOCKERFILE = paths.CHECKOUT / "deploy/Dockerfile"
_OUR_SOURCES = ("certs", "cli", "deploy/__init__.py", "deploy/plugin.py", "sidecar", "webhook")
_POSTGRES_FOLDER = paths.HERE / "postgres-image"
_STAND_INS_FOLDER = paths.HERE / "stand-ins"

STAND_INS = {
    "alpine": "docker.io/postgis/postgis:15-3.5-alpine",
    "cloudnative-pg": "registry.example.com/cloudnative-pg/postgresql:15.20-minimal-bookworm",
    "crunchy": "docker.io/crunchydata/crunchy-postgres:ubi8-15.2-5.3.1",
    "percona": "docker.io/percona/percona-distribution-postgresql:15.20",
    "timescaledb-ha": "docker.io/timescale/timescaledb-ha:pg15",
}
"""What stands in for images of other families than the official one, by family."""

_PYTHON_BASE = buildah.Base("python-base", ("python3", "python3-venv"))
_VERSIONED_DATA = 18
"""From this version on the official image's PGDATA has the version in it."""
_POSTGRES_BASE = buildah.Base(
    "postgres-base",
    ("gosu", "libnss-wrapper", "postgresql-15", "postgresql-client-15", "xz-utils"),
    hooks=(
        # The official image's ids; Debian's package would take the next free ones.
        'echo postgres:x:999: >>"$1/etc/group"',
        'echo postgres:x:999:999::/var/lib/postgresql:/bin/bash >>"$1/etc/passwd"',
        'mkdir -p "$1/etc/postgresql-common"',
        'echo create_main_cluster=false >"$1/etc/postgresql-common/createcluster.conf"',
    ),
    # Just-in-time compilation is optional at run time, and half of the image.
    left_out=(
        "/usr/lib/postgresql/*/lib/bitcode/*",
        "/usr/lib/postgresql/*/lib/llvmjit*",
        "/usr/lib/*/libLLVM*",
        "/usr/lib/*/libz3*",
        "/usr/lib/llvm*",
    ),
)


@dataclass(frozen=True)
class Image:
    """One image: the key of its inputs, and how it is built once that key is new."""

    reference: str
    key: str
    prepare: Callable[[], buildah.Build]
    variant: str = ""
    """What its archive is told by from another's whose reference differs in the tag alone."""

    @property
    def short_name(self) -> str:
        """The name without registry and tag."""
        return self.reference.rpartition("/")[2].partition(":")[0] + self.variant

    def archive(self) -> Path:
        """The docker-archive in the cache, built now if there is none."""
        folder = paths.cache() / "images"
        wanted = folder / f"{self.short_name}-{self.key}.tar"
        if not wanted.is_file():
            say(f"building image {self.reference}")
            buildah.build(self.reference, self.prepare())
            buildah.save(self.reference, wanted)
        for other in folder.glob(f"{self.short_name}-*.tar"):
            if other != wanted and len(other.name) == len(wanted.name):
                other.unlink()
        return wanted


def all_images() -> tuple[Image, ...]:
    """Every image that the nodes hold from the beginning."""
    return (
        _program_image(node_config.PAUSE_IMAGE, programs.PAUSE),
        _program_image(COREDNS, programs.COREDNS),
        postgres_image(),
        _our_image(),
    )


def images_of_tests() -> tuple[Image, ...]:
    """What `make test` loads when a test asks for it, and builds before: a build takes minutes."""
    newer = (it for it in postgresql.SUITES if it != postgresql.DEFAULT)
    return (*map(postgres_image, newer), stand_in("crunchy"))


def stand_in(family: str) -> Image:
    """An image with the uid, the folders and the start script of such a family, on top of ours."""
    folder = _STAND_INS_FOLDER / family
    return Image(
        STAND_INS[family],
        key_of(key_of_files([folder], folder), postgres_image().key, repr(packages.BUSYBOX)),
        lambda: buildah.Build(
            folder / "Dockerfile",
            folder,
            {"BASE": _postgres_in_store()},
            {packages.unpack(packages.BUSYBOX) / "bin": "/busybox"},
        ),
    )


def archives() -> Mapping[str, Path]:
    """Reference → docker-archive of every image, built where need be."""
    return {image.reference: image.archive() for image in all_images()}


def _program_image(reference: str, module: programs.GoModule) -> Image:
    dockerfile = module.folder / "Dockerfile"
    return Image(
        reference,
        key_of(module.key, dockerfile.read_bytes()),
        lambda: buildah.Build(dockerfile, programs.build(module)),
    )


def postgres_image(version: str = postgresql.DEFAULT) -> Image:
    """PostgreSQL of that version; a newer one is built and loaded when a test asks for it."""
    dockerfile = _POSTGRES_FOLDER / "Dockerfile"
    base = _postgres_base(postgresql.check(version))
    arguments = {"VERSION": version}
    if int(version) >= _VERSIONED_DATA:
        arguments["VOLUME"] = "/var/lib/postgresql"
        arguments["PGDATA"] = f"/var/lib/postgresql/{version}/docker"
    return Image(
        f"{POSTGRES.rpartition(':')[0]}:{version}",
        key_of(key_of_files([_POSTGRES_FOLDER], _POSTGRES_FOLDER), repr(base), repr(arguments)),
        lambda: buildah.Build(dockerfile, _POSTGRES_FOLDER, {"BASE": _base(base), **arguments}),
        variant="" if version == postgresql.DEFAULT else version,
    )


def _postgres_base(version: str) -> buildah.Base:
    if version == postgresql.DEFAULT:
        return _POSTGRES_BASE
    names = (it.replace(postgresql.DEFAULT, version) for it in _POSTGRES_BASE.packages)
    return replace(
        _POSTGRES_BASE,
        name=f"postgres{version}-base",
        packages=tuple(names),
        suite=postgresql.SUITES[version],
    )


def _postgres_in_store() -> str:
    """Build the PostgreSQL image where only its archive is left; its layers are there otherwise."""
    buildah.build(POSTGRES, postgres_image().prepare())
    return POSTGRES


def _our_image() -> Image:
    sources = [paths.CHECKOUT / name for name in _OUR_SOURCES]
    key = key_of_files([_DOCKERFILE, _LOCK, *sources], paths.CHECKOUT)
    return Image(PGSET, key_of(key, repr(_PYTHON_BASE)), _our_build)


def _our_build() -> buildah.Build:
    return buildah.Build(
        _DOCKERFILE,
        paths.CHECKOUT,
        {"BASE": _base(_PYTHON_BASE), "PIP_ARGS": "--no-index --find-links=/wheels"},
        {_wheels(): "/wheels"},
    )


def _base(base: buildah.Base) -> str:
    """The reference of the base image, built now if there is none."""
    reference = f"localhost/pgset-{base.name}:{key_of(repr(base))}"
    if not buildah.has(reference):
        buildah.build_base(reference, base)
    return reference


def _wheels() -> Path:
    """The locked wheels, fetched outside of the build: inside, pip may reach no index."""
    target = paths.cache() / "wheels" / key_of(_LOCK.read_bytes())
    if not target.is_dir():
        pip = virtual_environment.project() / "bin/pip"
        partial = target.with_suffix(".partial")
        run_long(
            "pip download",
            [
                pip,
                "download",
                "--quiet",
                "--require-hashes",
                "--only-binary=:all:",
                "--python-version=3.11",
                f"--dest={partial}",
                "-r",
                _LOCK,
            ],
            paths.cache() / "build-logs/pip.log",
        )
        partial.rename(target)
    return target
