"""The kinds of faults by their names: what each does, how it strikes, and how it is drawn.

The order is that in which they are drawn from: another order gives each seed another schedule.
"""

import random
from dataclasses import replace
from typing import Final

from tests.simulator.faults import (
    bootstrap,
    kubernetes,
    network,
    node,
    postgres,
    storage,
    wishes,
)
from tests.simulator.faults.strike import Kind
from tests.simulator.schedule import Fault, Schedule
from tests.simulator.sidecar_process import HTTP, LOOP, PROBE, WATCHDOG

_DIRECTIONS: Final = ("", "", *network.ONE_WAY)

_FREEZE_BEFORE: Final = (
    "", "", "decide", "Promote", "TakeLease", "RenewLease", "SetRole", "StopPostgres",
    "ReleaseLease", "SetSynchronous",
)  # fmt: skip


def _orphans(chance: random.Random, fault: Fault, _: int) -> Fault:
    return replace(fault, seconds=chance.choice((0.0, 0.0, round(chance.uniform(0.1, 5.0), 3))))


def _worst_moment(chance: random.Random, fault: Fault, _: int) -> Fault:
    worst = fault.detail and chance.random() < 0.5
    return replace(fault, detail=fault.detail + node.UNTIL_ANOTHER_LEADS) if worst else fault


def _two_sides(chance: random.Random, fault: Fault, members: int) -> Fault:
    inside = [str(n) for n in range(members) if chance.random() < 0.5] or ["0"]
    others = chance.choice((",api", "", ",client", ",api,client"))
    return replace(fault, detail=",".join(inside) + others)


def _member_or_not(chance: random.Random, fault: Fault, members: int) -> Fault:
    return replace(fault, target=chance.randrange(members + 1))


def _any_size(chance: random.Random, fault: Fault, _: int) -> Fault:
    return replace(fault, target=chance.randint(1, 5))


def _a_moment(chance: random.Random, fault: Fault, _: int) -> Fault:
    return replace(fault, seconds=round(chance.uniform(0.1, 1.9), 3))


def _at_first(_: random.Random, fault: Fault, __: int) -> Fault:
    """Before any pod is created."""
    return replace(fault, at=0.0, target=max(0, fault.target), seconds=0.0)


def _of_the_first(chance: random.Random, fault: Fault, _: int) -> Fault:
    return replace(fault, at=0.0, target=0, seconds=round(chance.uniform(5.0, 40.0), 3))


