"""Any order of events among replicas: whoever is called is trusted, and all come to agree."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from certs.renewal import renewed
from certs.rotation import authorities_in, served_of
from tests.certs.replicas import (
    BUSY,
    CALM,
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
        self.healing, self.healed = False, -LAG

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

    # ── The Secret ────────────────────────────────────────────────────────────────────────

    @rule()
    def begin_a_rotation(self):
        trust, _ = renewed(None, NAMES, self.clock.wall(), LIFETIMES)
        self.trusts.append(trust)
        self.server.secret.write(trust)

    @rule()
    def delete_the_secret(self):
        self.server.secret.write(None)

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

    # ── What breaks calls by itself, until each replica has looked once ───────────────────

    @rule(names=st.sampled_from([WEBHOOKS, WEBHOOKS[:1], WEBHOOKS[1:]]))
    def blank_the_bundles(self, names):
        blank = dict.fromkeys(names, frozenset())
        self.server.bundles.write({**self.server.bundles.value, **blank})
        self.excused_since = self.clock.moves

    @rule(step=st.sampled_from([1.2, -1.2]))
    def step_the_clock(self, step):
        self.clock.stepped += LIFETIMES.authority * step
        self.clock.stepped += timedelta(hours=2) if step > 0 else -timedelta(hours=2)
        self.excused_since = self.clock.moves

    # ── The claims ────────────────────────────────────────────────────────────────────────

    @invariant()
    def is_trusted(self):
        was_healing = self.healing
        is_blank = not all(self.server.bundles.value.values())
        self.healing = is_blank or any(it.looked_at <= self.excused_since for it in self.replicas)
        if was_healing or self.healing:
            self.healed = self.clock.monotonic
        if self.clock.monotonic > self.healed + LAG:
            assert refusals(self.server, self.replicas) == set()

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
        assert refusals(self.server, self.replicas) == set()
        written = self.server.secret.version, self.server.bundles.version
        for replica in self.replicas:
            replica.end_round()
        assert written == (self.server.secret.version, self.server.bundles.version)

    def agree(self):
        """Whether all serve what the Secret holds, and its CA is trusted alone."""
        trust = self.server.secret.value
        served = {replica.served for replica in self.replicas}
        bundles = set(self.server.bundles.value.values())
        return (served, bundles) == (
            {served_of(trust)},
            {authorities_in(trust.authority.certificate)},
        )


def test_whatever_happens_who_is_called_is_trusted_and_all_come_to_agree():
    run_state_machine_as_test(
        Replicas,
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
