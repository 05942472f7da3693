"""What an operator does: nothing is broken by it."""

from dataclasses import replace
from typing import Final

from tests.simulator.faults.strike import Strike

SHORTER: Final = "a ttl of 10 s"
UNTIL_IT_LEADS: Final = "until somebody leads"
OPERATORS_PAUSE: Final = 20.0
"""Seconds after which somebody asks again for what has not come."""


def switchover(strike: Strike) -> None:
    api = strike.cluster.api
    strike.excuse_all(0.0)
    if api.lease is not None and not api.outage:
        wish = f"{strike.settings.set_name}-{strike.fault.target}"
        api.write_lease(replace(api.lease, switchover_to=wish))


def pause(strike: Strike) -> None:
    cluster = strike.cluster
    cluster.paused = True
    cluster.set_changed()

    def end() -> None:
        cluster.paused = False
        cluster.set_changed()

    strike.at_its_end(end)


def scale(strike: Strike) -> None:
    strike.excuse_all(60.0)
    strike.cluster.wanted = strike.fault.target
    strike.cluster.set_changed()


def roll(strike: Strike) -> None:
    strike.excuse_all(150.0)
    strike.cluster.revision = f"{strike.fault.at}"
    strike.cluster.reconcile_soon()


def change_settings(strike: Strike) -> None:
    """The template's annotation is another, and the pods are rolled: for a while members of one
    set go by different ones."""
    cluster, what = strike.cluster, strike.fault.detail
    strike.excuse_all(150.0)
    if what == SHORTER:
        cluster.settings = replace(cluster.settings, ttl=10, renew_interval=2)
    else:
        cluster.settings = replace(cluster.settings, durability=what)
        if what == "async":
            strike.judge.promise_is_taken_back()
    cluster.revision = f"{what} since {strike.fault.at}"
    cluster.reconcile_soon()


def delete_pod(strike: Strike) -> None:
    life = strike.hit()
    if life is not None:
        strike.cluster.delete_pod(life.name)


def fence(strike: Strike) -> None:
    """Of a pod that is made anew meanwhile nobody wants that any more."""
    life, cluster = strike.hit(), strike.cluster
    if life is None or cluster.api.outage:
        return
    cluster.fence(life.name, fenced=True)

    def end() -> None:
        if cluster.pods.get(life.name) is life:
            cluster.fence(life.name, fenced=False)

    strike.at_its_end(end)


def nofailover(strike: Strike) -> None:
    """Likewise. It explains nothing: whoever leads goes on."""
    life, cluster = strike.life(), strike.cluster
    if life is None or cluster.api.outage:
        return
    cluster.mark(life.name, nofailover=True)

    def end() -> None:
        if cluster.pods.get(life.name) is life:
            cluster.mark(life.name, nofailover=False)

    strike.at_its_end(end)


def prefer(strike: Strike) -> None:
    """Until its pod is made anew."""
    life, cluster = strike.life(), strike.cluster
    if life is not None and not cluster.api.outage:
        cluster.prefer(life.name, 2)


def reinit(strike: Strike) -> None:
    """Refused by who leads, and while nobody does."""
    life, cluster = strike.hit(), strike.cluster
    if life is not None and not cluster.api.outage:
        cluster.ask_for_a_clone(life.name, f"{strike.fault.at}")


def failover(strike: Strike) -> None:
    """Somebody gives up what the others have, once or, more likely to be of use, again and again
    while nobody leads. No primary ends by it, whatever it was asked for."""
    cluster = strike.cluster

    def ask() -> None:
        life = strike.life()
        if life is not None and not cluster.api.outage:
            cluster.ask_to_lead(life.name)

    def ask_again() -> None:
        if strike.world.now >= strike.fault.at + strike.fault.seconds:
            return
        if not any(it.server is not None and it.server.could_write for it in cluster.lives):
            ask()
        strike.world.after(OPERATORS_PAUSE, ask_again)

    ask()
    if strike.fault.detail == UNTIL_IT_LEADS:
        strike.world.after(OPERATORS_PAUSE, ask_again)


def opt_out(strike: Strike) -> None:
    """The pods are rolled to plain ones, which are not made here (see `Cluster`); what the one that
    was left writable writes meanwhile is. Then the set is opted in again."""
    cluster, judge = strike.cluster, strike.judge
    strike.excuse_all(strike.fault.seconds + 60.0)
    cluster.opted_out = True
    cluster.revision = f"opted out at {strike.fault.at}"
    cluster.set_changed()

    def end() -> None:
        judge.plain_pods_have_run()
        cluster.opted_out = False
        cluster.revision = f"opted in after {strike.fault.at}"
        cluster.set_changed()

    strike.at_its_end(end)


def edit_lease(strike: Strike) -> None:
    """Written as it was, with a new version."""
    api = strike.cluster.api
    if api.lease is not None:
        api.write_lease(api.lease)
