"""One kind of StatefulSet on the real cluster: plain, opted in, struck, and opted out again.

A client writes by the Service that was there before, from first to last, on a new connection for
each row: so each row goes to where the Service leads at that moment.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.demo.stage import Stage, StepFailedError
from deploy.local import cluster
from deploy.local.layout import NODES
from sidecar import contract
from tests.adopt import objects
from tests.adopt.judge import Numbers, Step, lost, numbers
from tests.adopt.kinds import PASSWORD, Kind
from tests.adopt.objects import FOLDER, NAMESPACE, ORDINALS
from tests.chaos.load import Load
from tests.chaos.record import Attempt
from tests.chaos.round import TABLES

CLIENT: Final = "client"
OPTED_IN: Final = "opted in"
SCALED: Final = "scaled to 3"
KILLED: Final = "killed"
DELETED: Final = "deleted"
DRAINED: Final = "drained"
OPTED_OUT: Final = "opted out"
STEPS: Final = (OPTED_IN, SCALED, KILLED, DELETED, DRAINED, OPTED_OUT)
TAKEOVERS: Final = (KILLED, DELETED, DRAINED)
"""What another member is to take over after."""

OPT_IN: Final = (f"{contract.ENABLED}=true", f"{contract.DURABILITY}=sync")
"""With `async` a kill may cost rows, and then none that is lost would say anything."""

_SERVED: Final = 20
"""A step is over when so many rows in a row were acknowledged, in two seconds: that does not come
about where the Service leads to replicas as well."""
_POLL: Final = 0.2
_SECONDS: Final = 480.0
"""Members that are made in order are asked by their charts' probes from half a minute on, each."""
_ASK_AGAIN: Final = 30.0


@dataclass
class Played:
    """What became of one kind."""

    kind: Kind
    refusal: str = ""
    """What the user was told; "" if it was adopted."""
    steps: dict[str, Numbers] = field(default_factory=dict)
    lost: int = 0
    acknowledged: int = 0
    rows: int = 0
    """Of the rows from before, how many are there in the end."""
    takeovers: int = 0
    changes: list[str] = field(default_factory=list)
    """The commands that the user had to run, besides those of the steps."""


