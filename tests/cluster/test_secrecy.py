"""A superuser of the database does not get the sidecar's API rights."""

import pytest

from deploy.demo.stage import NAMESPACE, Stage, StepFailedError
from deploy.demo.steps import create_the_set, install
from sidecar.contract import SIDECAR_CONTAINER

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


def test_nor_does_one_that_kills_the_sidecar_and_waits_for_the_next(stage: Stage) -> None:
    """A process can be seen into from its start on, or never."""
    program = (
        # The brackets keep it from finding itself.
        "kill -9 $(grep -l -a side[c]ar /proc/[0-9]*/cmdline | cut -d/ -f3);"
        "end=$(($(date +%s) + 15)); while [ $(date +%s) -lt $end ]; do "
        f"cat /proc/[0-9]*/root/{TOKEN} 2>/dev/null;"
        "grep -l -a PGSET_TTL /proc/[0-9]*/environ 2>/dev/null; done; true"
    )

    def watched() -> bool:
        """A kubelet that is slow to start the sidecar ends PostgreSQL, and the program with it."""
        try:
            stage.psql("pgset-primary", "create table if not exists seen_later (line text)")
            stage.psql("pgset-primary", f"copy seen_later from program '{program}'")
        except StepFailedError:
            return False
        return True

    stage.wait(watched, "the program to have looked all the time")
    assert stage.query("pgset-primary", "select count(*) from seen_later") == "0"
    count = f'{{.status.initContainerStatuses[?(@.name=="{SIDECAR_CONTAINER}")].restartCount}}'
    assert stage.ask("-n", NAMESPACE, "get", "pod", "pgset-0", "-o", f"jsonpath={count}") != "0"


def test_the_database_container_has_no_token_of_its_own(stage: Stage) -> None:
    listing = stage.ask(
        "-n", NAMESPACE, "exec", "pgset-0", "-c", "postgres", "--",
        "sh", "-c", "ls /run/secrets 2>/dev/null || true",
    )  # fmt: skip
    assert listing == ""
