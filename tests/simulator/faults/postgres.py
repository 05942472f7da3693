"""Faults of PostgreSQL's processes, and of the bootstrap container."""

from typing import Final

from tests.simulator.faults.strike import Strike, is_well_again

MUCH_TO_REPLAY: Final = "much to replay"
REPLAY_SIZE: Final = 2**30
"""Bytes, more than max-lag."""


def kill_postmaster(strike: Strike) -> None:
    found = strike.hit_server()
    if found is not None:
        found[1].crash(strike.fault.seconds)


def hang_postgres(strike: Strike) -> None:
    found, world = strike.hit_server(), strike.world
    if found is None:
        return
    life, server = found
    server.hung, server.hung_since = True, world.now
    server.unwell_since = world.now
    life.probe_soon()
    if life.agent is not None:
        world.after(2.1, life.agent.wake)

    def end() -> None:
        server.hung = False
        is_well_again(life, server)
        life.probe_soon()
        strike.judge.check_writers()
        if life.agent is not None:
            life.agent.wake()

    strike.at_its_end(end)


def hang_postmaster(strike: Strike) -> None:
    found = strike.hit_server()
    if found is None:
        return
    life, server = found
    server.refuses = True
    server.unwell_since = strike.world.now + 1.0
    life.probe_soon()

    def end() -> None:
        server.refuses = False
        is_well_again(life, server)
        life.probe_soon()

    strike.at_its_end(end)


def hang_at_stop(strike: Strike) -> None:
    life = strike.hit()
    if life is None:
        return

    def put(hangs: bool) -> None:
        life.hang_at_stop = hangs
        if life.server is not None:
            life.server.hang_at_stop = hangs

    put(True)
    strike.at_its_end(lambda: put(False))


def slow_promotion(strike: Strike) -> None:
    life = strike.hit()
    if life is None:
        return

    def put(seconds: float) -> None:
        life.slow_promotion = seconds
        life.to_replay = REPLAY_SIZE if seconds and strike.fault.detail else 0
        if life.server is not None:
            life.server.slow_promotion = life.slow_promotion
            life.server.to_replay = life.to_replay

    put(max(1.0, strike.fault.seconds / 3))
    strike.at_its_end(lambda: put(0.0))


def slow_recovery(strike: Strike) -> None:
    """What is interrupted begins from the start."""
    found = strike.hit_server()
    if found is not None:
        server = found[1]
        server.directory.slow_recovery = strike.fault.seconds
        server.crash(0.0)


def lock_out(strike: Strike) -> None:
    """The sidecar's role is given another password, say."""
    life = strike.hit()
    if life is None:
        return

    def put(locks_out: bool) -> None:
        life.locks_out = locks_out
        if life.server is not None:
            life.server.locks_out = locks_out
        if life.agent is not None:
            life.agent.wake()

    put(True)
    strike.at_its_end(lambda: put(False))


def promote_by_hand(strike: Strike) -> None:
    """Of one that follows, while the holder of the Lease leads."""
    found, lease, leader = strike.hit_server(), strike.cluster.api.lease, strike.judge.newest
    if found is None or lease is None or leader is None or not leader.could_write:
        return
    server = found[1]
    if server.streams and lease.holder == f"{leader.pod.name}_{leader.pod.uid}":
        server.by_hand = True
        server.promote()


def change_slot_name(strike: Strike) -> None:
    """ALTER SYSTEM SET primary_slot_name = '', and a reload."""
    found = strike.hit_server()
    if found is not None:
        _, server = found
        server.reload(server.directory.upstream, uses_slot=False)


def start_by_hand(strike: Strike) -> None:
    """Of one that follows, while the holder of the Lease leads. Then only a copy helps."""
    found, lease, leader = strike.hit_server(), strike.cluster.api.lease, strike.judge.newest
    if found is None or lease is None or leader is None or not leader.could_write:
        return
    life, server = found
    if server.streams and lease.holder == f"{leader.pod.name}_{leader.pod.uid}":
        strike.cluster.lost_volumes.add(life.name)
        server.directory.starts_by_hand = True
        server.crash(0.0)


def refuse_signals(strike: Strike) -> None:
    """By AppArmor, say; the kubelet's come through."""
    life = strike.hit()
    if life is None:
        return

    def put(refuses: bool) -> None:
        life.takes_no_signals = refuses
        if life.agent is not None:
            life.agent.wake()

    put(True)
    strike.at_its_end(lambda: put(False))


def kill_bootstrap(strike: Strike) -> None:
    life = strike.hit()
    if life is not None:
        life.bootstrap_died()
