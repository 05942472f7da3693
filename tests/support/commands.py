"""The commands of the pages: those that a test runs as they stand there, and those only shown."""

import re
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md")])

RUN: Final = (
    "README.md",
    "docs/opt-in.md",
    "docs/install.md",
    "docs/alerts.md",
    "docs/troubleshooting.md",
    "docs/limits.md",
    "docs/operate.md",
    "CONTRIBUTING.md",
)
"""The pages whose commands are run, in an order in which somebody may come to them: the set of the
first ones is there until the end of docs/operate.md."""

_PROGRAMS: Final = "kubectl|helm|make|chmod|docker|python3|pip-compile"


def run_of(page: Path) -> list[str]:
    """Return the commands of a page's blocks that are marked `sh`: they are run."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.S | re.M)
    return [line for block in blocks for line in block.splitlines()]


def shown_of(page: Path) -> list[str]:
    """Return the commands of the blocks that are only indented, each in one line."""
    plain = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
    joined = re.sub(r" \\\n +", " ", plain)
    found = re.findall(rf"^    ((?:{_PROGRAMS}) .*)$", joined, re.M)
    return [re.sub(r" {2,}# .*", "", it) for it in found]


def commands() -> list[str]:
    """Return all that are run, in the order of RUN."""
    return [command for page in RUN for command in run_of(CHECKOUT / page)]


NOT_RUN: Final = {
    "make demo": "test_walk_through plays it step by step; as it stands there it is run below",
    "docker build -f deploy/Dockerfile -t pgset:0.2.0 .": (
        "there is no Docker engine here; deploy/local builds the same Dockerfile with buildah"
    ),
    "make test": "it runs this",
    "make check": "make test runs it first",
    "make simulate": "make test runs it before",
    "make chaos FAULT=pod-deleted ROUNDS=3": "each fault is a test of its own, in test_chaos",
    "make storm MINUTES=10 SEED=1": "test_storm plays a shorter one, with make test-all",
    "make adopt KIND=groundhog,exporter ROWS=100000": "each kind is a test, in test_adopt",
    "make promtool": "test_promtool is what it runs, with make test-all",
    "make kubeconform": "test_kubeconform is what it runs, with make test-all",
    "make bench-agent": "test_bench runs it for a shorter time",
    "make bench-admission": "tests/bench/test_admission.py runs it for a shorter time",
    "make bench-pods": "test_bench runs it with fewer pods",
    "make bench-hostile": "tests/bench/test_hostile.py runs it for a shorter time",
    "make bench-sets SETS=10": "test_bench runs it with one set",
    "make bench-scale SETS=100 PODS=1000": "tests/bench/test_scale.py runs it with fewer sets",
    "make cluster-up": "would be the cluster that this runs on; see tests/local_cluster",
    "make cluster-down": "likewise",
}
"""What of these is not run there, and why."""

LIKE_IT: Final = {
    "kubectl apply -k deploy/overlays/cert-manager": (
        "tests/deploy/test_cert_manager_renewal.py::"
        "test_a_renewed_certificate_comes_into_service_and_fails_no_admission"
    ),
    "helm install pgset deploy/chart/pgset --namespace pgset-system --create-namespace "
    "--set image.repository=REGISTRY/pgset": (
        "tests/deploy/test_helm_install.py::"
        "test_it_is_installed_well_upgraded_while_nothing_rolls_and_removed_without_a_trace"
    ),
    "helm test pgset --namespace pgset-system": (
        "tests/deploy/test_helm_install.py::"
        "test_it_is_installed_well_upgraded_while_nothing_rolls_and_removed_without_a_trace"
    ),
    "kubectl pgset inject -f orders.yaml --image REGISTRY/pgset:0.2.0 | "
    "kubectl apply -n shop -f -": (
        "tests/cluster/test_inject.py::test_it_gets_a_primary_and_another_one_when_that_is_deleted"
    ),
    "kubectl pgset failover orders --to orders-1 -n shop": (
        "tests/cluster/test_plugin.py::"
        "test_where_nobody_may_lead_a_failover_gives_up_what_only_the_last_primary_has"
    ),
    "kubectl -n shop annotate pod orders-1 --overwrite pgset.dev/failover=VERSION": (
        "tests/cli/test_failover.py::test_the_version_of_the_lease_that_was_looked_at_is_given"
    ),
    "kubectl -n pgset-system exec deployment/pgset-webhook -- "
    "cat /opt/pgset/kubectl-pgset > kubectl-pgset": (
        "tests/deploy/test_dockerfile.py::test_the_plugin_can_be_taken_from_it"
    ),
    "kubectl pgset completion > ~/bin/kubectl_complete-pgset": (
        "tests/cli/test_plugin.py::test_completion"
    ),
    "kubectl -n shop annotate statefulset orders pgset.dev/network-policy=true": (
        "tests/webhook/caretaker/test_policies.py::"
        "test_a_set_that_asks_gets_one_that_leaves_its_own_port_to_few"
    ),
    "kubectl label namespace monitoring pgset.dev/scrapes=true": (
        "tests/webhook/caretaker/test_policies.py::"
        "test_a_set_that_asks_gets_one_that_leaves_its_own_port_to_few"
    ),
    **dict.fromkeys(
        (
            "kubectl -n shop exec orders-0 -c postgres -- pg_dumpall -U postgres --roles-only | "
            "grep -v pgset_replication | "
            "kubectl -n shop exec -i orders18-0 -c postgres -- psql -U postgres -q",
            "kubectl -n shop exec orders-0 -c postgres -- pg_dump -U postgres --create shop | "
            "kubectl -n shop exec -i orders18-0 -c postgres -- psql -U postgres -q "
            "-v ON_ERROR_STOP=1",
        ),
        "tests/postgres/test_major_upgrade.py::"
        "test_roles_and_a_database_are_copied_and_the_one_error_is_told_before",
    ),
}
"""What is only shown, and the test of what it does."""

NEVER_RUN: Final = {
    "kubectl -n shop rollout restart statefulset orders": "chaos fault `rolled` is this",
    "kubectl -n shop rollout status statefulset orders": "it waits for the line before it",
    "kubectl -n shop set image statefulset/orders postgres=postgres:15.14": (
        "the local cluster has one image of each major version"
    ),
    "kubectl -n shop rollout status statefulset/orders": "it waits for the line before it",
    r"kubectl pgset psql orders -n shop -- -c '\password'": "it asks for a password",
    "kubectl -n shop edit secret orders": "it opens an editor",
    "kubectl -n shop delete pvc/data-orders-1 pod/orders-1 --wait=false": (
        "the local cluster's volumes are folders of its nodes, without claims"
    ),
    "chmod +x kubectl-pgset": "a file that no test leaves",
    "chmod +x ~/bin/kubectl_complete-pgset": "likewise",
    "make check": "make test runs it first",
    "python3 -m deploy.local in-venv pytest tests/sidecar/rules": "make check runs these, too",
    "python3 -m deploy.local in-venv python -m tests.simulator --replay 7": (
        "make simulate plays more"
    ),
    "pip-compile --generate-hashes --strip-extras --allow-unsafe --no-annotate --no-header "
    "--no-emit-index-url --no-emit-find-links --no-emit-trusted-host "
    "-o requirements.txt pyproject.toml": "it asks a registry",
}
"""What is only shown, and why no test does it."""
