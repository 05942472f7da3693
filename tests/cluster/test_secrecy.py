"""A superuser of the database does not get the sidecar's API rights."""

import pytest

from deploy.demo.stage import NAMESPACE, Stage
from deploy.demo.steps import create_the_set, install

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="demo")]

TOKEN = "run/secrets/kubernetes.io/serviceaccount/token"


def test_a_program_run_by_postgresql_reads_neither_token_nor_environment_of_the_sidecar(
    stage: Stage,
) -> None:
    """The two share a uid and a process namespace; COPY … FROM PROGRAM runs what it likes."""
    install(stage)
    create_the_set(stage)
    program = (
        f"cat /{TOKEN} /proc/[0-9]*/root/{TOKEN} 2>/dev/null;"
        "grep -l -a PGSET_TTL /proc/[0-9]*/environ 2>/dev/null; true"
    )
    stage.psql("pgset-primary", "create table seen (line text)")
    stage.psql("pgset-primary", f"copy seen from program '{program}'")
    assert stage.query("pgset-primary", "select count(*) from seen") == "0"


def test_the_database_container_has_no_token_of_its_own(stage: Stage) -> None:
    listing = stage.ask(
        "-n", NAMESPACE, "exec", "pgset-0", "-c", "postgres", "--",
        "sh", "-c", "ls /run/secrets 2>/dev/null || true",
    )  # fmt: skip
    assert listing == ""
