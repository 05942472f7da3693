"""bootstrap in images of several kinds: what can be a member is used, what can't is refused before
anything is written."""

import shutil
from pathlib import Path

import pytest

from sidecar.observation import DataState
from tests.support.bootstrap_pod import Pod
from tests.support.database import ENTRYPOINT, Database, Host, own
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def pod(host: Host) -> Pod:
    return Pod(host)


def entrypoint(pod: Pod, text: str) -> Path:
    path = pod.host.folder / "docker-entrypoint.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    own(path)
    return path


def refused(pod: Pod) -> str:
    return pod.wait_for(lambda view: view.refusal is not None).refusal or ""


def files_in(folder: Path) -> list[str]:
    """All but the heartbeat of the sidecar."""
    return sorted(it.name for it in folder.iterdir() if not it.name.startswith(".pgset-"))


def answers(pod: Pod, statement: str) -> str:
    result = pod.host.folder / "result"
    pod.host.run(
        *("psql", "-p", str(pod.port), "-U", "postgres", "-d", "postgres", "-AtX"),
        *("-o", result, "-c", statement),
    )
    return result.read_text().strip()


def test_another_uid_is_told_of_where_the_container_does_not_start_as_root(pod: Pod) -> None:
    pod.boot(PGSET_UID="26")
    assert 'set the annotation pgset.dev/uid to "' in refused(pod)
    assert not pod.data.exists()


@pytest.mark.parametrize("missing", ["find", "readlink", "sed", "pg_rewind"])
def test_an_image_without_a_program_that_is_needed_is_refused(pod: Pod, missing: str) -> None:
    tools = pod.host.make_folder("tools")
    for folder in (pod.host.programs, Path("/usr/bin")):
        for program in folder.iterdir():
            link = tools / program.name
            if program.name != missing and not link.is_symlink():
                link.symlink_to(program)
    pod.path = str(tools)
    pod.data.mkdir(mode=0o700)
    (pod.data / "foreign").touch()
    pod.boot()
    assert f"this image has no program {missing}:" in refused(pod)


def test_an_image_without_what_is_to_start_it_is_refused(pod: Pod) -> None:
    pod.command = ("docker-entrypoint.sh", "postgres")
    pod.boot()
    assert "this image has no program docker-entrypoint.sh:" in refused(pod)


def test_where_postgres_itself_is_started_pgdata_has_to_say_where_the_data_is(pod: Pod) -> None:
    pod.command = ("postgres", "-c", "config_file=/etc/postgresql.conf")
    pod.boot(PGDATA="")
    assert "PGDATA does not say where the data is" in refused(pod)


@pytest.mark.parametrize("by", [("postgres",), ("docker-entrypoint.sh", "postgres")])
def test_pgdata_has_to_be_where_the_configuration_has_the_data(
    pod: Pod, database: Database, by: tuple[str, ...]
) -> None:
    """Or a new database would be made beside the real one."""
    file = pod.host.folder / "postgresql.conf"
    file.write_text(f"data_directory = '{database.directory}'\n")
    own(file)
    pod.stand_in("docker-entrypoint.sh", '#!/bin/sh\nexec "$@"\n')
    pod.command = (*by, "-c", f"config_file={file}")
    pod.boot()
    assert f"would take its data from {database.directory}" in refused(pod)
    pod.kill()
    pod.data = database.directory
    (pod.handshake / "report").unlink()
    pod.boot_with(DataState.PRESENT)
    assert pod.look().refusal is None


def test_a_configuration_elsewhere_may_say_where_the_data_will_be(pod: Pod) -> None:
    file = pod.host.folder / "postgresql.conf"
    file.write_text(f"data_directory = '{pod.data}'\nlisten_addresses = '*'\n")
    own(file)
    pod.command = (*pod.command, "-c", f"config_file={file}")
    pod.boot_with(DataState.EMPTY)
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None), pod.host.log()[-2000:]
    assert pod.obey("start").failure is None


@pytest.mark.parametrize("verb", ["initdb", "clone"])
def test_no_data_is_made_in_a_directory_that_the_sidecar_does_not_see(pod: Pod, verb: str) -> None:
    """As where no volume is mounted: it would be in this container alone, and go with it."""
    pod.boot_with(DataState.EMPTY)
    # The next look would put it there again: nobody looks before bootstrap has answered.
    (pod.data / ".pgset-heartbeat").unlink()
    pod.sidecar.order(verb, "host=127.0.0.1")
    report = pod.handshake / "report"
    wait_until(lambda: "\ndone=1\n" in report.read_text(), "bootstrap's answer")
    assert "no volume is mounted there" in report.read_text()
    assert list(pod.data.iterdir()) == []


