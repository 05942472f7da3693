"""Under each attack liveness is answered, the memory stays, and who comes next is served.

With generous bounds: how fast, `make bench-hostile` tells.
"""

import pytest

from tests.bench.hostile import LIMIT, PROBE, Outcome, measure, table
from tests.support.hostile import ATTACKS


@pytest.mark.busy
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("server", PROBE)
def test_no_attack_takes_a_server_of_ours_down(server: str, attack: str) -> None:
    outcome = measure(server, attack, 2)
    # A kubelet acts on three in a row.
    assert outcome.missing < 3, outcome
    assert outcome.memory < LIMIT[server] / 2, outcome
    assert outcome.next_served, outcome


def test_the_table_tells_what_was_not_answered() -> None:
    lines = table([Outcome("sidecar", "idle", float("inf"), 1, 20, 40.4, next_served=False)])
    assert lines.splitlines()[1].split() == [
        *("sidecar", "idle", "none", "1", "of", "20", "40", "MiB", "128", "MiB", "NO")
    ]
