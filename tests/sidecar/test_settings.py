"""A user's annotations become settings or one clear sentence, and survive the environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import contract
from sidecar.settings import (
    InvalidSettingError,
    Settings,
    parse_enabled,
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
        contract.DURABILITY: "async",
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
        durability="async",
        ttl=20,
        renew_interval=3,
        max_lag=2**20,
        uid=70,
        first_ordinal=5,
    )


@pytest.mark.parametrize(
    ("annotation", "value", "allowed"),
    [
        (contract.TTL, "10m", 'allowed: whole seconds from "8s" to "300s"'),
        (contract.TTL, "7s", 'allowed: whole seconds from "8s" to "300s"'),
        (contract.TTL, "", 'allowed: whole seconds from "8s" to "300s"'),
        (contract.RENEW_INTERVAL, "0s", 'allowed: whole seconds from "1s" to "300s"'),
        (contract.DURABILITY, "sync", 'allowed in this version: "async"'),
        (contract.ROLE_LABEL, "not a key", "allowed: a Kubernetes label key"),
        (contract.ROLE_LABEL, contract.SET_LABEL, "allowed: any label key but this one"),
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


def test_half_a_yes_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match='"yes" is not allowed; allowed: "true", "false"'):
        parse_enabled({contract.ENABLED: "yes"})


_texts = st.text("abcxyz0", min_size=1, max_size=10)


@given(
    st.builds(
        Settings,
        set_name=_texts,
        container=st.none() | _texts,
        role_label=_texts,
        ttl=st.integers(8, 300),
        max_lag=st.integers(1, 2**50),
        uid=st.none() | st.integers(1, 2**31 - 1),
        first_ordinal=st.integers(0, 9),
    )
)
def test_settings_survive_the_way_through_the_environment(settings: Settings) -> None:
    assert Settings.from_environment(settings.to_environment()) == settings


@given(st.integers(8, 300))
def test_the_watchdog_is_done_before_the_lease_can_be_taken(ttl: int) -> None:
    assert watchdog(Settings(set_name="orders", ttl=ttl)).worst_case < ttl
