"""A superuser of the database does not get the sidecar's API rights."""

import pytest

from deploy.demo.stage import NAMESPACE, Stage
from deploy.demo.steps import create_the_set, install, roles, uid

pytestmark = [pytest.mark.cluster, pytest.mark.beside(lane="demo-0")]

TOKEN = "run/secrets/kubernetes.io/serviceaccount/token"
# Without the word by which the program looks for the sidecar.
FOUND = "the next one is there"
READ = "read its"


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
    """A process can be seen into from its start on, or never.

    Of a kubelet that is slow to start the next sidecar, the program's container is stopped before
    there is one to look at. Then it is tried on the other member, and so on, each time with a pod
    of which no container was ended before: the kubelet would wait with the next start.
    """
    outputs: list[str] = []
    for pod in ("pgset-0", "pgset-1") * 3:
        outputs.append(looks_into_the_next_sidecar(stage, pod))
        if FOUND in outputs[-1]:
            break
        make_anew(stage, pod)
    assert FOUND in outputs[-1]
    assert not [output for output in outputs if READ in output]


def make_anew(stage: Stage, pod: str) -> None:
    before = uid(stage, pod)
    stage.ask("-n", NAMESPACE, "delete", "pod", pod, "--wait=false")
    stage.wait(lambda: uid(stage, pod) not in (before, None), "another pod")
    both = ["primary", "replica"]
    stage.wait(lambda: sorted(roles(stage).values()) == both, "two members again")


def looks_into_the_next_sidecar(stage: Stage, pod: str) -> str:
    """What a program of PostgreSQL's user prints, for 20 s or until its container is stopped."""
    program = (
        # The brackets keep it from finding itself.
        "kill -9 $(grep -l -a side[c]ar /proc/[0-9]*/cmdline | cut -d/ -f3);"
        "end=$(($(date +%s) + 20)); while [ $(date +%s) -lt $end ]; do "
        f'[ -z "$(cat /proc/[0-9]*/root/{TOKEN})" ] || echo "{READ}: token";'
        f'! grep -q -a PGSET_TTL /proc/[0-9]*/environ || echo "{READ}: environment";'
        f'! grep -q -a side[c]ar /proc/[0-9]*/cmdline || echo "{FOUND}"; done 2> /dev/null'
    )
    as_postgres = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
    container = ("-n", NAMESPACE, "exec", pod, "-c", "postgres", "--")
    return stage.ask(*container, *as_postgres, "sh", "-c", program, check=False)


def test_the_database_container_has_no_token_of_its_own(stage: Stage) -> None:
    inside = ("exec", "pgset-0", "-c", "postgres", "--")
    listings: list[str] = []

    def is_listed() -> bool:
        # It may just be started again, after what was done to its sidecar.
        words = ("sh", "-c", "ls /run/secrets 2>/dev/null || true")
        listings.append(stage.ask("-n", NAMESPACE, *inside, *words))
        return True

    stage.wait(is_listed, "the container")
    assert listings == [""]