class Play:
    """Plays one kind; the namespace and the volumes are made anew and taken away."""

    def __init__(
        self, stage: Stage, kind: Kind, rows: int, folder: Path, steps: Sequence[str] = STEPS
    ) -> None:
        """`folder`: where the client notes what it did; `steps`: those of STEPS to be played."""
        self._stage = stage
        self._kind = kind
        self._rows = rows
        self._wanted = steps
        self._load = Load(folder, PASSWORD)
        self._steps: list[Step] = []
        self._played = Played(kind)
        self._led = 0
        """How often the Lease had been taken before there were several members."""
        folder.mkdir(parents=True, exist_ok=True)

    def play(self, tell: Callable[[str], None] = lambda _: None) -> Played:
        """Return what became of it; StepFailedError where a step did not come true."""
        sweep(self._stage)
        try:
            if self._kind.refused:
                self._refused()
            else:
                self._adopted(tell)
        finally:
            self._load.stop()
            sweep(self._stage)
        return self._played

    def _refused(self) -> None:
        """Nothing runs: what a user has to know is refused by what the template says."""
        self._put()
        told = self._kubectl("annotate", self._set, *OPT_IN, check=False)
        if self._kind.refused not in told:
            raise StepFailedError(f"it is not refused by these words: {told}")
        found = self._stage.get(self._set, namespace=NAMESPACE)
        if contract.DOMAIN in json.dumps([found["metadata"], found["spec"]]):
            raise StepFailedError("it was changed, although it was refused")
        self._played.refusal = told.strip()

    def _adopted(self, tell: Callable[[str], None]) -> None:
        self._put()
        self._begin()
        does = {
            OPTED_IN: self._opt_in,
            SCALED: self._scale,
            KILLED: self._kill,
            DELETED: self._delete,
            DRAINED: self._drain,
            OPTED_OUT: self._opt_out,
        }
        for name in self._wanted:
            with self._step(name):
                does[name]()
            if name in TAKEOVERS:
                self._played.takeovers = self._transitions() - self._led
            seen = self._numbers(self._steps[-1])
            tell(
                f"{self._kind.name}: {name}, longest gap {seen.gap:.1f} s, "
                f"{seen.failed} failed, {seen.read_only} of them read-only"
            )
        self._load.stop()
        self._count()

    # ── Before ────────────────────────────────────────────────────────────────────────────

    @property
    def _set(self) -> str:
        return f"statefulset/{self._kind.name}"

    @property
    def _first(self) -> str:
        return f"{self._kind.name}-0"

    def _put(self) -> None:
        kind, stage = self._kind, self._stage
        cluster.load_image(kind.image)
        for ordinal in ORDINALS:
            place = FOLDER / f"{kind.name}-{ordinal}"
            place.mkdir(parents=True)
            os.chown(place, kind.uid, kind.uid)
        stage.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        stage.apply([*objects.volumes(kind.name, kind.claim), *kind.objects])

    def _begin(self) -> None:
        """Fill the plain database, and start the client."""
        self._wait(lambda: self._sql(self._first, "select 1") == "1", "the plain database")
        fill = f"create table rows as select generate_series(1, {self._rows}) n"
        self._sql(self._first, f"{fill}; {TABLES[0]}", check=True)
        found = self._stage.get("service", self._kind.service, namespace=NAMESPACE)
        self._load.start("anew", CLIENT, NODES[0], found["spec"]["clusterIP"])
        self._wait_until_served("before there is any change")

    # ── The steps ─────────────────────────────────────────────────────────────────────────

    def _opt_in(self) -> None:
        more = [f"{key}={value}" for key, value in self._kind.annotations.items()]
        self._kubectl("annotate", self._set, *OPT_IN, *more)
        self._played.changes += [f"annotation {it}" for it in more]
        self._wait(lambda: self._roles() == {self._first: "primary"}, "the adopted primary")
        self._wait_until_served("by the adopted primary")
        # What an Event asks for is what a user does next; with one member there is time for it.
        self._wait(self._has_advice, "an Event about the Service")
        for command in self._advice():
            # To be repeated where no webhook answered, as the Event itself says.
            self._wait(lambda command=command: self._obeys(command), command)  # type: ignore[misc]
            self._played.changes.append(command)

    def _scale(self) -> None:
        self._led = self._transitions()
        self._kubectl("scale", self._set, "--replicas=3")
        self._wait_for_three()

    def _kill(self) -> None:
        primary = self._primary()
        began = self._sql(primary, "select pg_postmaster_start_time()", check=True)
        # In the background: the end of its container would end what kubectl runs in it.
        kill = '(sleep 1; kill -9 "$(head -n 1 "$PGDATA/postmaster.pid")") > /dev/null 2>&1 &'
        self._shell(primary, kill)
        later = f"select pg_postmaster_start_time() > '{began}'"
        self._wait(lambda: self._sql(primary, later) == "t", "another postmaster")
        self._wait_for_three()

    def _delete(self) -> None:
        primary = self._primary()
        before = self._uids()[primary]
        self._kubectl("delete", "pod", primary, "--wait=false")
        self._wait(lambda: self._uids().get(primary, before) != before, "another pod")
        self._wait_for_three()

    def _drain(self) -> None:
        primary = self._primary()
        (node,) = (it["spec"]["nodeName"] for it in self._pods() if _name(it) == primary)
        before = self._uids()[primary]
        try:
            chosen = ",".join(f"{key}={value}" for key, value in self._kind.labels.items())
            self._kubectl(
                *("drain", node, f"--pod-selector={chosen}", "--ignore-daemonsets"),
                *("--delete-emptydir-data", "--timeout=800s"),
                namespace=False,
            )
        finally:
            self._kubectl("uncordon", node, namespace=False)
        self._wait(lambda: self._uids().get(primary, before) != before, "another pod")
        self._wait_for_three()

    def _opt_out(self) -> None:
        """As a user does who wants her single database back, behind the same Service."""
        if self._primary() != self._first:
            self._wait(self._hands_over(), "the first to lead")
        # Without the others a Service that leads to all pods leads to the primary.
        self._kubectl("scale", self._set, "--replicas=1")
        self._wait(lambda: len(self._pods()) == 1, "the others to be gone")
        if self._played.changes:
            self._kubectl("annotate", f"service/{self._kind.service}", f"{contract.SELECTS}-")
        self._kubectl("annotate", self._set, "pgset.dev/enabled-")
        self._kubectl("rollout", "status", self._set, "--timeout=800s")

    def _hands_over(self) -> Callable[[], bool]:
        """Ask for the first to lead, and again where that was refused: a replica may lag."""
        wish = f"{contract.DOMAIN}/switchover-to={self._first}"
        lease = f"lease/{contract.lease_name(self._kind.name)}"
        asked = -math.inf

        def leads() -> bool:
            nonlocal asked
            if self._roles().get(self._first) == "primary":
                return True
            if time.monotonic() > asked + _ASK_AGAIN:
                self._kubectl("annotate", "--overwrite", lease, wish)
                asked = time.monotonic()
            return False

        return leads

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._wait_until_served(f"after: {name}")
        self._steps.append(Step(name, began, time.monotonic()))

    def _count(self) -> None:
        attempts = self._attempts()
        there = self._of_primary("select n from chaos").split()
        self._played.rows = int(self._of_primary("select count(*) from rows"))
        self._played.acknowledged = sum(it.by is not None for it in attempts)
        self._played.lost = len(lost(attempts, map(int, there)))
        self._played.steps = {it.name: self._numbers(it) for it in self._steps}

    # ── What is asked ─────────────────────────────────────────────────────────────────────

    def _attempts(self) -> list[Attempt]:
        return self._load.attempts()

    def _numbers(self, step: Step) -> Numbers:
        return numbers(step, self._attempts())

    def _wait_until_served(self, when: str) -> None:
        since = time.monotonic()

        def is_served() -> bool:
            last = [it for it in self._attempts() if it.began >= since][-_SERVED:]
            return len(last) == _SERVED and all(it.by is not None for it in last)

        self._wait(is_served, f"the client to be served {when}")

    def _obeys(self, command: str) -> bool:
        """Run what an Event says, and return whether the Service selects the role by now."""
        self._kubectl(*command.split()[1:], namespace=False)
        found = self._stage.get("service", self._kind.service, namespace=NAMESPACE)
        return contract.DEFAULT_ROLE_LABEL in found["spec"]["selector"]

    def _has_advice(self) -> bool:
        return bool(self._advice())

    def _advice(self) -> list[str]:
        events = self._stage.get("events", namespace=NAMESPACE)["items"]
        told = [it["message"] for it in events if it["reason"] == "ServiceLeadsToReplicas"]
        return sorted({f"kubectl{it.rpartition('kubectl')[2]}" for it in told})

    def _transitions(self) -> int:
        name = contract.lease_name(self._kind.name)
        lease = self._stage.get("lease", name, namespace=NAMESPACE)
        return int(lease["spec"].get("leaseTransitions", 0))

    def _wait_for_three(self) -> None:
        led = ["primary", "replica", "replica"]
        self._wait(lambda: sorted(self._roles().values()) == led, "three members")
        streaming = "select count(*) from pg_stat_replication where state = 'streaming'"
        self._wait(lambda: self._sql(self._primary(), streaming) == "2", "two that stream")

    def _pods(self) -> list[objects.Manifest]:
        found: list[objects.Manifest] = self._stage.get("pods", namespace=NAMESPACE)["items"]
        return found

    def _uids(self) -> dict[str, str]:
        return {_name(it): it["metadata"]["uid"] for it in self._pods()}

    def _roles(self) -> dict[str, str]:
        return {
            _name(it): it["metadata"]["labels"].get(contract.DEFAULT_ROLE_LABEL, "")
            for it in self._pods()
            if any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in it["status"].get("conditions") or []
            )
        }

    def _primary(self) -> str:
        """Return the primary, or the first pod, which is the only one where there is no role."""
        found = [pod for pod, role in self._roles().items() if role == "primary"]
        return found[0] if found else self._first

    def _of_primary(self, statement: str) -> str:
        """Return what the primary answers, whoever that is by then, and no replica that lags."""
        answers: list[str] = []

        def answers_now() -> bool:
            primary = self._primary()
            if self._sql(primary, "select pg_is_in_recovery()", check=True) == "f":
                answers.append(self._sql(primary, statement, check=True))
            return bool(answers)

        self._wait(answers_now, f"an answer to {statement}")
        return answers[0]

    def _sql(self, pod: str, statement: str, *, check: bool = False) -> str:
        psql = f'psql -U postgres -d postgres -h 127.0.0.1 -p {self._kind.port} -AtqX -c "$0"'
        return self._shell(pod, f"PGPASSWORD={PASSWORD} {psql}", statement, check=check)

    def _shell(self, pod: str, script: str, *words: str, check: bool = True) -> str:
        inside = ("exec", pod, "-c", self._kind.container, "--", "sh", "-c", script, *words)
        return self._kubectl(*inside, check=check).strip()

    def _kubectl(self, *words: str, check: bool = True, namespace: bool = True) -> str:
        scope = ("-n", NAMESPACE) if namespace else ()
        return self._stage.ask(*scope, *words, check=check)

    def _wait(self, question: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
        deadline = time.monotonic() + seconds

        def is_true() -> bool:
            # A busy API server refuses a question now and then.
            with suppress(StepFailedError):
                return question()
            return False

        while not is_true():
            if time.monotonic() > deadline:
                pods = self._kubectl("get", "pods", "-o", "wide", check=False)
                events = self._kubectl("get", "events", check=False)
                raise StepFailedError(
                    f"{self._kind.name}: not within {seconds:.0f} s: {what}\n{pods}\n{events}"
                )
            time.sleep(_POLL)


def sweep(stage: Stage) -> None:
    """Remove what a run has made."""
    stage.delete_namespace(NAMESPACE)
    selector = ",".join(f"{key}={value}" for key, value in objects.OURS.items())
    stage.ask("delete", "persistentvolume", "-l", selector, "--timeout=600s")
    shutil.rmtree(FOLDER, ignore_errors=True)


def _name(pod: objects.Manifest) -> str:
    return str(pod["metadata"]["name"])