ALL: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "kill_postmaster",
            "the postmaster is killed; its backends may live on for so long",
            postgres.kill_postmaster,
            3,
            draw=_orphans,
        ),
        Kind(
            "hang_postgres",
            "every process of PostgreSQL is stopped, and goes on",
            postgres.hang_postgres,
            1.5,
        ),
        Kind(
            "hang_postmaster",
            "the postmaster is stopped: what is connected works, nothing new connects",
            postgres.hang_postmaster,
        ),
        Kind("disk_full", "the volume is full", storage.disk_full),
        Kind("hang_at_stop", "PostgreSQL does not stop in time", postgres.hang_at_stop),
        Kind(
            "slow_promotion",
            "a promotion takes seconds, for what is left to replay or for some other reason",
            postgres.slow_promotion,
            details=(postgres.MUCH_TO_REPLAY, ""),
        ),
        Kind(
            "slow_disk",
            "a standby takes so many seconds to flush WAL",
            storage.slow_disk,
            details=("0.2", "1.0", "3.0"),
        ),
        Kind(
            "remove_wal",
            "the primary removes WAL that no slot keeps",
            storage.remove_wal,
            0.7,
        ),
        Kind("lose_volume", "a volume is gone, and its pod with it", storage.lose_volume, 0.7),
        Kind(
            "kill_bootstrap",
            "the bootstrap container is killed and starts again",
            postgres.kill_bootstrap,
            0.7,
        ),
        Kind("kill_sidecar", "the sidecar is killed", node.kill_sidecar, 2),
        Kind(
            "freeze_sidecar",
            "the sidecar is stopped, at once or just before it does something, and goes on",
            node.freeze_sidecar,
            2.5,
            details=_FREEZE_BEFORE,
            draw=_worst_moment,
        ),
        Kind("freeze_node", "a whole machine stands still, and goes on", node.freeze_node),
        Kind(
            "cut_node",
            "a node is cut off from everything",
            network.cut_node,
            2,
            details=_DIRECTIONS,
        ),
        Kind(
            "cut_from_api",
            "a node is cut off from the API server",
            network.cut_from_api,
            2,
            details=_DIRECTIONS,
        ),
        Kind(
            "cut_from_peers",
            "a node is cut off from the other nodes",
            network.cut_from_peers,
            details=_DIRECTIONS,
        ),
        Kind(
            "split",
            "the network falls into two parts",
            network.split,
            1.5,
            aimed=False,
            draw=_two_sides,
        ),
        Kind(
            "lossy",
            "the API server loses three requests in ten",
            network.lossy,
            0.7,
            aimed=False,
        ),
        Kind("stop_kubelet", "a kubelet is stopped, and goes on", node.stop_kubelet, 0.7),
        Kind("reboot_node", "a node goes down, and comes up", node.reboot_node, 1.5),
        Kind(
            "api_outage",
            "the API server is away",
            kubernetes.api_outage,
            2,
            aimed=False,
            details=("refuse", "hang", "hang, and lands late"),
        ),
        Kind(
            "break_watch",
            "the sidecar's watch goes silent without an end",
            kubernetes.break_watch,
        ),
        Kind(
            "slow_watch",
            "what the sidecar's watch delivers is so many seconds late",
            kubernetes.slow_watch,
            details=("0.5", "2.0", "5.0"),
        ),
        Kind("delete_lease", "the Lease is deleted", kubernetes.delete_lease, 0.5, aimed=False),
        Kind(
            "edit_lease",
            "somebody writes the Lease as it is",
            wishes.edit_lease,
            0.5,
            wish=True,
            aimed=False,
        ),
        Kind("delete_pod", "a pod is deleted", wishes.delete_pod, 2, wish=True),
        Kind(
            "force_delete_pod",
            "a pod is deleted by force where its kubelet is away, else as usual",
            kubernetes.force_delete_pod,
            0.7,
        ),
        Kind(
            "delete_all_pods",
            "all pods are deleted at once",
            kubernetes.delete_all_pods,
            0.5,
            aimed=False,
        ),
        Kind(
            "switchover",
            "a switchover is asked for, maybe to a pod that is not there",
            wishes.switchover,
            2.5,
            wish=True,
            draw=_member_or_not,
        ),
        Kind("pause", "the set is paused, and resumed", wishes.pause, 0.5, wish=True, aimed=False),
        Kind(
            "scale",
            "the StatefulSet is scaled",
            wishes.scale,
            0.7,
            wish=True,
            aimed=False,
            draw=_any_size,
        ),
        Kind("roll", "kubectl rollout restart", wishes.roll, 0.7, wish=True, aimed=False),
        Kind(
            "stall_storage",
            "no new session can write in time, on any volume",
            storage.stall_storage,
            world=True,
            aimed=False,
        ),
        Kind(
            "take_out",
            "Kubernetes takes a node's pods out of their Services",
            node.take_out,
            world=True,
            details=("", "", "every node", node.OTHER_CONTAINER),
        ),
        Kind(
            "slow_api",
            "each request to the API server takes so many seconds",
            kubernetes.slow_api,
            world=True,
            aimed=False,
            details=("2.1-2.8", "0.5-4.0", "0.2-1.0"),
        ),
        Kind(
            "refuse_writes",
            "the API server refuses to write the Lease",
            kubernetes.refuse_writes,
            world=True,
            aimed=False,
        ),
        Kind(
            "spoil_data",
            "a standby crashes, and no server comes up on what it has left",
            storage.spoil_data,
            world=True,
        ),
        Kind(
            "slow_recovery",
            "a server crashes, with much WAL to replay",
            postgres.slow_recovery,
            2,
            world=True,
        ),
        Kind(
            "lock_out",
            "PostgreSQL lets its sidecar not in",
            postgres.lock_out,
            world=True,
        ),
        Kind(
            "refuse_signals",
            "PostgreSQL takes no signals from its sidecar",
            postgres.refuse_signals,
            world=True,
        ),
        Kind("hang_volume", "a volume answers nothing at all", storage.hang_volume, world=True),
        Kind(
            "stumble",
            "no file is said to be there, on any volume, for less than two seconds",
            storage.stumble,
            0.5,
            world=True,
            aimed=False,
            draw=_a_moment,
        ),
        Kind("vanish", "a running server's data is deleted", storage.vanish, world=True),
        Kind(
            "other_data",
            "a pod comes back with a volume of another set, and then with an empty one",
            bootstrap.other_data,
            world=True,
        ),
        Kind(
            "refuse_bootstrap",
            "a pod comes back with a volume on which its bootstrap refuses to work",
            bootstrap.refuse_bootstrap,
            world=True,
        ),
        Kind(
            "fail_copies",
            "no initdb, clone or rewind ends well on a node",
            bootstrap.fail_copies,
            world=True,
            details=("", "after its volume is lost", "of data to be cloned anew"),
        ),
        Kind(
            "lower_settings",
            "max_connections is lowered below what the data was written with, and set back",
            bootstrap.lower_settings,
            world=True,
            aimed=False,
            details=bootstrap.SOURCES,
        ),
        Kind(
            "find_data",
            "a volume has data from before pgset",
            bootstrap.find_data,
            0.5,
            world=True,
            details=("", "of a standby"),
            draw=_at_first,
        ),
        Kind(
            "find_copies",
            "the volumes are copies of one snapshot that were written to apart",
            bootstrap.find_copies,
            0.5,
            world=True,
            aimed=False,
            draw=_of_the_first,
        ),
        Kind(
            "object_to_data",
            "a volume has data from before pgset that cannot become a set's for so long",
            bootstrap.object_to_data,
            0.5,
            world=True,
            draw=_of_the_first,
        ),
        Kind(
            "opt_out",
            "the set is opted out, and opted in again",
            wishes.opt_out,
            world=True,
            aimed=False,
        ),
        Kind(
            "restore_lease",
            "the API server is away, and etcd restored: the Lease is an older one again",
            kubernetes.restore_lease,
            world=True,
            aimed=False,
            details=("", "watches stay silent", "of the same primary", "given up"),
        ),
        Kind(
            "replace_cut_off",
            "all nodes are cut off together, and a replica is replaced elsewhere",
            kubernetes.replace_cut_off,
            world=True,
        ),
        Kind(
            "evict",
            "a node is not heard: its pods leave their Services, and are evicted",
            kubernetes.evict,
            world=True,
        ),
        Kind(
            "keep_pending",
            "a pod is deleted, and the next one stays Pending",
            kubernetes.keep_pending,
            world=True,
        ),
        Kind(
            "hide_set",
            "a sidecar is killed, and none that starts may read the StatefulSet",
            kubernetes.hide_set,
            world=True,
        ),
        Kind(
            "cancel_waits",
            "clients cancel a commit that waits for standbys for too long",
            kubernetes.cancel_waits,
            world=True,
            aimed=False,
        ),
        Kind(
            "hang_thread",
            "a thread of the sidecar hangs, while its others go on",
            node.hang_thread,
            2,
            world=True,
            details=(LOOP, LOOP, WATCHDOG, HTTP, PROBE),
        ),
        Kind(
            "change_settings",
            "the durability or the ttl is changed, and the pods are rolled",
            wishes.change_settings,
            world=True,
            aimed=False,
            details=("sync", "quorum", "sync-strict", "async", wishes.SHORTER),
        ),
        Kind("fence", "a pod is fenced, and unfenced", wishes.fence, world=True),
        Kind("reinit", "a replica is to be cloned again", wishes.reinit, world=True),
        Kind(
            "nofailover",
            "a member is not to take over from others",
            wishes.nofailover,
            0,  # drawn apart (tests/simulator/seeds.py)
            world=True,
        ),
        Kind(
            "prefer",
            "a member is to take over rather than others with the same data",
            wishes.prefer,
            0,  # likewise
            world=True,
        ),
        Kind(
            "failover",
            "a member is to lead whatever others have, where nobody may",
            wishes.failover,
            0,  # drawn apart (tests/simulator/seeds.py)
            world=True,
            details=("", wishes.UNTIL_IT_LEADS),
        ),
        Kind(
            "refuse_labels",
            "a policy for changes of pods refuses them, or the webhook that judges them is gone",
            kubernetes.refuse_labels,
            world=True,
            aimed=False,
            details=("refuse", "hang"),
        ),
        Kind(
            "promote_by_hand",
            "somebody promotes a replica by hand",
            postgres.promote_by_hand,
            2,
            world=True,
        ),
        Kind(
            "start_by_hand",
            "a replica crashes, and somebody starts it without standby.signal",
            postgres.start_by_hand,
            # Only in schedules that are written down, until the seeds may have other ones.
            0.0,
            world=True,
        ),
        Kind(
            "change_slot_name",
            "somebody sets primary_slot_name of a replica to nothing",
            postgres.change_slot_name,
            0.0,  # likewise
            world=True,
        ),
    )
}

_TAKES_A_POD: Final = ("delete_pod", "scale", "roll")


def only_wishes(schedule: Schedule) -> bool:
    """Whether nothing goes wrong, and no pod is taken away while another is not back yet."""
    taken = sum(fault.kind in _TAKES_A_POD for fault in schedule.faults)
    return taken <= 1 and all(ALL[fault.kind].wish for fault in schedule.faults)
