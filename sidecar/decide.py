"""What a member does, given what it observed: the rules that make a set safe, as one table.

The rules (design §3), in the order of what they protect:

1.  No PostgreSQL starts writable. Bootstrap puts `standby.signal` in place before every start, and
    a primary has it put back right after its promotion; until then a `recovery.signal` keeps it
    from starting at all, unless it has a `restore_command`. The exceptions:
    *   The very first start, by initdb (rule 5).
    *   A start with settings that PostgreSQL refuses to a standby, or on data that a standby
        refuses: once, under the Lease, and only if nobody else is a member and no other pod has
        data. Afterwards the file is put back as ever; but not with `wal_level=minimal` on the
        command line, since nobody can follow that, and so nobody else can lead.
    *   A set that was opted out, whose next pods have no sidecar to promote them: that of the last
        primary starts writable, if no other member may lead. Where nobody ever led, data starts as
        it was found.
    *   Data that pgset never had started, and that cannot become a set's, is left alone: in a set
        of one that nobody ever led, so that no other pod can have a copy of it.
2.  Only the Lease holder promotes. Not by a record that has gone back to an older one (etcd was
    restored): it counts as lost, the primary claims the Lease again, and without one nobody leads
    before every member has reported.
3.  A holder that cannot renew is no longer writable before anyone else can hold the Lease: it is
    stopped at ttl less a margin, by SIGINT, then SIGQUIT, then SIGKILL; sooner if it hears from
    nobody at all. It may stay while every member that could take over has answered that it will
    not, for a ttl. A member that is recorded as the only one has no rival, and is not fenced.
4.  The primary label is only on the pod that is writable, on one that has stopped and not come up
    since, or on one that is about to be promoted and read-only. After a release the new primary
    labels itself as soon as it has told PostgreSQL to be promoted, and then strips the old one;
    after an expiry it strips first, and labels itself once it is writable. With a promise, the new
    primary waits with that for the standbys to have all that it has, for a while: what it shows
    should not go with it. A replica that does not follow carries no role.
5.  initdb happens once in a set's life: on the lowest ordinal, under the Lease, while no system
    identifier is recorded and no pod of the set has data.
6.  A member may take over, if all of this is true:
    *   No operator has fenced it, or wants others to lead while others are on record.
    *   It is recorded as a member, of the recorded system identifier, and not on an older timeline
        than the recorded one.
    *   It has everything that can have been acknowledged (see `sidecar.synchronous`) or, where
        nothing is promised, is within max-lag.
    *   No member that could lead is further ahead. While the API server is silent for all, nobody
        can take the Lease: who is behind waits, until a moment after it is heard again.
    *   If the Lease ran out, its holder knew this very pod, by UID, or the holder's pod is gone: a
        member's former life may still let the holder stay where nobody else hears of it.

    Before it takes the Lease, it receives what only a member has that does not take it, from there:
    readers may have seen that and, where nothing is promised, it may be acknowledged. Not for long,
    and only from one that has followed the same primary, and nothing else since.

    A take that got no answer and lands late is weighed once more: others may have been silent.
    Where no Lease says which database is the set's, and all have reported, it is that of the lowest
    ordinal: positions of different system identifiers are never compared.

    Where nobody may lead by that, an operator may name a member. It leads whatever others have, if
    the Lease was not written since the operator looked at it, and has been free for so long that
    whoever may lead by the rules would have. It is a recorded member all the same, of the recorded
    system identifier, on no older timeline than the recorded one or that of a member that is heard;
    and rules 2 to 4 hold. What was promised before does not bind it, and others' WAL that it lacks
    is rule 7's.
7.  Data is never thrown away silently: a directory of another set is refused, unless it is marked
    to be cloned again; a diverged one is rewound, and one that is cloned again is kept. Data that
    is new to the set follows nobody before its WAL was compared with the primary's, since it may be
    a copy that was written to apart: then it stays as it is, and out. If the database has
    disappeared from under its server, nobody writes to what takes its place.
8.  One writer a directory: nothing is done in a data directory while another pod's heartbeat is
    seen in it. A pod whose directory another one has taken over kills its server at once, left
    alone or not, and beats there no more.

Pure: no clock, no I/O; the time is in the observation. What the rows ask is in
`sidecar.situation`, the times of a decision are in `sidecar.deadlines`.
"""

from collections.abc import Iterator

from sidecar.action import (
    Action,
    AnswerFailover,
    Decision,
    MarkForReclone,
    PutStandbySignal,
    RefuseReinit,
)
from sidecar.deadlines import (
    asks_peers,
    seconds_to_look,
    seconds_to_stop,
    seconds_to_the_kubelet,
)
from sidecar.observation import Observation
from sidecar.settings import Settings
from sidecar.situation import Situation
from sidecar.table import TABLE, first_that_holds
from sidecar.table.steps import Part


def decide(
    observation: Observation, settings: Settings, table: tuple[Part, ...] = TABLE
) -> Decision:
    """Return what to do now; the first row of the table that holds decides."""
    s = Situation(observation, settings)
    row = first_that_holds(s, table)
    return Decision(
        asks_peers=asks_peers(s),
        fence_in=seconds_to_stop(s),
        probe_fails_in=seconds_to_the_kubelet(s),
        authority_for=s.lease.fence_in if s.lease.names_me else None,
        actions=(*_keep_next_start_read_only(s), *row.actions(s), *_answer_wishes(s)),
        situation=row.name,
        sentence=row.sentence.format(s=s),
        attention=row.attention,
        role=row.role,
        look_in=seconds_to_look(s),
    )


def _keep_next_start_read_only(s: Situation) -> Iterator[Action]:
    """Rule 1, before anything that may fail: the next start of this server is read-only."""
    if s.observation.postgres.standby_signal or s.bootstrap.is_running:
        return
    # If the data has vanished there is nothing to start, and the file would only be in the way; in
    # a directory that another pod has taken over nothing is written at all.
    if s.observation.bootstrap.left_alone:
        return
    stays_away = s.data.must_not_run or s.opt_out.next_pod_starts_writable or s.start.is_writable
    # A standby has it, unless somebody has deleted it: then it would not even end a promotion.
    if not stays_away:
        yield PutStandbySignal()


def _answer_wishes(s: Situation) -> Iterator[Action]:
    """After all else, and not while each moment counts."""
    if s.lease.view is None or s.observation.renewal_failed_at is not None:
        return
    # Before bootstrap has reported, no peer is asked who leads.
    if s.observation.bootstrap.data is None:
        return
    asked, refusal = s.replica.reinit_was_asked, s.replica.reinit_refusal
    if asked is not None and s.pod.is_leaving:
        # Whoever has deleted it: this member's own request may have got no answer.
        if s.replica.is_reinitialized:
            yield MarkForReclone(asked)
    elif asked is not None and refusal is not None:
        yield RefuseReinit(asked, f"this member is not cloned again: {refusal}")
    asked = s.pod.failover_was_asked
    if asked is not None and s.lease.names_me:
        yield AnswerFailover(asked, None)
    elif asked is not None and s.failover.refusal is not None:
        yield AnswerFailover(
            asked, f"this member does not lead by annotation: {s.failover.refusal}"
        )