FORKS = 'postgres -k "${0%/*}" "$@" & wait'
IGNORES_PGDATA = 'export PGDATA=/nowhere; exec "$@"'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(FORKS, "starts another process"), (IGNORES_PGDATA, "does not obey PGDATA")],
)
def test_initdb_does_not_wait_for_ever_for_a_server_that_is_not_the_entrypoints_own(
    pod: Pod, text: str, sentence: str
) -> None:
    pod.command = (entrypoint(pod, text), "postgres")
    pod.boot_with(DataState.EMPTY)
    assert sentence in (pod.obey("initdb").failure or "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (FORKS, "starts another process"),
        (IGNORES_PGDATA, "does not obey PGDATA"),
        ('rm -f "$PGDATA/standby.signal"; exec "$@"', "removes standby.signal"),
    ],
)
def test_an_unknown_image_that_breaks_the_contract_is_objected_to_before_its_data_is_touched(
    pod: Pod, database: Database, text: str, sentence: str
) -> None:
    pod.data = database.directory
    before = files_in(pod.data)
    pod.command = (entrypoint(pod, text), "postgres")
    pod.boot_with(DataState.PRESENT, PGSET_UNKNOWN_IMAGE="yes")
    assert sentence in (pod.look().objection or "")
    assert sentence in (pod.obey("start").failure or "")
    assert files_in(pod.data) == before


def test_an_unknown_image_that_a_set_has_lived_with_is_used_unless_every_member_would_be_writable(
    pod: Pod, database: Database
) -> None:
    pod.data = database.directory
    (pod.data / ".pgset-found").write_text("writable\n")
    pod.command = (
        entrypoint(pod, f'{{ read -r line < "{pod.host.folder}/line"; }}; eval "$line"'),
        "postgres",
    )
    line = pod.host.folder / "line"
    line.write_text('rm -f "$PGDATA/standby.signal"; exec "$@"\n')
    pod.boot_with(DataState.PRESENT, PGSET_UNKNOWN_IMAGE="yes")
    assert "removes standby.signal" in (pod.obey("start").failure or "")
    pod.kill()
    line.write_text(f"{FORKS}\n")
    pod.boot_with(DataState.PRESENT, PGSET_UNKNOWN_IMAGE="yes")
    assert pod.obey("start").failure is None


def test_an_unknown_image_starts_no_real_server_while_it_is_tried(
    pod: Pod, database: Database
) -> None:
    """Neither before the sidecar has looked who writes there, nor on the real data."""
    pod.data = database.directory
    ran = pod.data.parent / "ran"
    server = pod.host.programs / "postgres"
    text = f'shift; : > "{ran}"; exec "{server}" "$@" -k "{pod.host.folder}" -D "{pod.data}"'
    pod.command = (entrypoint(pod, text), "postgres")
    (pod.data / ".pgset-heartbeat").write_text("another\n")
    pod.boot(PGSET_UNKNOWN_IMAGE="yes")
    wait_until((pod.handshake / "report").exists, "the report")
    assert not ran.exists()
    pod.wait_for(lambda view: view.data is DataState.PRESENT)
    assert ran.exists()
    assert not (pod.data / "postmaster.opts").exists()


def test_an_unknown_image_that_keeps_the_contract_is_used(pod: Pod, database: Database) -> None:
    pod.data = database.directory
    pod.command = (shutil.copy(ENTRYPOINT, pod.host.folder), "postgres")
    pod.boot_with(DataState.PRESENT, PGSET_UNKNOWN_IMAGE="yes")
    assert pod.obey("start").failure is None


