"""What a sidecar's token may do, and what not: its role and the admission policies.

The tokens are bound to pods, as the kubelet's are; the pods are objects that nobody schedules.
"""

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import cluster
from sidecar import contract
from sidecar.action import Attention, SetRole, TakeLease
from sidecar.kube.client import ApiClient, ForbiddenError, Json
from sidecar.kube.events import Events
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.pods import Pods
from sidecar.observation import Identity
from sidecar.settings import Settings
from tests.deploy.cluster_tools import SYSTEM, Kubectl, RefusedError, wait_until
from tests.deploy.manifests import DEPLOY, cluster_role
from tests.support.clock import Clock
from tests.support.patient_client import PatientClient

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="kube")]

HOME, ABROAD = "test-rights", "test-rights-abroad"
SIDECAR, CONTROLLER, ADMIN, UNMARKED = "pgset-sa", "controller", "admin", "unmarked"
CLUSTER_ADMIN = "clusterrole=cluster-admin"
TAKES_EFFECT_WITHIN = 180.0

ARTICLE = {contract.ROLE_LABEL: "name", contract.PRIMARY_VALUE: "pgset-primary"}
STAMPS: dict[str, dict[str, str]] = {
    "shop-0": {},
    "shop-1": {"note": "a user's own"},
    "shop-1-0": {},
    "article-0": ARTICLE,
}
"""Members of three sets, with what the webhook would have stamped on them."""


@dataclass(frozen=True)
class Site:
    """One namespace with a grant, and clients that ask as somebody in it."""

    namespace: str
    address: str
    folder: Path

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.namespace)

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    @property
    def leases(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    def pod(self, name: str) -> Identity:
        return Identity(name, self.kubectl.json("get", "pod", name)["metadata"]["uid"])

    def client(self, account: str, pod: str | None = None) -> ApiClient:
        """Ask as this service account, by a token that is bound to the pod where one is named."""
        bound = ()
        if pod is not None:
            bound = (
                "--bound-object-kind=Pod",
                f"--bound-object-name={pod}",
                f"--bound-object-uid={self.pod(pod).uid}",
            )
        file = self.folder / f"{self.namespace}-{account}-{pod}"
        file.write_text(self.kubectl("create", "token", account, *bound))
        return PatientClient(self.address, self.folder / "ca.crt", file)

    def make_pod(self, name: str, account: str = SIDECAR, **annotations: str) -> None:
        """Mark it only afterwards, so that the webhook takes no part."""
        spec = {
            "schedulerName": "nobody",
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "containers": [{"name": "db", "image": "postgres"}],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.kubectl("create", "-f", "-", manifest=pod)
        set_name = name.rpartition("-")[0]
        marks = {"labels": {contract.SET_LABEL: set_name}, "annotations": annotations}
        self.kubectl("patch", "pod", name, f"--patch={json.dumps({'metadata': marks})}")


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    cluster.up()
    system = Kubectl(SYSTEM)
    system("apply", "-k", str(DEPLOY))
    folder = tmp_path_factory.mktemp("rights")
    config = system.json("config", "view", "--raw")["clusters"][0]["cluster"]
    (folder / "ca.crt").write_bytes(base64.b64decode(config["certificate-authority-data"]))
    sites = [Site(namespace, config["server"], folder) for namespace in (HOME, ABROAD)]
    try:
        for site in sites:
            system("create", "namespace", site.namespace)
            for account in (SIDECAR, CONTROLLER, ADMIN, UNMARKED):
                site.kubectl("create", "serviceaccount", account)
            verbs, resources = "--verb=create,patch", "--resource=pods,leases.coordination.k8s.io"
            site.kubectl("create", "role", CONTROLLER, verbs, resources)
            rules = [
                it
                for it in cluster_role("pgset-sidecar")["rules"]
                if "pods" in it["resources"] or "leases" in it["resources"]
            ]
            unmarked = {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": UNMARKED},
                "rules": rules,
            }
            site.kubectl("create", "-f", "-", manifest=unmarked)
            for account, role in (
                (CONTROLLER, "role=controller"),
                (ADMIN, CLUSTER_ADMIN),
                (UNMARKED, "role=unmarked"),
            ):
                subject = f"--serviceaccount={site.namespace}:{account}"
                site.kubectl("create", "rolebinding", account, f"--{role}", subject)
        yield sites
    finally:
        for site in sites:
            system("delete", "namespace", site.namespace, "--ignore-not-found")


@pytest.fixture(scope="module")
def home(sites):
    """A namespace as deploy/grant makes it."""
    site = sites[0]
    site.kubectl("apply", "-k", str(DEPLOY / "grant"))
    for name, stamp in STAMPS.items():
        site.make_pod(name, **stamp)
    site.make_pod("backup")
    site.make_pod("controller-0", CONTROLLER)
    site.make_pod("admin-0", ADMIN)
    site.make_pod("unmarked-0", UNMARKED)
    site.kubectl("create", "secret", "generic", "password")
    site.kubectl("create", "-f", "-", manifest=lease("somebodys"))
    sidecar = site.client(SIDECAR, "shop-0")
    wait_until(lambda: policies_judge(site, sidecar), TAKES_EFFECT_WITHIN)
    for account in (UNMARKED, CONTROLLER, ADMIN):
        other = site.client(account, f"{account}-0")
        wait_until(lambda other=other: not refusals(site, other), TAKES_EFFECT_WITHIN)
    return site


def policies_judge(site: Site, sidecar: ApiClient) -> bool:
    """Ask for something forbidden of each until both are in effect, and the grant as well."""
    said = refusals(site, sidecar)
    return len(said) == 2 and all("'pgset-sidecar-" in it for it in said)


def refusals(site: Site, client: ApiClient) -> list[str]:
    """What is said to somebody who tries what no sidecar may, on a pod and on a Lease."""
    said = []
    for attempt in (labelled("shop-1-0", "shop"), created("pgset-nobodys")):
        try:
            attempt(client, site)
        except ForbiddenError as refusal:
            said.append(str(refusal))
    return said


@pytest.fixture(scope="module")
def sidecar(home):
    """The token of shop-0's sidecar."""
    return home.client(SIDECAR, "shop-0")


# ── What is tried, as a dry run ───────────────────────────────────────────────────────────

Attempt = Callable[[ApiClient, Site], object]


def lease(name: str) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"holderIdentity": "somebody"},
    }


