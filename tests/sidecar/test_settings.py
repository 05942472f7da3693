"""A user's annotations become settings or one clear sentence, and survive the environment."""

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import contract
from sidecar.settings import (
    MAX_TTL,
    MIN_TTL,
    InvalidSettingError,
    Settings,
    parse_enabled,
    parse_network_policy,
    parse_paused,
    watchdog,
)


def test_nothing_said_gives_the_defaults() -> None:
    assert Settings.from_annotations("orders", {}) == Settings(set_name="orders")


def test_annotations_of_others_are_passed_over() -> None:
    annotations = {"example.com/ttl": "nonsense"}
    assert Settings.from_annotations("orders", annotations) == Settings(set_name="orders")


def test_each_annotation_reaches_its_setting() -> None:
    annotations = {
        contract.CONTAINER: "db",
        contract.ROLE_LABEL: "name",
        contract.PRIMARY_VALUE: "pgset-primary",
        contract.REPLICA_VALUE: "pgset-replica",
        contract.DURABILITY: "sync-strict",
        contract.TTL: "20s",
        contract.RENEW_INTERVAL: "3",
        contract.MAX_LAG: "1MB",
        contract.UID: "70",
        contract.FIRST_ORDINAL: "5",
    }
    assert Settings.from_annotations("pgset", annotations) == Settings(
        set_name="pgset",
        container="db",
        role_label="name",
        primary_value="pgset-primary",
        replica_value="pgset-replica",
        durability="sync-strict",
        ttl=20,
        renew_interval=3,
        max_lag=2**20,
        uid=70,
        first_ordinal=5,
    )


@pytest.mark.parametrize(
    ("annotation", "value", "allowed"),
    [
        (contract.TTL, "10m", 'allowed: whole seconds from "9s" to "300s"'),
        (contract.TTL, "8s", 'allowed: whole seconds from "9s" to "300s"'),
        (contract.TTL, "", 'allowed: whole seconds from "9s" to "300s"'),
        (contract.RENEW_INTERVAL, "0s", 'allowed: whole seconds from "1s" to "300s"'),
        (contract.DURABILITY, "on", 'allowed: "async", "sync", "sync-strict", "quorum"'),
        (contract.ROLE_LABEL, "not a key", "allowed: a Kubernetes label key"),
        (contract.ROLE_LABEL, contract.SET_LABEL, "allowed: any label key except this one"),
        (contract.PRIMARY_VALUE, "-", "allowed: a Kubernetes label value"),
        (contract.CONTAINER, "Db", "allowed: the name of a container of the pod"),
        (contract.UID, "0", "allowed: a whole number from 1 to 2147483647"),
        (contract.UID, "²", "allowed: a whole number from 1 to 2147483647"),
        (
            contract.MAX_LAG,
            "16 miles",
            'allowed: a size with B, kB, MB, GB or TB, such as "16MB"',
        ),
        (contract.PRIMARY_VALUE, "replica", "primary-value and replica-value must differ"),
        (
            contract.RENEW_INTERVAL,
            "3s",
            "ttl (10s) must be at least 4 times renew-interval (3s)",
        ),
        (
            contract.TTL,
            "9s",
            "ttl (9s) must be at least 8s longer than renew-interval (2s), in which the kubelet "
            "stops the PostgreSQL of a frozen sidecar",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(
    annotation: str, value: str, allowed: str
) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        Settings.from_annotations("orders", {annotation: value})
    assert str(refused.value) == f'annotation {annotation}: "{value}" is not allowed; {allowed}'


@pytest.mark.parametrize("name", ["a" * 56, "two.parts", "Upper", "-dash"])
def test_a_set_whose_services_could_not_be_named_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettingError, match="must be a DNS label of at most 55"):
        Settings.from_annotations(name, {})


@pytest.mark.parametrize(("value", "enabled"), [("true", True), ("false", False)])
def test_opting_in(value: str, enabled: bool) -> None:
    assert parse_enabled({contract.ENABLED: value}) is enabled


def test_without_the_annotation_nobody_has_opted_in() -> None:
    assert parse_enabled({}) is False


@pytest.mark.parametrize(("value", "paused"), [("true", True), ("false", False)])
def test_pausing(value: str, paused: bool) -> None:
    assert parse_paused({contract.PAUSED: value}) is paused


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        ({}, False),
        ({contract.NETWORK_POLICY: "false"}, False),
        ({contract.NETWORK_POLICY: "true"}, True),
    ],
)
def test_a_network_policy_is_made_for_who_asks(annotations: dict[str, str], wanted: bool) -> None:
    assert parse_network_policy(annotations) is wanted


