"""Taking a cluster away, whole, half started, killed or left over by a reboot.

What is found decides, not what should be there: every step takes whatever is left.
"""

import shutil
from pathlib import Path

from deploy.local import cgroups, host, network, paths, processes
from deploy.local.shell import run


def tear_down() -> None:
    """End every process, remove every trace, and put the host back as it was."""
    processes.kill_until_gone(_all_pids, cgroups.thaw)
    network.remove()
    cgroups.remove()
    _unmount_leftovers()
    host.restore()
    _keep_logs()
    run(["rm", "-rf", "--one-file-system", paths.state()])


def _all_pids() -> set[int]:
    """Every process of the cluster: recorded, in its namespaces, or in its cgroups."""
    recorded = {record.pid for record in processes.alive().values()}
    inside = processes.in_network_namespaces(network.existing_namespaces())
    return recorded | inside | cgroups.pids()


def _unmount_leftovers() -> None:
    """A cluster's mounts are private and end with it; this is for those of a killed one."""
    lines = Path("/proc/mounts").read_text().splitlines()
    points = [Path(line.split()[1]) for line in lines]
    for point in reversed(points):
        if point.is_relative_to(paths.state()):
            run(["umount", "--lazy", point])


def _keep_logs() -> None:
    if paths.logs().is_dir():
        shutil.rmtree(paths.last_logs(), ignore_errors=True)
        shutil.copytree(paths.logs(), paths.last_logs())