def changed(pod: str, **patch: object) -> Attempt:
    return lambda client, site: client.merge(f"{site.pods}/{pod}?dryRun=All", patch)


def labelled(pod: str, value: str | None, key: str = contract.DEFAULT_ROLE_LABEL) -> Attempt:
    return changed(pod, metadata={"labels": {key: value}})


def annotated(pod: str, key: str, value: str | None = "word") -> Attempt:
    return changed(pod, metadata={"annotations": {key: value}})


def created(name: str) -> Attempt:
    return lambda client, site: client.create(f"{site.leases}?dryRun=All", lease(name))


def overwritten(name: str) -> Attempt:
    def attempt(client: ApiClient, site: Site) -> object:
        path = f"{site.leases}/{name}"
        return client.replace(f"{path}?dryRun=All", client.get(path))

    return attempt


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}

REFUSED_BY_POLICY: list[tuple[str, Attempt, str]] = [
    ("role of another set's pod", labelled("shop-1-0", "primary"), 'change pod "shop-1-0"'),
    ("role of a pod of no set", labelled("backup", "primary"), 'change pod "backup"'),
    ("another label", labelled("shop-1", "x", "app"), "allowed: label pgset.dev/role"),
    ("another label of its own", labelled("shop-0", "x", "app"), "allowed: label pgset.dev/role"),
    ("into another set", labelled("shop-0", "other", contract.SET_LABEL), "the labels of pod"),
    ("out of its set", labelled("shop-1", None, contract.SET_LABEL), "the labels of pod"),
    ("a role that is none", labelled("shop-1", "leader"), 'allowed: "primary", "replica", or no'),
    ("another's status", annotated("shop-1", contract.STATUS), "on its own pod"),
    ("another annotation", annotated("shop-0", "note"), "allowed: pgset.dev/status"),
    ("an annotation's removal", annotated("shop-1", "note", None), "allowed: pgset.dev/status"),
    ("the role label's key", annotated("shop-0", contract.ROLE_LABEL, "app"), "the annotations"),
    ("a deadline", changed("shop-0", spec={"activeDeadlineSeconds": 1}), "may not change spec"),
    (
        "an image",
        changed("shop-1", spec={"containers": [{"name": "db", "image": "evil"}]}),
        "may not change spec",
    ),
    ("a finalizer", changed("shop-0", metadata={"finalizers": ["x.y/z"]}), "finalizers or"),
    ("an owner", changed("shop-0", metadata={"ownerReferences": [OWNER]}), "ownerReferences of"),
    ("another set's new Lease", created("pgset-shop-1"), "allowed: Lease pgset-shop"),
    ("a Lease by another name", created("shop"), "allowed: Lease pgset-shop"),
    ("somebody's Lease", overwritten("somebodys"), "allowed: Lease pgset-shop"),
]


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [row[1:] for row in REFUSED_BY_POLICY],
    ids=[row[0] for row in REFUSED_BY_POLICY],
)
def test_a_policy_refuses_what_the_role_alone_would_allow(home, sidecar, attempt, sentence):
    with pytest.raises(ForbiddenError, match="'pgset-sidecar-") as refusal:
        attempt(sidecar, home)
    assert sentence in str(refusal.value)
    # The role alone would: without the policies' mark it is not judged.
    attempt(home.client(UNMARKED, "unmarked-0"), home)


