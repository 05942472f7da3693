"""Where the time of a failover went, step by step. All pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.chaos.measure import write_gap
from tests.chaos.record import WRITABLE, Record


@dataclass(frozen=True)
class Step:
    """One step of a failover, and when it was seen, in seconds after the fault."""

    name: str
    at: float | None
    """None where it was not seen."""


def steps(record: Record) -> list[Step]:
    """Return the steps from the fault to the first row that the new primary acknowledged."""
    fault = record.moments.fault
    heir = new_primary(record)
    addresses = {it.address for it in record.pods if it.name == heir and it.address}

    def first(times: Iterable[float]) -> float | None:
        later = [it for it in times if it >= fault]
        return min(later) - fault if later else None

    gap, resumed = write_gap(record)
    return [
        Step("last row", gap.start - fault),
        Step("detect", first(_stirrings(record))),
        Step("stopped", first(_no_longer_writable(record))),
        Step("release", first(it.at for it in record.leases if not it.holder)),
        Step("take", first(it.at for it in record.leases if it.holder == heir)),
        Step("promote", first(_writable_times(record, heir))),
        Step("label", first(_label_times(record, heir))),
        Step("endpoints", first(_endpoint_times(record, addresses))),
        Step("first row", gap.end - fault if resumed else None),
    ]


def new_primary(record: Record) -> str:
    """Return the member that was writable after the gap; the old one where none other was."""
    gap, _ = write_gap(record)
    later = [it for it in record.looks if it.answered >= gap.end and it.state == WRITABLE]
    others = [it for it in record.looks if it.state == WRITABLE and it.member != record.primary]
    found = later or others
    return found[0].member if found else record.primary


def _stirrings(record: Record) -> Iterable[float]:
    """Yield when a member said something new, or the Lease changed."""
    said: dict[str, str] = {}
    for pod in record.pods:
        if said.setdefault(pod.name, pod.says) != pod.says:
            yield pod.at
        said[pod.name] = pod.says
    yield from (it.at for it in record.leases)


def _no_longer_writable(record: Record) -> Iterable[float]:
    looks = [it for it in record.looks if it.member == record.primary]
    return (it.answered for it in looks if it.state != WRITABLE)


def _writable_times(record: Record, heir: str) -> Iterable[float]:
    """Yield the first answers after the fault of a member that was not writable just before."""
    before = ""
    for look in (it for it in record.looks if it.member == heir):
        if look.state == WRITABLE != before:
            yield look.answered
        before = look.state


def _label_times(record: Record, heir: str) -> Iterable[float]:
    role = ""
    for pod in (it for it in record.pods if it.name == heir):
        if pod.role == "primary" != role:
            yield pod.at
        role = pod.role


def _endpoint_times(record: Record, addresses: set[str]) -> Iterable[float]:
    there = False
    for seen in record.endpoints:
        if addresses.intersection(seen.addresses) and not there:
            yield seen.at
        there = bool(addresses.intersection(seen.addresses))
