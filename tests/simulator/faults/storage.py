"""Faults of volumes and of what is on them."""

from tests.simulator.faults.strike import Strike, is_well_again
from tests.simulator.postgres.directory import Directory
from tests.simulator.postgres.phase import Phase


def disk_full(strike: Strike) -> None:
    life = strike.hit()
    if life is None:
        return
    directory = life.directory
    directory.full = True
    if life.server is not None:
        life.server.unwell_since = strike.world.now + 1.0

    def end() -> None:
        directory.full = False
        if directory.running is not None:
            is_well_again(life, directory.running)

    strike.at_its_end(end)


def slow_disk(strike: Strike) -> None:
    life = strike.hit()
    if life is None:
        return

    def put(seconds: float) -> None:
        life.slow_flush = seconds
        if life.server is not None:
            life.server.slow_flush = seconds

    put(float(strike.fault.detail))
    strike.at_its_end(lambda: put(0.0))


def stall_storage(strike: Strike) -> None:
    """Whichever member leads."""
    world, until = strike.world, strike.world.now + strike.fault.seconds
    strike.excuse_all(strike.fault.seconds)

    def look() -> None:
        stalls = world.now < until
        for life in strike.cluster.lives:
            life.directory.slow = stalls
            server = life.server
            if server is not None and not stalls:
                is_well_again(life, server)
            elif server is not None and server.unwell_since is None:
                server.unwell_since = world.now if server.phase is Phase.WRITABLE else None
        if stalls:
            world.after(0.5, look)

    look()
    strike.at_its_end(look)


def remove_wal(strike: Strike) -> None:
    newest = strike.judge.newest
    if newest is not None and newest.phase is Phase.WRITABLE:
        newest.remove_old_wal()


def lose_volume(strike: Strike) -> None:
    """The next pod of the name finds an empty one."""
    life, cluster = strike.hit(), strike.cluster
    if life is None or life.deleting:
        return
    strike.excuse([life.name], 30.0)
    cluster.change_volume(life, Directory())


def vanish(strike: Strike) -> None:
    """Somebody has deleted all files, or the volume is mounted anew and empty; what runs there has
    its files still open."""
    found, cluster = strike.hit_server(), strike.cluster
    if found is None or found[0].deleting:
        return
    life, _ = found
    strike.excuse([life.name], 60.0)
    life.directory = cluster.directories[life.ordinal] = Directory()
    cluster.lost_volumes.add(life.name)


def stumble(strike: Strike) -> None:
    """Storage that all members share says for a moment that no file is there."""
    directories = [life.directory for life in strike.cluster.lives]

    def put(*, unseen: bool) -> None:
        for directory in directories:
            directory.unseen = unseen
        for life in strike.cluster.lives:
            if life.agent is not None:
                life.agent.wake()

    put(unseen=True)
    strike.at_its_end(lambda: put(unseen=False))


def hang_volume(strike: Strike) -> None:
    """Each look at one pod's volume, and each write to it, waits."""
    life = strike.hit()
    if life is None or life.volume_hangs:
        return
    life.volume_hangs = True
    if life.server is not None:
        life.server.unwell_since = strike.world.now
        strike.cluster.network_changed()

    def end() -> None:
        life.volume_answers()
        if life.server is not None:
            is_well_again(life, life.server)
        if life.agent is not None:
            life.agent.wake()
        strike.cluster.network_changed()
        strike.judge.check_writers()

    strike.at_its_end(end)


def spoil_data(strike: Strike) -> None:
    """Only a copy helps."""
    life, cluster = strike.hit(), strike.cluster
    if life is None or life.server is None or not life.server.streams:
        return
    if not any(it.server and it.server.phase is Phase.WRITABLE for it in cluster.lives):
        # There would be nobody left to copy.
        return
    strike.excuse([life.name], 250.0)
    cluster.lost_volumes.add(life.name)
    life.directory.spoiled = True
    life.server.crash(0.0)
