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
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from cli import quota
from cli.cause import Cause
from cli.facts import PULL_FAILS, Event, Json, Pod, There, Workload
from cli.installation import Installation
from cli.view import lease_of, pods_of, primary_of
from sidecar import contract


def of_set(
    workload: Workload,
    there: There,
    installation: Installation,
    quotas: Sequence[Json] = (),
    claims: Sequence[Json] = (),
    *,
    now: datetime.datetime,
) -> tuple[Cause, ...]:
    """Return what is wrong with one set, the likeliest root first."""
    set_ = _Set(workload, there, installation, quotas=quotas, claims=claims, now=now)
    causes = list(dict.fromkeys(set_.causes()))
    told = " ".join(it.sentence for it in causes)
    return (*causes, *(cause for name, cause in set_.missing() if name not in told))


class _Set:
    def __init__(
        self,
        workload: Workload,
        there: There,
        installation: Installation,
        *,
        quotas: Sequence[Json],
        claims: Sequence[Json],
        now: datetime.datetime,
    ) -> None:
        self._workload = workload
        self._now = now
        self._there = there
        self._installation = installation
        self._quotas = quotas
        self._claims = {it["metadata"]["name"]: it for it in claims}
        self._pods = pods_of(workload, there)
        self._kubectl = f"kubectl -n {workload.namespace}"
        self._where = f"{workload.namespace}/{workload.name}"
        self._lease = contract.lease_name(workload.name)

    def causes(self) -> Iterator[Cause]:
        roots = [*self._paused(), *self._not_created(), *self._grants()]
        yield from roots
        yield from self._services()
        for pod in self._pods:
            yield from self._of_pod(pod)
        if not roots:
            yield from self._nobody_leads()

    def missing(self) -> Iterator[tuple[str, Cause]]:
        """Yield the members that are not there, with what is known of each."""
        for pod in self._pods:
            if pod.name in self._workload.pods and not (self._is_member(pod) or pod.leaving):
                says = pod.says or "it has not said anything yet"
                what = "neither primary nor replica" if pod.ready else "not ready"
                sentence = f"{pod.name} is {what}: {says}"
                yield pod.name, self._cause(sentence, f"describe pod {pod.name}")

    def _is_member(self, pod: Pod) -> bool:
        roles = (self._workload.primary_value, self._workload.replica_value)
        return pod.ready and pod.labels.get(self._workload.role_label) in roles

    def _cause(self, sentence: str, command: str) -> Cause:
        return Cause(self._where, sentence, f"{self._kubectl} {command}")

    # ── the StatefulSet ───────────────────────────────────────────────────────────────────

    def _paused(self) -> Iterator[Cause]:
        if self._workload.paused:
            since = self._workload.paused_since
            yield self._cause(
                "the set is paused"
                + (f" since {since:%Y-%m-%d %H:%M} UTC or before" if since else "")
                + ": nobody takes over if its primary fails",
                f"annotate statefulset {self._workload.name} {contract.PAUSED}-",
            )

    def _not_created(self) -> Iterator[Cause]:
        """Pods that the StatefulSet's controller can't create."""
        if contract.SET_LABEL not in self._workload.pod_labels:
            yield self._cause(
                "the webhook has not seen this StatefulSet since it opted in",
                f"rollout restart statefulset {self._workload.name}",
            )
        absent = set(self._workload.pods) - {it.name for it in self._pods}
        event = self._newest("StatefulSet", self._workload.name, "statefulset-controller")
        if not absent or event is None or event.reason != "FailedCreate":
            return
        change = quota.enough_for(event.message, self._quotas, len(absent))
        account = re.search(r'serviceaccount "([a-z0-9.-]+)" not found', event.message)
        if change is not None:
            name, hard = change
            patch = json.dumps({"spec": {"hard": hard}}, separators=(",", ":"))
            yield self._cause(
                f'the namespace\'s ResourceQuota "{name}" leaves no room for '
                f"{', '.join(sorted(absent))}: raise it",
                f"patch resourcequota {shlex.quote(name)} --type merge -p {shlex.quote(patch)}",
            )
        elif account:
            yield self._cause(
                f"pods can't be created: service account {account[1]} is missing",
                f"create serviceaccount {account[1]}",
            )
        else:
            yield self._cause(
                f"pods can't be created: {event.message}",
                f"rollout restart statefulset {self._workload.name}",
            )

    def _grants(self) -> Iterator[Cause]:
        event = self._newest("StatefulSet", self._workload.name, CARETAKER, GRANT_MISSING)
        primary = primary_of(self._workload, self._there)
        if event is not None and primary is None:
            account = self._workload.service_account or contract.service_account(
                self._workload.name
            )
            subject = f"{self._workload.namespace}:{account}"
            yield self._cause(
                f"service account {account} lacks the rights of the sidecars",
                f"create rolebinding {shlex.quote(f'pgset-sidecar-{account}')} "
                f"--clusterrole=pgset-sidecar --serviceaccount={shlex.quote(subject)}",
            )

    # ── Services ──────────────────────────────────────────────────────────────────────────

    def _services(self) -> Iterator[Cause]:
        workload = self._workload
        own = {
            contract.primary_service(workload.name): workload.primary_value,
            contract.replica_service(workload.name): workload.replica_value,
        }
        for service in self._there.services:
            if service.namespace != workload.namespace:
                continue
            labels = {**workload.pod_labels, contract.SET_LABEL: workload.name}
            names_the_pods = service.headless and service.name == workload.governing_service
            to_database = service.target_ports & workload.database_ports or not service.target_ports
            role = own.get(service.name)
            if service.name == contract.primary_service(workload.name) and (
                service.selector.get(workload.role_label) != role
            ):
                yield self._cause(
                    f"Service {service.name} does not select the primary by its role: delete it, "
                    "and the caretaker makes the right one",
                    f"delete service {service.name}",
                )
            elif (
                role is None
                and service.selector
                and workload.role_label not in service.selector
                and service.selector.items() <= labels.items()
                and to_database
                and not names_the_pods
            ):
                change = {"spec": {"selector": {workload.role_label: workload.primary_value}}}
                patch = json.dumps(change, separators=(",", ":"))
                yield self._cause(
                    f"Service {service.name} leads to the primary and to read-only replicas alike: "
                    "if its clients write, make it select the primary alone",
                    f"patch service {service.name} --type merge -p {shlex.quote(patch)}",
                )

    # ── pods ──────────────────────────────────────────────────────────────────────────────

    def _of_pod(self, pod: Pod) -> Iterator[Cause]:
        if pod.leaving:
            return
        if not pod.version:
            if contract.SET_LABEL in self._workload.pod_labels:
                yield self._cause(
                    f"{pod.name} has no sidecar, and so is no member: it comes back with one",
                    f"delete pod {pod.name}",
                )
            return
        for it in pod.waiting:
            if it.reason in PULL_FAILS:
                yield self._image(pod, it.container, it.image)
                return
        yield from self._storage(pod)
        yield from self._situation(pod)

    def _image(self, pod: Pod, container: str, image: str) -> Cause:
        ours = container == contract.SIDECAR_CONTAINER
        webhook = self._installation.part("pgset-webhook")
        if ours and webhook and image not in webhook.images:
            return self._cause(
                f"the sidecar of {pod.name} has image {image}, which can't be pulled; the webhook "
                "has another one by now: make the pod anew",
                f"delete pod {pod.name}",
            )
        return self._cause(
            f"node {pod.node} can't pull {image}, container {container} of {pod.name}: push or "
            "load it where nodes find it, or name its pull secret in the template; this tells more",
            f"describe pod {pod.name}",
        )

    def _storage(self, pod: Pod) -> Iterator[Cause]:
        event = self._newest("Pod", pod.name, contract.SIDECAR_CONTAINER)
        full = event is not None and "No space left on device" in event.message
        for name in pod.claims if full else ():
            claim = self._claims.get(name)
            if claim is None:
                continue
            asked = (claim["spec"].get("resources") or {}).get("requests") or {}
            more = quota.doubled(asked.get("storage", ""))
            if more is not None:
                change = {"spec": {"resources": {"requests": {"storage": more}}}}
                patch = json.dumps(change, separators=(",", ":"))
                yield self._cause(
                    f"the volume of {pod.name} is full: let it grow, if its class allows that",
                    f"patch pvc {shlex.quote(name)} --type merge -p {shlex.quote(patch)}",
                )

    def _situation(self, pod: Pod) -> Iterator[Cause]:
        """What its sidecar said last, if it is neither primary nor replica."""
        event = self._newest("Pod", pod.name, contract.SIDECAR_CONTAINER)
        if event is None or not event.warning:
            return
        member = self._is_member(pod)
        container = shlex.quote(self._container(pod))
        if "password authentication failed" in event.message:
            # It is the same in all members, and only the primary can change it.
            primary = primary_of(self._workload, self._there)
            writer = (primary or pod).name
            # Who comes through the pod's own socket needs no password.
            statement = (
                'user="${POSTGRES_USER:-postgres}"; echo "alter role :\\"who\\" password '
                ':\'new\'" | psql -v ON_ERROR_STOP=1 -U "$user" -d postgres -v who="$user" '
                '-v new="${POSTGRES_PASSWORD:-$(cat "$POSTGRES_PASSWORD_FILE")}"'
            )
            yield self._cause(
                f"the superuser's password in {pod.name} is not the one of POSTGRES_PASSWORD: give "
                "it that one, on the primary",
                f"exec {writer} -c {container} -- sh -c {shlex.quote(statement)}",
            )
        elif member or event.reason in OF_THE_SET:
            return
        elif event.reason in COPIED_AGAIN:
            mark = 'touch "$PGDATA/.pgset-reclone"'
            yield self._cause(
                f"{pod.name} can't go on with its data ({event.message}): have it cloned again; "
                "the old directory is kept",
                f"exec {pod.name} -c {container} -- sh -c {shlex.quote(mark)} && {self._kubectl} "
                f"delete pod {pod.name}",
            )
        elif event.reason == "SettingsRefused" and (fixed := self._settings()):
            yield self._cause(
                f"{pod.name} can't start with wal_level=minimal, which has no standbys", fixed
            )
        else:
            yield self._cause(f"{pod.name}: {event.message}", f"describe pod {pod.name}")

    def _container(self, pod: Pod) -> str:
        early = self._has_no_database(pod)
        return contract.BOOTSTRAP_CONTAINER if early else self._workload.container

    def _settings(self) -> str:
        """Return what takes wal_level=minimal out of the template; "" if it is not there."""
        for index, container in enumerate(
            (self._workload.template.get("spec") or {})["containers"]
        ):
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
                        name = self._workload.name
                        return f"patch statefulset {name} --type json -p {patch}"
        return ""

    # ── nobody leads ──────────────────────────────────────────────────────────────────────

    def _nobody_leads(self) -> Iterator[Cause]:
        """Why, and who may decide that data is gone: a person, and only once all have spoken."""
        if primary_of(self._workload, self._there) is not None or not self._workload.replicas:
            return
        said = {
            pod.name: event
            for pod in self._pods
            if (event := self._newest("Pod", pod.name, contract.SIDECAR_CONTAINER)) is not None
        }
        reasons = {it.reason for it in said.values()}
        name = self._workload.name
        speaking = {it.name for it in self._pods if it.says and not it.leaving}
        silent = sorted(set(self._workload.pods) - speaking)
        lease = lease_of(self._workload, self._there)
        if "UnknownToHolder" in reasons and lease and lease.holder:
            yield self._cause(
                f"nobody leads, since {lease.holder} may still be writable where nobody hears "
                "of it: make sure that it does not run any more",
                f"delete pod {shlex.quote(lease.holder)} --force --grace-period=0",
            )
        elif silent:
            yield self._cause(
                f"nobody leads, and {', '.join(silent)} may have data that no other has: bring it "
                "back before anything else",
                f"describe statefulset {name}",
            )
        elif (reason := self._gives_up(said)) is not None:
            message = next(it.message for it in said.values() if it.reason == reason)
            removed = " ".join(f"{it}-" for it in GIVES_UP[reason])
            yield self._cause(
                f"nobody leads ({message}); only if that data is gone for good, give it up: WHAT "
                "ONLY IT HAD IS LOST THEN",
                f"annotate lease {self._lease} {removed}",
            )
        else:
            sentences = "; ".join(f"{it.name}: {it.says}" for it in self._pods)
            yield self._cause(f"nobody leads ({sentences})", f"describe lease {self._lease}")

    def _gives_up(self, said: Mapping[str, Event]) -> str | None:
        """Return what members have waited for, all that have data and for a while; else None."""
        started = [it for it in self._pods if not self._has_no_database(it)]
        last = [said.get(it.name) for it in started]
        patient = all(
            it is not None
            and it.reason in GIVES_UP
            and it.time is not None
            and (self._now - it.time).total_seconds() >= PATIENCE
            for it in last
        )
        reasons = {it.reason for it in last if it is not None}
        return next((it for it in GIVES_UP if patient and it in reasons), None)

    def _has_no_database(self, pod: Pod) -> bool:
        return self._workload.container in {it.container for it in pod.waiting}

    def _newest(self, kind: str, name: str, component: str, reason: str = "") -> Event | None:
        """Return the newest Event about an object, of the pod's present life."""
        uids = {it.uid for it in self._pods if it.name == name} if kind == "Pod" else set()
        found = [
            it
            for it in self._there.events
            if (it.namespace, it.kind, it.name) == (self._workload.namespace, kind, name)
            and it.component == component
            and (not uids or it.uid in uids)
            and (not reason or it.reason == reason)
        ]
        oldest = datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)
        # Of two in one second, the one that has passed is the one that warned.
        return max(found, key=lambda it: (it.time or oldest, not it.warning), default=None)


CARETAKER: Final = "pgset-caretaker"
GRANT_MISSING: Final = "GrantMissing"
"""The caretaker's name and one of its reasons, as `webhook.caretaker` has them."""

GIVES_UP: Final = {
    "TooFarBehind": (contract.POSITION,),
    "MissingCommits": (contract.IN_SYNC, contract.COPIES),
    "NotEligible": (contract.TIMELINE, contract.IN_SYNC, contract.COPIES, contract.MEMBERS),
}
"""What docs/limits.md says to take off the Lease, by the situation that waits for it."""

PATIENCE: Final = 60.0
"""Seconds: what members say while they fail over is not what they wait for."""

OF_THE_SET: Final = (*GIVES_UP, "UnknownToHolder", "Paused")
"""Situations that are the set's, and are told once."""

COPIED_AGAIN: Final = ("RecloneFailed", "RewindFailed", "OnItsOwnTimeline", "NotComingUp")
"""Situations of a member whose data is of no use to it."""
