"""bootstrap.sh, stopped before each of its steps: no data is lost, and none is started half-made.

PostgreSQL's programs are stand-ins here, so that every step can be tried; tests/postgres has the
real ones.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.observation import BootstrapView, DataState
from tests.support.bootstrap_pod import Pod
from tests.support.database import Host, own
from tests.support.waiting import wait_until

# No PostgreSQL but stand-ins for its programs; too long for `make check` all the same.
pytestmark = pytest.mark.postgres

OLD = {"PG_VERSION": "15", "base/1": "old", "pg_wal/1": "old", "only-here.txt": "irreplaceable"}
NEW = {
    "PG_VERSION": "15",
    "base/1": "new",
    "pg_wal/2": "new",
    "postgresql.conf": "new",
    "standby.signal": "",
}
NEVER = 10**6
OLDER = {"PG_VERSION": "15", "base/1": "older"}

STOPPING = """#!/bin/sh
# Counts the steps, and stops before the one whose number is in "limit".
step() {{
    count=$(($(cat {control}/count) + 1))
    echo $count > {control}/count
    if [ $count -ge $(cat {control}/limit) ]; then > {control}/stopped; exec /bin/sleep 600; fi
    /bin/{name} "$@"
}}
if [ ! -e {control}/limit ]; then exec /bin/{name} "$@"; fi
if [ {name} = mv ]; then
    for into; do :; done
    while [ $# -gt 1 ]; do step "$1" "$into" || exit 1; shift; done
else
    step "$@"
fi
"""

PROGRAMS = {
    "pg_controldata": 'echo "Database cluster state:  shut down"',
    "psql": "case $* in *pg_tablespace* | *pg_stat_file*) ;; *) echo t ;; esac",
    "pg_basebackup": """
for word; do case $word in --pgdata=*) target=${word#*=} ;; esac; done
cp -R {template}/. "$target/" && echo 1 > "$target/.pgset-heartbeat"
rm -f "$target/standby.signal"
mkdir "$target/pg_tblspc" "$target/.pgset-old"
""",
    # The first thing it does makes the data neither the old nor the new.
    "pg_rewind": """
case $* in *--dry-run*) exit 0 ;; esac
for word; do case $word in --target-pgdata=*) target=${word#*=} ;; esac; done
rm -f "$target/only-here.txt" "$target/pg_wal/1" "$target"/.pgset-*
cp -R {template}/. "$target/" && mkdir "$target/pg_tblspc"
rm -f "$target/standby.signal"
echo 1 > "$target/.pgset-heartbeat"
""",
    "sync": "",
    "sleep": "exec /bin/sleep 0.02",
}


def write_tree(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def own_tree(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        own(path)


def read_tree(folder: Path) -> dict[str, str]:
    """What belongs to the database, as opposed to us."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".pgset-")
    }


@dataclass
class Trial:
    """One member whose bootstrap can be stopped before a step."""

    pod: Pod
    control: Path

    @property
    def top(self) -> dict[str, str]:
        return read_tree(self.pod.data)

    @property
    def kept(self) -> dict[str, str] | None:
        folder = self.pod.data / ".pgset-old/pgsql_tmp.data"
        return read_tree(folder) if folder.is_dir() else None

    def boot(self) -> BootstrapView:
        (self.pod.handshake / "report").unlink(missing_ok=True)
        self.pod.boot()
        return self.pod.wait_for(lambda view: view.data is not None)

    def obey_until(self, step: int, verb: str) -> int:
        """Return how many steps were begun."""
        (self.control / "count").write_text("0")
        (self.control / "limit").write_text(str(step))
        own_tree(self.control)
        self.pod.sidecar.order(verb, "host=primary")
        stopped = self.control / "stopped"
        wait_until(lambda: stopped.exists() or self.pod.look().busy is None, "a step")
        self.pod.kill()
        steps = int((self.control / "count").read_text())
        for name in ("limit", "count", "stopped"):
            (self.control / name).unlink(missing_ok=True)
        return steps


def make_trial(folder: Path) -> Trial:
    folder.mkdir(mode=0o755)
    own(folder)
    host = Host(folder, folder)
    pod = Pod(host)
    control = host.make_folder("control")
    template = folder / "template"
    write_tree(template, NEW)
    own_tree(template)
    for name, text in PROGRAMS.items():
        pod.stand_in(name, "#!/bin/sh\n" + text.replace("{template}", str(template)))
    for name in ("mv", "rm", "rmdir", "mkdir", "touch"):
        pod.stand_in(name, STOPPING.format(control=control, name=name))
    write_tree(pod.data, OLD)
    own_tree(pod.data)
    return Trial(pod, control)


