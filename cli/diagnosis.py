"""What is wrong, and for each cause the one command that cures it. No I/O.

Anybody in the namespace may write an Event, an annotation or a Lease: what of it comes into a
command is quoted. What a sidecar says is known by its Event's reason, which is the name of its
situation; a cause that Kubernetes tells in words alone is known by its own words.
"""

from __future__ import annotations

import datetime
import json
import re
import shlex
from collections.abc import Iterator
from typing import Final

from cli import (
    caretaker,
    leaderless,
    password,
    quota,
    rollout,
    services,
    stays_out,
    storage,
    takeover,
)
from cli.cause import Cause
from cli.facts import PULL_FAILS, Pod, There, Workload
from cli.installation import Installation
from cli.leaderless import GIVES_UP, NOBODY_HAS_DATA, NOT_TO_LEAD, ORDERED, UNKNOWN_TO_HOLDER
from cli.pod_spec import images
from cli.seen import Seen, Surroundings
from sidecar import contract


def of_set(
    workload: Workload,
    there: There,
    installation: Installation,
    surroundings: Surroundings,
    *,
    now: datetime.datetime,
    kubectl: str = "kubectl",
) -> tuple[Cause, ...]:
    """Return what is wrong with one set, the likeliest root first; `kubectl`: as commands begin."""
    set_ = _Set(workload, there, installation, surroundings=surroundings, now=now, kubectl=kubectl)
    causes = list(dict.fromkeys(set_.causes()))
    told = {name for it in causes for name in it.pods}
    return (*causes, *(cause for name, cause in set_.missing() if name not in told))