@pytest.fixture(scope="module")
def stolen(home, tmp_path_factory):
    """Clients with the sidecars' service account whose tokens are bound to no pod."""
    kept = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "kept",
            "annotations": {"kubernetes.io/service-account.name": SIDECAR},
        },
    }
    home.kubectl("create", "-f", "-", manifest=kept)

    def token() -> str:
        return home.kubectl.json("get", "secret", "kept").get("data", {}).get("token", "")

    wait_until(lambda: bool(token()), TAKES_EFFECT_WITHIN)
    file = tmp_path_factory.mktemp("stolen") / "token"
    file.write_bytes(base64.b64decode(token()))
    return {
        "made for nobody": home.client(SIDECAR),
        "kept in a Secret": PatientClient(home.address, home.folder / "ca.crt", file),
    }


@pytest.mark.parametrize("kind", ["made for nobody", "kept in a Secret"])
@pytest.mark.parametrize(
    "attempt",
    [
        changed("backup", spec={"containers": [{"name": "db", "image": "evil"}]}),
        labelled("shop-1", "primary"),
        annotated("shop-0", contract.STATUS),
        lambda client, site: client.delete(f"{site.pods}/shop-1", site.pod("shop-1").uid),
        created("pgset-shop"),
        overwritten("somebodys"),
    ],
    ids=["an image", "a role", "a status", "a deletion", "a Lease", "a Lease of somebody"],
)
def test_a_token_that_is_bound_to_no_pod_writes_nothing(home, stolen, kind, attempt):
    with pytest.raises(ForbiddenError, match=r"'pgset-sidecar-.* is bound to no pod"):
        attempt(stolen[kind], home)


def test_it_deletes_no_pod_but_its_own(home, sidecar):
    with pytest.raises(ForbiddenError, match=r"'pgset-sidecar-pods'.*allowed: its own pod"):
        adapter(home, sidecar).delete(home.pod("shop-1"))


REFUSED_BY_ROLE: dict[str, Attempt] = {
    "to read a secret": lambda client, _: client.get(f"/api/v1/namespaces/{HOME}/secrets/password"),
    "to list secrets": lambda client, _: client.get(f"/api/v1/namespaces/{HOME}/secrets"),
    "to run a command": lambda client, site: client.create(
        f"{site.pods}/shop-1/exec?command=id&stdout=true", {}
    ),
    "to run a container": lambda client, site: client.merge(
        f"{site.pods}/shop-0/ephemeralcontainers", {}
    ),
    "to evict": lambda client, site: client.create(f"{site.pods}/shop-0/eviction", {}),
    "to make a pod": lambda client, site: client.create(site.pods, {}),
    "to delete its Lease": lambda client, site: client.delete(f"{site.leases}/pgset-shop", ""),
    "to change its StatefulSet": lambda client, _: client.merge(
        f"/apis/apps/v1/namespaces/{HOME}/statefulsets/shop", {}
    ),
    "to make itself a token": lambda client, _: client.create(
        f"/api/v1/namespaces/{HOME}/serviceaccounts/{SIDECAR}/token", {}
    ),
    "to see another namespace": lambda client, _: client.get(f"/api/v1/namespaces/{SYSTEM}/pods"),
}


@pytest.mark.parametrize("attempt", REFUSED_BY_ROLE.values(), ids=REFUSED_BY_ROLE)
def test_the_role_does_not_go_as_far_as(home, sidecar, attempt):
    with pytest.raises(ForbiddenError, match=f'User "system:serviceaccount:{HOME}:{SIDECAR}"'):
        attempt(sidecar, home)


# ── What a sidecar does, by its own adapters ──────────────────────────────────────────────


def adapter(home: Site, client: ApiClient, **settings: str) -> Pods:
    return Pods(
        client,
        home.namespace,
        Settings(**({"set_name": "shop"} | settings)),
        clock=Clock(),
        on_change=lambda: None,
    )


@pytest.mark.parametrize("pod", ["shop-0", "shop-1"])
@pytest.mark.parametrize("value", ["primary", "replica", None])
def test_it_gives_any_pod_of_its_set_a_role(home, sidecar, pod, value):
    member = home.pod(pod)
    adapter(home, sidecar).set_role(SetRole(member.name, member.uid, value))
    labels = home.kubectl.json("get", "pod", pod)["metadata"]["labels"]
    assert labels.get(contract.DEFAULT_ROLE_LABEL) == value


