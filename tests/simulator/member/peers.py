"""From sidecar to sidecar: what members say of themselves, and whether a holder may stay."""

from typing import Final

from sidecar.failsafe import CHALLENGE_SECONDS, Question, reason_to_refuse
from sidecar.memory.status import read_peer, with_fresh
from sidecar.observation import LeaseRecord, Observation, Peer, PostgresView
from sidecar.peers import SECONDS, STAY_SECONDS
from tests.simulator.kubernetes.api_server import Steps
from tests.simulator.member.member import NAMESPACE, Member
from tests.simulator.member.views import Views
from tests.simulator.member.watch import Watch
from tests.simulator.sidecar_process import HTTP

_WITHIN: Final = 0.0025
"""Seconds for a question and its answer within a pod network."""


class Answers:
    """What a member answers to others, for as long as its process runs."""

    def __init__(self, member: Member, watch: Watch, views: Views) -> None:
        self.member = member
        self._watch = watch
        self._views = views
        self._told: tuple[Observation, PostgresView, Peer] | None = None
        """The last answer, and what it was made of."""

    @property
    def are_given(self) -> bool:
        """Whether anybody is there to give them."""
        member = self.member
        return member.running and not member.stands_still and HTTP not in member.hung

    def status(self, name: str) -> Peer | None:
        """`GET /status?fresh=1`; None before the first look."""
        member, last = self.member, self.member.last
        if last is None:
            return None
        view = self._views.fresh_view()
        # All the others ask while nobody leads, and mostly nothing has changed in between.
        if self._told is None or self._told[0] is not last or self._told[1] != view:
            told = member.parts.describe(with_fresh(last, view), member.settings)
            self._told = (last, view, read_peer(name, told))
        return self._told[2]

    def challenge(self) -> float:
        """Answer a question that brings no challenge with one; its date, as nobody forges it."""
        return self.member.clock()

    def pledge(self, question: Question, issued_at: float) -> str | None:
        """Answer a question that brings a challenge of that date: None for a yes."""
        member, watch, now = self.member, self._watch, self.member.clock()
        if now - issued_at > CHALLENGE_SECONDS:
            return "the challenge is too old"
        return member.pledge.give(
            question.holder,
            int(question.resource_version),
            issued_at + question.ttl,
            lambda: reason_to_refuse(
                question,
                member.me,
                member.seal,
                watch.peek(),
                watch.pods or (),
                now=now,
                primary=member.settings.primary_value,
                nobody_takes_over=watch.paused or watch.opted_out,
            ),
            now,
        )


class Peers:
    """Asks the other members, all at once."""

    def __init__(self, member: Member, watch: Watch) -> None:
        self._member = member
        self._watch = watch

    def ask(self) -> Steps[dict[str, Peer]]:
        """As `sidecar.peers.Peers.ask`."""
        member = self._member
        asked = [pod for pod in self._watch.pods or () if pod.name != member.me.name]
        peers = {}
        for pod in asked:
            answers = self._reach(pod.name, pod.uid)
            answer = None if answers is None else answers.status(pod.name)
            if answer is not None:
                peers[pod.name] = answer
        all_answered = len(peers) == len(asked)
        yield 0.005 if all_answered else member.world.chance.choice((0.01, SECONDS))
        if peers:
            member.reach.hear_members(member.clock())
        return peers

    def ask_to_stay(self, names: tuple[str, ...], record: LeaseRecord) -> Steps[bool]:
        """As `sidecar.peers.Peers.ask_to_stay`: a question, a challenge, and the question again."""
        member, api = self._member, self._member.api
        uids = {pod.name: pod.uid for pod in self._watch.pods or ()}
        found = {name: self._reach(name, uids.get(name, "")) for name in names}
        challenged = {
            name: (answers, answers.challenge())
            for name, answers in found.items()
            if answers is not None
        }
        yield _WITHIN
        heard = yes = 0
        for name, (answers, issued_at) in challenged.items():
            if self._reach(name, uids[name]) is not answers:
                continue
            question = Question(
                set=member.seal.set_name,
                namespace=NAMESPACE,
                holder=record.holder,
                resource_version=record.resource_version,
                to=name,
                nonce="",
                ttl=member.settings.ttl,
            )
            heard += 1
            pledged = answers.pledge(question, issued_at) is None
            # The answer to the second of two requests may be lost.
            yes += pledged and member.world.chance.random() > api.loss
        yield _WITHIN if heard == len(names) else STAY_SECONDS - _WITHIN
        if heard:
            member.reach.hear_members(member.clock())
        member.reach.question_was_asked(member.clock(), answered=heard > 0)
        return yes == len(names)

    def _reach(self, name: str, uid: str) -> Answers | None:
        """Whoever lives at the address: also a pod that the API server does not know any more."""
        member = self._member
        lives = (it for it in member.cluster.lives if (it.name, it.uid) == (name, uid))
        life = next(lives, None)
        if life is None or life.agent is None:
            return None
        answers = life.agent.answers
        if not member.world.network.both_ways(member.pod.node.place, life.node.place):
            return None
        return answers if answers.are_given else None