def test_without_the_annotation_nothing_is_paused() -> None:
    assert parse_paused({}) is False


@pytest.mark.parametrize(
    ("parse", "annotation"),
    [
        (parse_enabled, contract.ENABLED),
        (parse_paused, contract.PAUSED),
        (parse_network_policy, contract.NETWORK_POLICY),
    ],
)
def test_half_a_yes_is_refused(parse: Callable[[dict[str, str]], bool], annotation: str) -> None:
    with pytest.raises(InvalidSettingError, match='"yes" is not allowed; allowed: "true", "false"'):
        parse({annotation: "yes"})


_texts = st.text("abcxyz0", min_size=1, max_size=10)


@given(
    st.builds(
        Settings,
        set_name=_texts,
        container=st.none() | _texts,
        role_label=_texts,
        ttl=st.integers(MIN_TTL, MAX_TTL),
        max_lag=st.integers(1, 2**50),
        uid=st.none() | st.integers(1, 2**31 - 1),
        first_ordinal=st.integers(0, 9),
    )
)
def test_settings_survive_the_way_through_the_environment(settings: Settings) -> None:
    assert Settings.from_environment(settings.to_environment()) == settings


def admitted(ttl: int, renew_interval: int) -> Settings | None:
    annotations = {contract.TTL: f"{ttl}s", contract.RENEW_INTERVAL: f"{renew_interval}s"}
    try:
        return Settings.from_annotations("orders", annotations)
    except InvalidSettingError:
        return None


def frozen_until_dead(settings: Settings) -> int:
    """The longest from the last renewal that a sidecar sent to the end of its PostgreSQL, where
    everything comes as late as it can."""
    probe = watchdog(settings)
    frozen = settings.renew_interval + 1  # the loop was about to renew, a tick late
    third_failure = frozen + 3 * probe.period + 1  # the last probe before was good; 1 s each
    assert (probe.failures, probe.timeout) == (3, 1)
    signalled = third_failure + 1  # a preStop of any length, which the kubelet cuts there
    return signalled + 2  # and SIGKILL, the kubelet's minimum after SIGTERM


def test_the_watchdogs_sum_at_the_default() -> None:
    assert frozen_until_dead(Settings(set_name="orders")) == (2 + 1) + (3 * 1 + 1) + 1 + 2 == 10


@pytest.mark.thorough
def test_a_frozen_sidecars_postgresql_is_dead_before_the_lease_ends_with_all_that_is_allowed() -> (
    None
):
    every = product(range(MIN_TTL, MAX_TTL + 1), range(1, MAX_TTL + 1))
    allowed = [settings for ttl, renewal in every if (settings := admitted(ttl, renewal))]
    assert [s for s in allowed if frozen_until_dead(s) > s.ttl] == []
    assert len(allowed) > 1000


def test_nothing_is_denied_that_the_watchdog_has_the_time_for() -> None:
    """With the fastest probes that there are: the sum is the renew-interval and 8 s."""
    shortest = {
        renewal: frozen_until_dead(Settings(set_name="s", ttl=9, renew_interval=renewal))
        for renewal in (1, 2)
    }
    assert shortest == {1: 9, 2: 10}
    for renewal, seconds in shortest.items():
        assert admitted(seconds, renewal) is not None
        assert admitted(seconds - 1, renewal) is None
