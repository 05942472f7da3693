"""Faults of the network between nodes, the API server and the clients."""

from typing import Final

from tests.simulator.faults.strike import Strike
from tests.simulator.world import API, CLIENT

ONE_WAY: Final = ("sends nothing", "hears nothing")


def _cut(strike: Strike, inside: list[int], outside: list[int] | None) -> None:
    """In the direction that the fault's detail names, or in both."""
    network, detail = strike.world.network, strike.fault.detail
    cuts = []
    if detail != "hears nothing":
        cuts.append(network.cut(inside, outside))
    if detail != "sends nothing":
        cuts.append(network.cut(outside, inside))
    strike.cluster.network_changed()

    def end() -> None:
        strike.judge.reach.returns()
        for cut in cuts:
            network.heal(cut)
        strike.cluster.network_changed()

    strike.at_its_end(end)


def cut_node(strike: Strike) -> None:
    life = strike.hit()
    if life is not None:
        _cut(strike, [life.node.place], None)


def cut_from_api(strike: Strike) -> None:
    life = strike.life()
    if life is not None:
        strike.excuse_by_the_api()
        _cut(strike, [life.node.place], [API])


def cut_from_peers(strike: Strike) -> None:
    life = strike.life()
    if life is not None:
        others = [place for place in strike.cluster.nodes if place != life.node.place]
        strike.judge.excuses.any_fault(strike.world.now + strike.fault.seconds + 60)
        _cut(strike, [life.node.place], others)


def split(strike: Strike) -> None:
    strike.excuse_all(strike.fault.seconds)
    names = strike.fault.detail.split(",")
    inside = [int(name) for name in names if name.isdecimal()]
    inside += [API] if "api" in names else []
    inside += [CLIENT] if "client" in names else []
    everywhere = [*strike.cluster.nodes, API, CLIENT]
    outside = [place for place in everywhere if place not in inside]
    _cut(strike.without_detail(), inside, outside)


def lossy(strike: Strike) -> None:
    strike.excuse_all(strike.fault.seconds)
    api = strike.cluster.api
    api.loss = 0.3

    def end() -> None:
        api.loss = 0.0

    strike.at_its_end(end)
