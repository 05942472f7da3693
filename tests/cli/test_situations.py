"""Each situation that warns somebody passes by itself, or doctor has a command that ends it, and
troubleshooting has it in any case."""

from pathlib import Path
from typing import Final

import pytest

from sidecar.action import Attention
from sidecar.table import TABLE
from tests.cli.objects import Json, causes, lease, pod, said, statefulset, with_replica
from tests.cli.test_member import new

TROUBLESHOOTING: Final = Path(__file__).parents[2] / "docs" / "troubleshooting.md"

WARNINGS: Final = sorted(
    row.name for part in TABLE for row in part.rows if row.attention is Attention.WARNING
)

PASS: Final = (
    *("DirectoryTaken", "DataVanished", "Orphaned", "Isolated", "PromotedByHand", "Fencing"),
    *("Reclaiming", "Superseded", "StartingWritable", "StartingRaised", "LostData", "Returning"),
    *("Recovering", "GivingUp", "ReturningAsReplica", "ReturningToReport", "TakenTooLate"),
    *("CannotPromote", "PromotionOverdue", "Diverged", "ReturningToSet", "LeftBehind"),
    *("FailingOver", "ChoosingDatabase", "SwitchoverFailed", "WaitingToRejoin"),
)
"""The member goes on by itself, or does so as soon as somebody leads."""

NO_COMMAND: Final = {
    "VolumeLost": "a node or its storage",
    "VolumeSilent": "likewise",
    "VolumeTakesNoWrites": "likewise; one that is full grows where PostgreSQL says so",
    "LeftAlone": "the Event says what of the database is in the way, which differs",
    "LeavingAlone": "likewise",
    "CannotBootstrap": "likewise; a new template is taken back",
    "StartFailed": "by PostgreSQL's own log; a new template is taken back",
    "InitdbFailed": "by the words of initdb",
    "CloneFailed": "by the words of pg_basebackup; passwords have commands of their own",
    "OutdatedLease": "who has not reported yet is told as who may have more",
    "Resigning": "another user, or another AppArmor profile, in the template",
    "NotStoppable": "likewise",
    "LockedOut": "by what the primary's own log says of the refused statement",
    "OutrunByPrimary": "how much room the primary's volume has; another copy comes by itself",
    "UnrelatedDatabase": "the one that is to lead does; then this is DataOfAnotherSet",
}
"""What only a look at something else can tell."""

# Of a set that is paused doctor tells by its annotation, whatever its members say.


IN_USE: Final = "another pod (UID 1-2) is writing to this data directory"
COPY: Final = {"name": "look", "uid": "1-2", "labels": {}, "ownerReferences": []}


def scenes(reason: str) -> list[list[Json]]:
    """A replica of a primary says so, in three sets; both members, and the only pod of two, while
    nobody leads."""
    minimal = statefulset()
    minimal["spec"]["template"]["spec"]["containers"][0]["args"] = ["-c", "wal_level=minimal"]
    waits = new(1, "replica", ready=False, says="waits")
    in_use = new(1, "replica", ready=False, says=IN_USE)
    copy = pod(7, "")
    copy["metadata"] |= COPY
    first, second = (new(it, "", says="waits") for it in (0, 1))
    return [
        with_replica(waits, said(reason)),
        [minimal, *with_replica(waits, said(reason))[1:]],
        [*with_replica(in_use, said(reason, IN_USE)), copy],
        [statefulset(), first, second, lease(), said(reason, number=0), said(reason)],
        [statefulset(), first, lease(), said(reason, number=0)],
    ]


def cures(reason: str) -> list[str]:
    looks = ("describe", "get", "logs")
    told = [it.command for scene in scenes(reason) for it in causes(*scene)]
    return [it for it in told if not set(looks) & {*it.split()}]


def test_a_situation_that_nobody_knows_has_no_command() -> None:
    assert cures("Unknown") == []


@pytest.mark.parametrize("reason", sorted({*WARNINGS} - {*PASS, *NO_COMMAND, "Paused"}))
def test_doctor_has_a_command_for_what_needs_a_person(reason: str) -> None:
    assert cures(reason)


@pytest.mark.parametrize("reason", sorted({*WARNINGS} - {*PASS}))
def test_what_needs_a_person_is_in_troubleshooting(reason: str) -> None:
    assert f"`{reason}`" in TROUBLESHOOTING.read_text()


def test_what_is_excused_is_a_warning_that_doctor_has_no_command_for() -> None:
    excused = {*PASS, *NO_COMMAND}
    assert excused <= {*WARNINGS}
    assert not {*PASS} & NO_COMMAND.keys()
    assert [it for it in sorted(excused) if cures(it)] == []
