"""Faults of what bootstrap works with: data, volumes and settings that somebody has put there."""

from sidecar.refused_setting import Origin
from tests.simulator.faults.strike import Strike
from tests.simulator.faults.wishes import OPERATORS_PAUSE
from tests.simulator.postgres.directory import Branch, Configured, Directory

_REFUSAL = (
    "the data directory /var/lib/postgresql/data belongs to uid 0, but PostgreSQL runs as uid 999: "
    "set PGDATA to a sub-directory of the volume, or mend its owner"
)
_OBJECTION = "the database has tablespaces, which cannot be copied to other members"
_WANTED = {Origin.FILE.value: Origin.FILE, Origin.COMMAND_LINE.value: Origin.COMMAND_LINE}
SOURCES = tuple(_WANTED)


def find_data(strike: Strike) -> None:
    """Of before pgset: what the volume holds when the pod is created for the first time. The higher
    its ordinal, the more WAL it has, which means nothing between databases that are unrelated."""
    cluster, standby = strike.cluster, strike.fault.detail == "of a standby"
    if strike.fault.target >= cluster.wanted:
        # No pod of the set has that volume, so nobody can know what it holds.
        return
    if strike.fault.target > 0 and not cluster.parallel:
        # A pod that is not there yet cannot say that it has data: the first one makes new data.
        return
    directory = cluster.directory(strike.fault.target)
    directory.make_database(str(next(cluster.identifiers)), standby=standby)
    directory.position += 1000 * strike.fault.target
    directory.checkpoint = (1, directory.position)
    strike.judge.data_was_found(directory)


def find_copies(strike: Strike) -> None:
    """Of before pgset: the volumes are copies of one snapshot, and all but the last pod's were
    written to apart; until a person, as it is told, gives up what some of them have."""
    cluster, snapshot = strike.cluster, Branch(1)
    if not cluster.parallel:
        return
    strike.excuse_all(strike.fault.seconds + 60.0)
    identifier = str(next(cluster.identifiers))
    apart: dict[Directory, Branch] = {}
    for ordinal in range(cluster.wanted):
        directory = cluster.directory(ordinal)
        directory.make_database(identifier, standby=False)
        directory.branch = snapshot
        if ordinal < cluster.wanted - 1:
            directory.branch = apart[directory] = Branch(1, snapshot, directory.position)
            directory.position += 1000 * (cluster.wanted - ordinal)
        directory.checkpoint = (1, directory.position)
        strike.judge.data_was_found(directory)

    def end() -> None:
        for life in cluster.pods.values():
            out = life.agent is not None and life.agent.situation == "OtherWal"
            if out and life.directory.branch is apart.get(life.directory):
                cluster.ask_for_a_clone(life.name, f"{strike.world.now}")
        strike.world.after(OPERATORS_PAUSE, end)

    strike.at_its_end(end)


def object_to_data(strike: Strike) -> None:
    """What find_data finds cannot become a set's, until a person has changed that and deletes the
    pod. (Of several pods, none is left alone: another may have a copy.)"""
    cluster = strike.cluster
    if cluster.wanted != 1 or strike.fault.target != 0:
        return
    find_data(strike)
    strike.excuse_all(strike.fault.seconds + 60.0)
    directory = cluster.directory(strike.fault.target)
    directory.objection = _OBJECTION

    def end() -> None:
        directory.objection = None
        cluster.delete_pod(f"{strike.settings.set_name}-{strike.fault.target}")

    strike.at_its_end(end)


def other_data(strike: Strike) -> None:
    """The pod comes back with a volume that holds another database, until a person, as it is told,
    gives it an empty one."""
    life, cluster = strike.hit(), strike.cluster
    if life is None or life.deleting or not cluster.parallel:
        # With OrderedReady the first pod would wait for those that wait for it.
        return
    strike.excuse([life.name], strike.fault.seconds + 30.0)
    directory = Directory()
    directory.make_database(f"7{next(cluster.identifiers)}", standby=False)
    cluster.change_volume(life, directory)

    def end() -> None:
        if cluster.directories[life.ordinal] is not directory:
            return
        present = cluster.pods.get(life.name)
        if present is None or present.deleting:
            cluster.directories[life.ordinal] = Directory()
        else:
            cluster.change_volume(present, Directory())

    strike.at_its_end(end)


def refuse_bootstrap(strike: Strike) -> None:
    """The volume belongs to another user when the pod comes back, until a person mends that."""
    life, cluster = strike.hit(), strike.cluster
    ordinal = strike.fault.target if life is None else life.ordinal
    name = f"{strike.settings.set_name}-{ordinal}"
    if ordinal < 0:
        return
    strike.excuse([name], strike.fault.seconds + 60.0)
    directory = cluster.directory(ordinal)
    directory.refusal = _REFUSAL
    cluster.delete_pod(name)

    def end() -> None:
        directory.refusal = None
        # By now it may have a copy of that volume.
        cluster.directory(ordinal).refusal = None
        present = cluster.pods.get(name)
        if present is not None and present.bootstrap.refusal is not None:
            # What has refused looks no more: the person restarts the pod.
            cluster.delete_pod(name)

    strike.at_its_end(end)


def fail_copies(strike: Strike) -> None:
    """No initdb, clone or rewind ends well on a node, and its pod has to try one."""
    life, cluster = strike.hit(), strike.cluster
    node = cluster.node(max(0, strike.fault.target)) if life is None else life.node
    node.copies_fail = True
    detail = strike.fault.detail
    if life is not None and life.server is not None and life.server.streams:
        strike.excuse([life.name], strike.fault.seconds + 60.0)
        if detail == "after its volume is lost" and cluster.parallel and not life.deleting:
            cluster.change_volume(life, Directory())
        elif detail == "of data to be cloned anew":
            life.directory.broken = True
            cluster.delete_pod(life.name)

    def end() -> None:
        node.copies_fail = False

    strike.at_its_end(end)


def lower_settings(strike: Strike) -> None:
    """max_connections is lowered, in a file or on the command line, and the pods are rolled; until
    the person sets it back, and restarts the pods that have not come up."""
    cluster = strike.cluster
    strike.excuse_all(strike.fault.seconds + 150.0)
    cluster.configured = Configured(50, _WANTED[strike.fault.detail])
    cluster.revision = f"lowered at {strike.fault.at}"
    cluster.reconcile_soon()

    def end() -> None:
        cluster.configured = Configured()
        cluster.revision = f"set back at {strike.fault.at}"
        for life in list(cluster.pods.values()):
            # The controller waits for them for ever, whatever the template says by now.
            if life.revision != cluster.revision and not life.ready:
                cluster.delete_pod(life.name)
        cluster.reconcile_soon()

    strike.at_its_end(end)
