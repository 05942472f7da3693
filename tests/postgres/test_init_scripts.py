"""Init scripts that name the data directory where they should say $PGDATA."""

import pytest

from sidecar.observation import DataState
from tests.postgres.test_bootstrap import pod
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database

__all__ = ["pod"]

pytestmark = pytest.mark.postgres


def script(pod: Pod, text: str) -> None:
    """What the image's entrypoint would run, at the end of its own work."""
    entrypoint = pod.command[0]
    pod.command = (
        pod.stand_in(
            "docker-entrypoint.sh",
            f"""#!/bin/sh
run_script() {{
{text}
}}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -D "$PGDATA" --username=postgres $POSTGRES_INITDB_ARGS && run_script || exit 1
fi
exec /bin/bash {entrypoint} "$@"
""",
        ),
        *pod.command[1:],
    )


@pytest.mark.parametrize(
    "text",
    [
        "echo work_mem=64MB >> {data}/postgresql.conf",
        "sed -i 's/^max_wal_size.*/work_mem=64MB/' {data}/postgresql.conf",
        "echo work_mem=64MB >> $PGDATA/postgresql.conf",
    ],
)
def test_a_setting_that_is_written_to_the_data_directory_counts(pod: Pod, text: str) -> None:
    script(pod, text.format(data=pod.data))
    pod.boot_with(DataState.EMPTY)
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]
    lines = (pod.data / "postgresql.conf").read_text().splitlines()
    assert "work_mem=64MB" in lines
    assert len(lines) > 100, "and all else is as initdb has made it"
    assert not (pod.data / "postgresql.conf").is_symlink()
    assert pod.obey("start").failure is None
    Database(pod.host, pod.data, pod.port).start()


@pytest.mark.parametrize(
    "text",
    [
        "mkdir $PGDATA/conf.d; echo work_mem=64MB > $PGDATA/conf.d/of-a-script.conf; "
        "echo \"include_dir '$PGDATA/conf.d'\" >> $PGDATA/postgresql.conf",
        "echo \"include 'conf.d/a.conf'\" >> $PGDATA/postgresql.conf; mkdir $PGDATA/conf.d; "
        "echo \"hba_file '$PGDATA/pg_hba.conf'\" >> $PGDATA/conf.d/a.conf",
    ],
)
def test_a_path_that_a_script_has_made_of_pgdata_leads_to_where_the_data_is_in_the_end(
    pod: Pod, text: str
) -> None:
    """Such as one's own ssl_cert_file: the server would not start with what is gone."""
    pod.data = pod.host.folder / "d&ta.[1]"
    script(pod, text)
    pod.boot_with(DataState.EMPTY)
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]
    written = [path.read_text() for path in pod.data.rglob("*.conf")]
    assert any(f"'{pod.data}/" in text for text in written)
    assert not any(".pgset-new" in text for text in written)
    assert pod.obey("start").failure is None
    Database(pod.host, pod.data, pod.port).start()


def test_a_script_has_the_variables_of_its_container(pod: Pod) -> None:
    """Also those that are named as bootstrap's own are, such as a Secret's by envFrom."""
    given = {"user": "alice", "database": "the shop's", "data": "x", "session": "a\nb", "empty": ""}
    told = pod.host.make_folder("told")
    script(pod, f"env -0 > {told}/environment")
    pod.boot(**given)
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    assert pod.obey("initdb").failure is None, pod.host.log()[-2000:]
    said = (told / "environment").read_text().split("\0")
    assert {f"{name}={value}" for name, value in given.items()} <= set(said)


def test_a_script_may_restart_its_server_and_have_it_listen(pod: Pod) -> None:
    """As many do that add to shared_preload_libraries. Bootstrap waits for another one."""
    quiet = f"-c listen_addresses='' -k {pod.host.folder} -p $PGPORT"
    local = quiet.replace("''", "localhost")
    script(
        pod,
        f'pg_ctl -D "$PGDATA" -o "{quiet}" -w start\n'
        f'pg_ctl -D "$PGDATA" -o "{local}" -m fast -w restart && sleep 1\n'
        'pg_ctl -D "$PGDATA" -m fast -w stop',
    )
    pod.boot_with(DataState.EMPTY)
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]


def test_a_folder_that_a_script_has_made_beside_one_of_postgresqls_is_told(pod: Pod) -> None:
    """And the next try may be better: half-moved data could never be settled."""
    log = f"mkdir -p {pod.data}/log && mkdir $PGDATA/log && touch $PGDATA/log/a"
    again = pod.host.folder / "again"
    script(pod, f"{log} && {{ [ -e {again} ] || touch {pod.data}/log/b; }}")
    pod.boot_with(DataState.EMPTY)
    told = pod.obey("initdb")
    assert (told.data, told.refusal) == (DataState.INTERRUPTED, None)
    assert f"an init script has made {pod.data}/log, " in str(told.failure)
    again.touch()
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]
    assert (pod.data / "log/a").exists()


def test_a_script_that_fails_can_be_tried_again(pod: Pod) -> None:
    once = pod.host.make_folder("once")
    script(
        pod,
        f"echo of-a-script > {pod.data}/made && [ -e {once}/more ] || {{ > {once}/more; false; }}",
    )
    pod.boot_with(DataState.EMPTY)
    assert pod.obey("initdb").failure is not None
    assert pod.look().data is DataState.INTERRUPTED
    pod.kill()
    (pod.handshake / "report").unlink()
    pod.boot_with(DataState.INTERRUPTED)
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]
    assert (pod.data / "made").read_text() == "of-a-script\n"
    assert not (pod.data / ".pgset-initdb").exists()