def test_the_role_has_the_names_that_the_pod_is_stamped_with(home):
    article = home.client(SIDECAR, "article-0")
    member = home.pod("article-0")
    pods = adapter(home, article, set_name="article", role_label="name")
    pods.set_role(SetRole(member.name, member.uid, "pgset-primary"))
    pods.set_role(SetRole(member.name, member.uid, "replica"))
    with pytest.raises(ForbiddenError, match='allowed: "pgset-primary", "replica"'):
        pods.set_role(SetRole(member.name, member.uid, "primary"))
    with pytest.raises(ForbiddenError, match="allowed: label name"):
        labelled("article-0", "primary")(article, home)


def test_it_tells_its_own_status_again_and_again(home, sidecar):
    for sentence in ("It follows.", "It leads."):
        adapter(home, sidecar).tell(home.pod("shop-0"), sentence)
        notes = home.kubectl.json("get", "pod", "shop-0")["metadata"]["annotations"]
        assert notes[contract.STATUS] == sentence


def test_it_takes_and_renews_its_own_sets_lease(home, sidecar):
    keeper = LeaseKeeper(
        *(sidecar, HOME, Settings(set_name="shop"), home.pod("shop-0")),
        clock=Clock(),
        on_change=lambda: None,
    )
    keeper.take(TakeLease(expired=False))
    overwritten("pgset-shop")(sidecar, home)


def test_it_records_events(home, sidecar):
    events = Events(sidecar, HOME, home.pod("shop-0"))
    events.record("Promoted", "It leads.", Attention.NORMAL)


def test_it_deletes_its_own_pod(home):
    home.make_pod("short-0")
    me = home.pod("short-0")
    adapter(home, home.client(SIDECAR, "short-0"), set_name="short").delete(me)
    assert not home.kubectl("get", "pod", "short-0", "--ignore-not-found")


# ── Who is judged ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "attempt",
    [labelled("shop-0", "x", "app"), created("anything")],
    ids=["label", "Lease"],
)
@pytest.mark.parametrize("account", [CONTROLLER, ADMIN])
def test_a_controller_of_the_users_is_not(home, account, attempt):
    attempt(home.client(account, f"{account}-0"), home)


def test_who_runs_as_the_sidecars_account_but_not_in_a_set_is_and_may_nothing(home):
    backup = home.client(SIDECAR, "backup")
    for attempt in (
        labelled("shop-0", "primary"),
        labelled("backup", "x"),
        created("pgset-backup"),
    ):
        with pytest.raises(ForbiddenError, match="'pgset-sidecar-"):
            attempt(backup, home)


def test_the_admin_of_a_namespace_may_give_the_grant_and_no_other_right(home):
    """Which Kubernetes' own controller copies into ClusterRole admin."""
    home.kubectl("create", "rolebinding", "person", "--clusterrole=admin", "--user=person")

    def grant(role: str) -> None:
        words = ("create", "rolebinding", "given", "--as=person", "--dry-run=server")
        home.kubectl(*words, f"--clusterrole={role}", f"--serviceaccount={HOME}:{CONTROLLER}")

    def is_granted() -> bool:
        with contextlib.suppress(RefusedError):
            grant("pgset-sidecar")
            return True
        return False

    wait_until(is_granted, TAKES_EFFECT_WITHIN)
    with pytest.raises(RefusedError, match="attempting to grant RBAC permissions not currently"):
        grant("cluster-admin")


def test_a_grant_that_was_given_by_hand_is_kept_to_the_same(home, sites):
    """To a group, and across namespaces: there a sidecar has no set."""
    abroad = sites[1]
    abroad.make_pod("shop-0")
    role, subject = "--clusterrole=pgset-sidecar", "--group=system:serviceaccounts"
    abroad.kubectl("create", "rolebinding", "by-hand", role, subject)
    own, foreign = abroad.client(SIDECAR, "shop-0"), home.client(SIDECAR, "shop-0")

    def is_kept() -> bool:
        try:
            labelled("shop-0", "x", "app")(own, abroad)
        except ForbiddenError as refusal:
            # And not for want of the grant, which takes effect a moment later, too.
            return "'pgset-sidecar-" in str(refusal)
        return False

    wait_until(is_kept, TAKES_EFFECT_WITHIN)
    labelled("shop-0", "primary")(own, abroad)
    with pytest.raises(ForbiddenError, match="'pgset-sidecar-pods'"):
        labelled("shop-0", "primary")(foreign, abroad)


@pytest.mark.parametrize("policy", ["pgset-sidecar-pods", "pgset-sidecar-leases"])
@pytest.mark.usefixtures("home")
def test_the_api_servers_type_checker_finds_nothing(policy):
    def status() -> Json:
        answer = Kubectl(SYSTEM).json("get", "validatingadmissionpolicy", policy)
        found: Json = answer.get("status", {})
        return found

    wait_until(lambda: "typeChecking" in status(), TAKES_EFFECT_WITHIN)
    assert status()["typeChecking"] == {}
