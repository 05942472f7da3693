"""Any order of events among replicas: whoever is called is trusted, and all come to agree."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from certs.authority import CLOCK_SKEW
from certs.renewal import renewed
from certs.rotation import Publish, Serve, authorities_in, decide, served_of
from tests.certs.replicas import (
    BUSY,
    CALM,
    DELIVERY,
    LAG,
    LIFETIMES,
    NAMES,
    STALE,
    WEBHOOKS,
    Clock,
    Replica,
    Server,
    refusals,
)

STEP = 5.0
"""Seconds."""


class Replicas(RuleBasedStateMachine):
    """Two or three replicas that have served for a while, and what then happens to them."""

    @initialize(count=st.integers(2, 3))
    def start(self, count):
        self.clock = Clock()
        self.server = Server(self.clock)
        self.replicas = [Replica(self.server) for _ in range(count)]
        self.settle()
        self.trusts = [self.server.secret.value]
        self.excused_since = -1
        self.is_healing = False
        self.healed = -LAG
        self.heals_in = LAG
        self.back_at = 0.0

    def settle(self):
        for _ in range(3):
            self.clock.monotonic += STEP
            for replica in self.replicas:
                replica.end_round()

    def one(self, index):
        return self.replicas[index % len(self.replicas)]

    def is_calm(self, index):
        """Whether a replica is well for a while, so that it can be said to be in service."""
        offset = index % len(self.replicas) * CALM
        return (self.clock.monotonic + offset) % (BUSY + CALM) >= BUSY

    # ── The replicas ──────────────────────────────────────────────────────────────────────

    @rule(index=st.integers(0, 2), stale=st.sampled_from([0.0, 0.0, 0.0, STEP, STALE]))
    def move(self, index, stale):
        self.one(index).move(0.0 if self.is_calm(index) else stale)

    @rule(index=st.integers(0, 2), moves=st.integers(2, 12))
    def move_on(self, index, moves):
        for _ in range(moves):
            self.one(index).move()
            self.is_trusted()

    @rule(index=st.integers(0, 2))
    def crash(self, index):
        if not self.is_calm(index):
            self.one(index).crash()

    @rule(index=st.integers(0, 2))
    def replace_pod(self, index):
        if not self.is_calm(index):
            self.one(index).crash()
            self.replicas[index % len(self.replicas)] = Replica(self.server)

    @rule(seconds=st.sampled_from([1.0, STEP, 20.0, 120.0, 400.0]))
    def pass_by(self, seconds):
        for _ in range(max(1, int(seconds / STEP))):
            self.clock.monotonic += min(STEP, seconds)
            for index, replica in enumerate(self.replicas):
                if self.is_calm(index):
                    replica.end_round()
                    self.is_trusted()

    @precondition(lambda self: self.clock.monotonic >= self.back_at + BUSY + CALM)
    @rule(seconds=st.sampled_from([20.0, 400.0]))
    def lose_the_api_server(self, seconds):
        """For less than the last third of a leaf's life, and not all the time."""
        self.server.is_away = True
        for replica in self.replicas:
            replica.fail()
        self.clock.monotonic += seconds
        self.back_at = self.clock.monotonic
        self.server.is_away = False

    @precondition(lambda self: all(it.looked_at > self.excused_since for it in self.replicas))
    @rule(index=st.integers(0, 2), lives=st.sampled_from([0, 1.5]))
    def set_a_nodes_clock(self, index, lives):
        """Ahead of the others, or right again.

        By a clock that is past the end of every CA, the API servers' own certificates have
        ended too: that node changes nothing. And who makes the very first CA has to be right
        by an hour.
        """
        self.one(index).ahead = LIFETIMES.leaf * lives

    # ── The Secret ────────────────────────────────────────────────────────────────────────

    @rule()
    def begin_a_rotation(self):
        trust, _ = renewed(None, NAMES, self.clock.wall(), LIFETIMES)
        self.trusts.append(trust)
        self.server.secret.write(trust)

    @rule()
    def delete_the_secret(self):
        self.server.secret.write(None)

    @rule()
    def delete_what_is_served(self):
        """From the API server; what is mounted stays."""
        self.server.serving.write(None)

    @precondition(lambda self: self.server.secret.value is not None)
    @rule(which=st.sampled_from(["authority", "leaf"]))
    def mix_up_the_secret(self, which):
        """Half of it is of another round."""
        present = self.server.secret.value
        pair = getattr(present, which)
        other = getattr(self.trusts[0], which)
        broken = replace(pair, key=other.key if other.key != pair.key else b"")
        self.server.secret.write(replace(present, **{which: broken}))

    @rule(index=st.integers(0, 5))
    def restore_a_backup(self, index):
        self.server.secret.write(self.trusts[index % len(self.trusts)])

    # ── What breaks the calls of each replica by itself, until that one has looked ────────

    @rule(names=st.sampled_from([WEBHOOKS, WEBHOOKS[:1], WEBHOOKS[1:]]))
    def blank_the_bundles(self, names):
        blank = dict.fromkeys(names, frozenset())
        self.server.bundles.write({**self.server.bundles.value, **blank})
        self.excused_since = self.clock.moves

    @rule(step=st.sampled_from([1.2, -1.2]))
    def step_the_clock(self, step):
        for replica in self.replicas:
            replica.ahead = timedelta()
        self.clock.stepped += LIFETIMES.authority * step
        self.clock.stepped += timedelta(hours=2) if step > 0 else -timedelta(hours=2)
        self.excused_since = self.clock.moves
        # What is served is replaced, and has to be brought into the pods.
        self.heals_in = LAG + DELIVERY

    # ── The claims ────────────────────────────────────────────────────────────────────────

    @invariant()
    def is_trusted(self):
        in_force = self.server.bundles.in_force(LAG)
        is_blank = not all(bundle for it in in_force for bundle in it.values())
        # Any of them can mend what is served for all.
        unseen = all(it.looked_at <= self.excused_since for it in self.replicas)
        was_healing, self.is_healing = self.is_healing, is_blank or unseen
        if was_healing or self.is_healing:
            self.healed = self.clock.monotonic
            if set(self.server.mounted.in_force(DELIVERY)) != {self.server.serving.value}:
                # The CA of what a webhook still serves may be written nowhere any more.
                self.heals_in = LAG + DELIVERY
        if self.clock.monotonic > self.healed + self.heals_in:
            self.heals_in = LAG
            assert refusals(self.server) == set()

    def teardown(self):
        if not hasattr(self, "replicas"):
            return
        for _ in range(3):  # a rotation may just be due
            self.settle()
            self.clock.monotonic += LIFETIMES.overlap.total_seconds()
            self.settle()
            if self.agree():
                break
        assert self.agree()
        assert refusals(self.server) == set()
        written = self.versions()
        for replica in self.replicas:
            replica.end_round()
        assert written == self.versions()

    def versions(self):
        return [it.version for it in (self.server.secret, self.server.serving, self.server.bundles)]

    def agree(self):
        """Whether that is served which the Secret holds, and its CA is trusted alone."""
        trust = self.server.secret.value
        served = {self.server.serving.value}
        bundles = set(self.server.bundles.value.values())
        return (served, bundles) == (
            {served_of(trust)},
            {authorities_in(trust.authority.certificate)},
        )