@pytest.mark.parametrize("locale", ["", "C.UTF-8"])
def test_where_postgres_itself_is_started_bootstrap_makes_the_database(
    pod: Pod, locale: str
) -> None:
    logs_all = {
        "log_statement": "all",
        "log_min_duration_statement": "0",
        "shared_preload_libraries": "auto_explain",
        "auto_explain.log_min_duration": "0",
        "debug_print_parse": "on",
    }
    options = [it for name, value in logs_all.items() for it in ("-c", f"{name}={value}")]
    pod.command = ("postgres", "-c", "work_mem=8MB", *options)
    pod.boot_with(
        DataState.EMPTY,
        POSTGRES_DB="it's an app",
        PGSET_OWNER='the "owner"',
        PGSET_OWNER_PASSWORD="it's secret",
        PGSSLMODE="verify-full",
        **({"LANG": locale} if locale else {}),
    )
    assert pod.obey("initdb").failure is None
    pod.obey("start-writable")
    Database(pod.host, pod.data, pod.port).start()
    facts = "SELECT datname, rolname, pg_encoding_to_char(encoding), rolsuper FROM pg_database"
    facts += " JOIN pg_roles r ON r.oid = datdba WHERE datname NOT LIKE 'template%' ORDER BY 1"
    assert answers(pod, facts).splitlines() == [
        'it\'s an app|the "owner"|UTF8|f',
        "postgres|postgres|UTF8|t",
    ]
    assert "listen_addresses = '*'" in (pod.data / "postgresql.conf").read_text()
    assert "host all all all scram-sha-256" in (pod.data / "pg_hba.conf").read_text()
    assert not (pod.handshake / "initdb-password").exists()
    assert "LOG:  " in pod.host.log()
    assert "s secret" not in pod.host.log()


def test_without_a_password_bootstrap_makes_no_database(pod: Pod) -> None:
    pod.command = ("postgres",)
    pod.boot_with(DataState.EMPTY, POSTGRES_PASSWORD="")
    assert "needs a password" in (pod.obey("initdb").failure or "")


def test_a_database_is_made_after_an_attempt_that_failed(pod: Pod) -> None:
    pod.command = ("postgres",)
    pod.boot_with(DataState.EMPTY)
    broken = pod.stand_in("initdb", "#!/bin/sh\nexit 1\n")
    assert pod.obey("initdb").failure is not None
    broken.unlink()
    assert pod.obey("initdb").failure is None


def test_a_database_is_made_under_busybox(pod: Pod) -> None:
    pod.use_busybox()
    pod.boot_with(DataState.EMPTY, PGSET_UNKNOWN_IMAGE="yes")
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None)


@pytest.mark.parametrize("arguments", ["--no-locale", '--locale="C"', "--locale 'C'"])
def test_a_locale_of_c_among_the_arguments_makes_no_database_that_knows_no_characters(
    pod: Pod, arguments: str
) -> None:
    pod.command = ("postgres",)
    pod.boot_with(DataState.EMPTY, LANG="C.UTF-8", POSTGRES_INITDB_ARGS=arguments)
    assert pod.obey("initdb").data is DataState.PRESENT, pod.host.log()[-2000:]
    assert 'initialized with locale "C"' in pod.host.log()
    assert "SQL_ASCII" not in pod.host.log()


def test_a_database_is_made_with_arguments_on_several_lines(pod: Pod) -> None:
    pod.command = ("postgres",)
    arguments = "--locale=C\n--encoding=UTF8\n"
    pod.boot_with(DataState.EMPTY, POSTGRES_INITDB_ARGS=arguments)
    assert pod.obey("initdb").failure is None


def test_no_database_is_made_with_a_password_that_the_kubelet_could_not_fill_in(pod: Pod) -> None:
    pod.command = ("postgres",)
    pod.boot_with(DataState.EMPTY, POSTGRES_PASSWORD="$(PG_ROOT_PASSWORD)")
    assert "needs a password" in (pod.obey("initdb").failure or "")


def test_no_database_is_made_beside_one_in_a_folder_of_another_name(pod: Pod) -> None:
    volume = pod.host.make_folder("volume")
    (volume / "node-7").mkdir()
    (volume / "node-7/PG_VERSION").write_text("15\n")
    pod.data = volume / "orders-0"
    pod.command = ("postgres",)
    pod.boot_with(DataState.EMPTY, PGSET_POD_NAME="orders-0")
    assert "there is a database in" in (pod.obey("initdb").failure or "")


def test_what_newcomers_are_refused_for_a_set_that_has_lived_with_it_is_told_in_the_log(
    pod: Pod, database: Database
) -> None:
    pod.data = database.directory
    (pod.data / ".pgset-found").write_text("writable\n")
    pod.command = ("docker-entrypoint-of-old.sh", "postgres")
    pod.boot_with(DataState.PRESENT, PGSET_UID="26")
    assert pod.look().refusal is None
    assert pod.obey("start").failure is None