@pytest.fixture
def folder(scratch: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    folder.chmod(0o755)
    yield folder
    # Who was killed may still be about to end.
    shutil.rmtree(folder, ignore_errors=True)


def keep_older(trial: Trial) -> None:
    write_tree(trial.pod.data / ".pgset-old/pgsql_tmp.data", OLDER)
    own_tree(trial.pod.data / ".pgset-old")


def break_by_rewind(trial: Trial) -> None:
    """As if pg_rewind had been killed: all files are one level lower."""
    rewinding = trial.pod.data / ".pgset-rewinding"
    write_tree(rewinding, {})
    for path in trial.pod.data.iterdir():
        if path != rewinding:
            path.rename(rewinding / path.name)
    own_tree(trial.pod.data)


def mark(trial: Trial) -> None:
    (trial.pod.data / ".pgset-reclone").touch()
    own(trial.pod.data / ".pgset-reclone")


def is_complete(trial: Trial) -> bool:
    """Without PG_VERSION no server starts; with it, what would start is the old or the new."""
    return "PG_VERSION" not in trial.top or trial.top in (OLD, OLD | {"standby.signal": ""}, NEW)


def nothing_else_is_left(trial: Trial) -> bool:
    allowed = {".pgset-old", ".pgset-heartbeat", "pg_tblspc", *(name.split("/")[0] for name in NEW)}
    left = {path.name for path in trial.pod.data.iterdir()}
    kept = {path.name for path in (trial.pod.data / ".pgset-old").iterdir()}
    return left <= allowed and kept == {"pgsql_tmp.data"}


def reclone_marked(trial: Trial, step: int) -> int:
    mark(trial)
    keep_older(trial)
    return reclone(trial, step)


def reclone_broken(trial: Trial, step: int) -> int:
    break_by_rewind(trial)
    return reclone(trial, step)


def reclone(trial: Trial, step: int) -> int:
    before = trial.kept
    assert trial.boot().data is DataState.BROKEN
    steps = trial.obey_until(step, "reclone")
    assert is_complete(trial), trial.top

    again = trial.boot()
    assert is_complete(trial), trial.top
    assert again.refusal is None
    if trial.top != NEW:
        assert again.data is DataState.BROKEN
        assert trial.kept == before
        again = trial.pod.obey("reclone", "host=primary")
    assert (again.data, again.failure) == (DataState.PRESENT, None)
    assert trial.top == NEW
    assert trial.kept == OLD
    assert nothing_else_is_left(trial)
    assert trial.pod.obey("start").failure is None
    assert trial.top == NEW
    trial.pod.process.wait(timeout=180)
    return steps


def rewind(trial: Trial, step: int) -> int:
    assert trial.boot().data is DataState.PRESENT
    steps = trial.obey_until(step, "rewind")
    assert is_complete(trial), trial.top
    again = trial.boot()
    assert is_complete(trial), trial.top
    assert again.refusal is None
    if again.data is DataState.BROKEN:
        assert again.rewind_failed
        assert trial.pod.obey("start").failure is not None
        assert trial.pod.obey("reclone", "host=primary").failure is None
        assert trial.kept is not None
        assert nothing_else_is_left(trial)
    elif trial.top != NEW:
        assert (again.data, trial.top) == (DataState.PRESENT, OLD)
        assert trial.pod.obey("rewind", "host=primary").rewound
    assert trial.top == NEW
    assert trial.pod.obey("start").failure is None
    assert trial.top == NEW
    trial.pod.process.wait(timeout=180)
    return steps


def clone(trial: Trial, step: int) -> int:
    for path in trial.pod.data.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert trial.boot().data is DataState.EMPTY
    steps = trial.obey_until(step, "clone")
    assert is_complete(trial), trial.top
    again = trial.boot()
    if again.data is not DataState.PRESENT:
        assert again.data in (DataState.EMPTY, DataState.INTERRUPTED)
        assert trial.pod.obey("start").failure is not None
        assert trial.pod.obey("clone", "host=primary").failure is None
    assert trial.top == NEW
    assert trial.pod.obey("start").failure is None
    trial.pod.process.wait(timeout=180)
    return steps


@pytest.mark.parametrize("order", [reclone_marked, reclone_broken, rewind, clone])
def test_stopped_before_any_step_it_is_gone_on_with_and_nothing_is_lost(
    folder: Path, order: Callable[[Trial, int], int]
) -> None:
    def make(step: int) -> tuple[int, Trial]:
        return step, make_trial(folder / str(step))

    def run(made: tuple[int, Trial]) -> int:
        step, trial = made
        try:
            return order(trial, step)
        except AssertionError as error:
            raise AssertionError(f"stopped before step {step}: {error}") from error
        finally:
            if trial.pod.process.poll() is None:
                trial.pod.kill()

    steps = run(make(NEVER))
    assert steps > 10
    # All are made first: a program that is written in one thread cannot be started for as long as a
    # process that another thread has begun at that moment still has it open.
    made = [make(step) for step in range(1, steps + 1)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(run, made)) == list(range(1, steps + 1))


@pytest.mark.parametrize("order", [reclone_marked, reclone_broken, rewind, clone])
def test_each_order_is_carried_out_under_busybox(
    folder: Path, order: Callable[[Trial, int], int]
) -> None:
    trial = make_trial(folder / "busybox")
    for name in ("mv", "rm", "rmdir", "mkdir", "touch", "sync", "sleep"):
        (folder / "busybox/stand-ins" / name).unlink()
    trial.pod.use_busybox()
    order(trial, NEVER)


def test_what_an_entrypoint_began_where_the_data_had_vanished_is_set_aside_and_cloned_anew(
    folder: Path,
) -> None:
    trial = make_trial(folder / "vanished")
    (trial.pod.data / "PG_VERSION").unlink()
    assert trial.boot().data is DataState.NOT_OURS
    trial.pod.kill()
    (trial.pod.data / ".pgset-reclone").touch()
    own(trial.pod.data / ".pgset-reclone")
    assert trial.boot().data is DataState.BROKEN
    assert trial.pod.obey("reclone", "host=primary").failure is None
    assert trial.top == NEW
    assert trial.kept == {name: text for name, text in OLD.items() if name != "PG_VERSION"}
    trial.pod.kill()