SETTINGS = settings(
    max_examples=settings.default.max_examples // 5,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.thorough
@pytest.mark.hypothesis
def test_whatever_happens_who_is_called_is_trusted_and_all_come_to_agree():
    run_state_machine_as_test(Replicas, settings=SETTINGS)


# ── Each rule, broken ─────────────────────────────────────────────────────────────────────


def without_settling(seen, names, lifetimes):
    settled = max(seen.steady_for, lifetimes.settle)
    return decide(replace(seen, steady_for=settled), names, lifetimes)


def without_overlap(seen, names, lifetimes):
    over = seen.steady_for + lifetimes.overlap
    return decide(replace(seen, steady_for=over), names, lifetimes)


def serving_first(seen, names, lifetimes):
    step = decide(seen, names, lifetimes)
    if isinstance(step, Publish) and seen.served != served_of(seen.stored):
        return Serve(seen.stored)
    return step


@pytest.mark.thorough
@pytest.mark.parametrize("mutant", [without_settling, without_overlap, serving_first])
def test_a_broken_rule_is_found_out(monkeypatch, mutant):
    monkeypatch.setattr("certs.upkeep.decide", mutant)
    search = settings(
        SETTINGS,
        max_examples=4000,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Replicas, settings=search)


# ── What chance takes minutes to come by, played on purpose ───────────────────────────────


def writes_late(state):
    """One is held up before it publishes, while another rotation comes into service."""
    state.begin_a_rotation()
    state.move_on(0, moves=4)
    state.begin_a_rotation()
    for _ in range(3):
        state.clock.monotonic += STEP
        state.replicas[1].end_round()
    state.move_on(0, moves=1)


def makes_a_ca_by_a_clock_ahead(state):
    """It knows nothing any more, and finds no Secret."""
    state.crash(0)
    state.delete_the_secret()
    state.set_a_nodes_clock(0, lives=1.5)
    for _ in range(3):
        state.clock.monotonic += STEP
        state.move_on(0, moves=12)


def publish_whatever_was_written_meanwhile(registrations, authorities, _read):
    registrations.replica.pause()
    registrations.replica.server.bundles.write(dict.fromkeys(WEBHOOKS, authorities))


def valid_from_when_it_was_made(now, _known):
    return now - CLOCK_SKEW


@pytest.mark.parametrize(
    ("schedule", "place", "mutant"),
    [
        (
            writes_late,
            "tests.certs.replicas._Registrations.publish",
            publish_whatever_was_written_meanwhile,
        ),
        (
            makes_a_ca_by_a_clock_ahead,
            "certs.authority._valid_from",
            valid_from_when_it_was_made,
        ),
    ],
)
def test_what_a_rule_is_there_for_is_survived_with_it_and_not_without(
    monkeypatch, schedule, place, mutant
):
    played(schedule)
    monkeypatch.setattr(place, mutant)
    with pytest.raises(AssertionError):
        played(schedule)


def played(schedule):
    state = Replicas()
    state.start(2)
    schedule(state)
    state.is_trusted()
    state.teardown()
