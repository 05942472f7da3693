"""The sidecar's adapters to Kubernetes against a real API server, with a sidecar's own rights.

No PostgreSQL and no kubelet takes part: the pods here are objects that nobody schedules. Each
module has a namespace of its own, and each test a name of its own in it.
"""

from collections.abc import Iterator

import pytest

from deploy.demo.play import local_cluster
from tests.cluster.kube_adapters.member import Detour, Member
from tests.cluster.kube_adapters.site import PERSON, Line, Site

_numbers = iter(range(1000))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Not on the demo's stage, which would be swept under whoever plays there."""
    stage = local_cluster(tmp_path_factory.mktemp("stage"))
    site = Site(stage, tmp_path_factory.mktemp("site"))
    try:
        site.set_up()
        yield site
    finally:
        site.clear()


@pytest.fixture
def line(site: Site) -> Line:
    return site.line()


@pytest.fixture(scope="module")
def person(site: Site) -> Line:
    return site.line(PERSON)


@pytest.fixture
def name() -> str:
    """Of an object, or of a set, that no other test knows."""
    return f"set{next(_numbers)}"


@pytest.fixture
def members(site: Site, name: str) -> tuple[Member, Member]:
    return Member(site, name, 0), Member(site, name, 1)


@pytest.fixture
def detour(site: Site) -> Iterator[Detour]:
    host, _, port = site.address.removeprefix("https://").rpartition(":")
    detour = Detour((host, int(port)))
    yield detour
    detour.close()