class _Set(Seen):
    def causes(self) -> Iterator[Cause]:
        roots = [
            *self._scaled_to_nobody(),
            *self._paused(),
            *self._fenced(),
            *self._not_created(),
            *caretaker.roots(self),
        ]
        yield from roots
        yield from caretaker.causes(self)
        yield from services.causes(self)
        yield from takeover.causes(self)
        for pod in self.pods:
            yield from self._of_pod(pod)
        if not roots:
            yield from leaderless.causes(self)

    def missing(self) -> Iterator[tuple[str, Cause]]:
        """Yield the members that are not there, with what is known of each."""
        name = self.workload.name
        there = {it.name for it in self.pods}
        for absent in (it for it in self.workload.pods if it not in there):
            sentence = f"{absent} is absent: the StatefulSet's Events tell why"
            yield absent, self.cause(sentence, f"describe statefulset {name}")
        for pod in self.pods:
            if pod.leaving:
                if pod.leaves_by and (self.now - pod.leaves_by).total_seconds() >= STUCK:
                    yield pod.name, self._stuck(pod)
                continue
            if pod.name in self.workload.pods and not self.is_member(pod):
                says = pod.says or "it has not said anything yet"
                what = "neither primary nor replica" if pod.ready else "not ready"
                sentence = f"{pod.name} is {what}: {says}"
                yield pod.name, self.cause(sentence, f"describe pod {pod.name}")

    def _stuck(self, pod: Pod) -> Cause:
        if pod.finalizers and pod.phase in ENDED:
            return self.cause(
                f"{pod.name} has ended, and is kept by {', '.join(pod.finalizers)}: if nobody "
                "comes to take that off, do so",
                f"""patch pod {pod.name} --type merge -p '{{"metadata":{{"finalizers":null}}}}'""",
            )
        return self.cause(
            f"{pod.name} is being deleted and does not end: its node {pod.node} may be down. Once "
            "it is certain that the machine is off, deleting the node's object lets the pod go",
            f"describe node {shlex.quote(pod.node)}" if pod.node else f"describe pod {pod.name}",
        )

    # ── the StatefulSet ───────────────────────────────────────────────────────────────────

    def _scaled_to_nobody(self) -> Iterator[Cause]:
        """With as many as the Lease remembers: which of them has the newest data is not known."""
        known = self.lease.members if self.lease else ()
        before = max(map(self.workload.place, known), default=0)
        if not self.workload.replicas and before:
            yield self.cause(
                f"the set is scaled to 0: nobody serves what {', '.join(known)} have",
                f"scale statefulset {self.workload.name} --replicas={before}",
            )

    def _paused(self) -> Iterator[Cause]:
        if self.workload.paused:
            since = self.workload.paused_since
            yield self.cause(
                "the set is paused"
                + (f" since {since:%Y-%m-%d %H:%M} UTC or before" if since else "")
                + ": nobody takes over if its primary fails",
                f"annotate statefulset {self.workload.name} {contract.PAUSED}-",
            )

    def _fenced(self) -> Iterator[Cause]:
        for pod in self.pods:
            if pod.fenced and not pod.leaving:
                yield self.cause(
                    f"{pod.name} is fenced: its PostgreSQL is stopped, and it never leads",
                    f"annotate pod {pod.name} {contract.FENCED}-",
                    pod.name,
                )

    def _not_created(self) -> Iterator[Cause]:
        """Pods that the StatefulSet's controller can't create."""
        if contract.SET_LABEL not in self.workload.pod_labels:
            yield self.cause(
                "the webhook has not seen this StatefulSet since it opted in",
                f"rollout restart statefulset {self.workload.name}",
            )
        absent = set(self.workload.pods) - {it.name for it in self.pods}
        event = self.newest("StatefulSet", self.workload.name, "statefulset-controller")
        if not absent or event is None or event.reason != "FailedCreate":
            return
        change = quota.enough_for(event.message, self.quotas, len(absent))
        account = re.search(r'serviceaccount "([a-z0-9.-]+)" not found', event.message)
        if change is not None:
            name, hard = change
            patch = json.dumps({"spec": {"hard": hard}}, separators=(",", ":"))
            yield self.cause(
                f'the namespace\'s ResourceQuota "{name}" leaves no room for '
                f"{', '.join(sorted(absent))}: raise it",
                f"patch resourcequota {shlex.quote(name)} --type merge -p {shlex.quote(patch)}",
                *absent,
            )
        elif account:
            yield self.cause(
                f"pods can't be created: service account {account[1]} is missing",
                f"create serviceaccount {account[1]}",
                *absent,
            )
        elif asked := quota.within_limit_range(event.message):
            yield self.cause(
                "a LimitRange of the namespace refuses pods with the sidecar: let it ask for what "
                f"that allows, {asked}",
                self._annotate_set(contract.SIDECAR_RESOURCES, asked),
                *absent,
            )
        else:
            # A StatefulSet's controller that has tried in vain waits longer and longer; a new
            # revision has it try at once.
            refused = "failed calling webhook" in event.message
            verb = "rollout restart" if refused else "describe"
            yield self.cause(
                f"pods can't be created: {event.message}",
                f"{verb} statefulset {self.workload.name}",
                *absent,
            )

    def _annotate_set(self, name: str, value: str) -> str:
        """Return the command that sets an annotation where the set is opted in."""
        workload = self.workload
        if contract.OPTED_IN_BY not in workload.annotations:
            return f"annotate --overwrite statefulset {workload.name} {name}={shlex.quote(value)}"
        change = {"spec": {"template": {"metadata": {"annotations": {name: value}}}}}
        patch = json.dumps(change, separators=(",", ":"))
        return f"patch statefulset {workload.name} --type merge -p {shlex.quote(patch)}"

    # ── pods ──────────────────────────────────────────────────────────────────────────────

    def _of_pod(self, pod: Pod) -> Iterator[Cause]:
        if pod.leaving or pod.fenced:
            return
        if not pod.version:
            if self._comes_back_with_one(pod):
                yield self.cause(
                    f"{pod.name} has no sidecar, and so is no member: it comes back with one",
                    f"delete pod {pod.name}",
                    pod.name,
                )
            return
        why = rollout.hindrance(pod)
        if why and (undone := rollout.undone(self, pod, why)):
            yield undone
            return
        lacking = self._lacking_labels(pod)
        if lacking:
            yield self.cause(
                f"{pod.name} lacks labels of its template, by which its set, its StatefulSet and "
                f"Services know it: {', '.join(sorted(lacking))}",
                f"label --overwrite pod {pod.name} "
                + " ".join(shlex.quote(f"{key}={it}") for key, it in sorted(lacking.items())),
                pod.name,
            )
        if (waits := caretaker.not_replaced(self, pod)) is not None:
            yield waits
            return
        for it in pod.waiting:
            if it.reason in PULL_FAILS:
                yield self._image(pod, it.container, it.image)
                return
        yield from storage.causes(self, pod)
        yield from self._situation(pod)

    def _lacking_labels(self, pod: Pod) -> dict[str, str]:
        """Return what the pod's template has and the pod not; of other revisions that is not known,
        and the role is the sidecar's."""
        workload = self.workload
        if not pod.revision or pod.revision != workload.revision:
            return {}
        return {
            key: it
            for key, it in workload.pod_labels.items()
            if key != workload.role_label and pod.labels.get(key) != it
        }

    def _comes_back_with_one(self, pod: Pod) -> bool:
        """Whether the pod gets a sidecar when it is made anew, and nothing else makes it anew."""
        workload, webhook = self.workload, self.installation.part("pgset-webhook")
        return (
            contract.SET_LABEL in workload.pod_labels
            and pod.owner == workload.name
            and (workload.on_delete or not workload.rolling or pod.revision == workload.revision)
            and self.installation.registered is not False
            and (webhook is None or webhook.available > 0)
        )

    def _image(self, pod: Pod, container: str, image: str) -> Cause:
        ours = container == contract.SIDECAR_CONTAINER
        webhook = self.installation.part("pgset-webhook")
        if ours and webhook and image not in webhook.images:
            return self.cause(
                f"the sidecar of {pod.name} has image {image}, which can't be pulled; the webhook "
                "has another one by now: make the pod anew",
                f"delete pod {pod.name}",
                pod.name,
            )
        # Bootstrap runs in the database's image.
        named = self.workload.container if container == contract.BOOTSTRAP_CONTAINER else container
        wanted = images(self.workload.template.get("spec") or {}).get(named)
        if pod.owner and wanted and wanted != image:
            return self.cause(
                f"{pod.name} has image {image} in container {container}, which can't be pulled; "
                f"its template has {wanted}: make the pod anew",
                f"delete pod {pod.name}",
                pod.name,
            )
        return self.cause(
            f"node {pod.node} can't pull {image}, container {container} of {pod.name}: push or "
            "load it where nodes find it, or name its pull secret in the template; this tells more",
            f"describe pod {pod.name}",
            pod.name,
        )

    def _situation(self, pod: Pod) -> Iterator[Cause]:
        """What its sidecar said last; of a primary or a replica what keeps failing, alone."""
        event = self.warned(pod)
        if event is None or event.reason in OF_THE_SET:
            return
        failing = event.reason.endswith(contract.PROBLEM)
        if not (failing or self.present(pod) is event):
            return  # it has passed
        if "password authentication failed" in event.message:
            found = password.differs(self, pod, event.message)
            if found is not None:
                yield found
        elif self.is_member(pod) and not (failing and pod.signs):
            return  # it has passed, or its sidecar is one that does not tell when that is so
        elif event.reason == "SettingsRefused" and (fixed := self._settings()):
            yield self.cause(
                f"{pod.name} can't start with wal_level=minimal, which has no standbys",
                fixed,
                pod.name,
            )
        elif event.reason in rollout.REFUSED and (
            undone := rollout.undone(self, pod, event.message)
        ):
            yield undone
        elif event.reason in COPIED_AGAIN:
            yield self._cloned_again(pod, event.message)
        else:
            sentence, command = f"{pod.name}: {event.message}", f"describe pod {pod.name}"
            known = stays_out.cause(self, pod, event)
            yield known or self.cause(sentence, command, pod.name)

    def _cloned_again(self, pod: Pod, why: str) -> Cause:
        mark = shlex.quote('touch "$PGDATA/.pgset-reclone"')
        reasons = {it.reason for it in pod.waiting if it.container == self.workload.container}
        early = "PodInitializing" in reasons
        container = contract.BOOTSTRAP_CONTAINER if early else self.workload.container
        marks = f"{self.kubectl} exec {pod.name} -c {shlex.quote(container)} -- sh -c {mark}"
        if reasons and not early:
            # It runs for a moment each time that it is started again, and bootstrap has ended.
            marks = f"until {marks}; do sleep 1; done"
        return Cause(
            self.where,
            f"{pod.name} can't go on with its data ({why}): have it cloned again; the old "
            "directory is kept",
            f"{marks} && {self.kubectl} delete pod {pod.name}",
            (pod.name,),
        )

    def _settings(self) -> str:
        """Return what takes wal_level=minimal out of the template; "" if it is not there."""
        for index, container in enumerate((self.workload.template.get("spec") or {})["containers"]):
            for field in ("args", "command"):
                for place, word in enumerate(container.get(field) or []):
                    if re.fullmatch(r"(--|-c ?)?wal_level=minimal", word):
                        path = f"/spec/template/spec/containers/{index}/{field}/{place}"
                        change = {
                            "op": "replace",
                            "path": path,
                            "value": word.replace("minimal", "replica"),
                        }
                        patch = shlex.quote(json.dumps([change], separators=(",", ":")))
                        name = self.workload.name
                        return f"patch statefulset {name} --type json -p {patch}"
        return ""


STUCK: Final = 60.0
"""Seconds after the end of its grace period, from which on a pod that is still there is told."""

ENDED: Final = ("Succeeded", "Failed")
"""Phases of a pod whose containers have all ended."""

OF_THE_SET: Final = (
    *(*GIVES_UP, UNKNOWN_TO_HOLDER, NOT_TO_LEAD, NOBODY_HAS_DATA),
    *(*ORDERED, "Paused"),
)
"""Situations that are the set's, and are told once."""

COPIED_AGAIN: Final = ("RecloneFailed", "RewindFailed", "OnItsOwnTimeline", "NotComingUp")
"""Situations of a member whose data is of no use to it."""
