"""The set's pods and their StatefulSet: which pods exist, how many are wanted, role labels."""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sidecar import contract
from sidecar.action import SetRole
from sidecar.kube.client import ApiClient, Json
from sidecar.kube.mirror import Mirror
from sidecar.memory.pods import PodsMemory
from sidecar.observation import Identity, Pod
from sidecar.settings import (
    InvalidSettingError,
    Settings,
    parse_enabled,
    parse_paused,
)
from sidecar.situation.set import ordinal

REVISION_LABEL = "controller-revision-hash"
"""Set by the StatefulSet controller: the template that a pod was made from."""


def is_paused(statefulset: Json | None) -> bool:
    """Return whether the set is paused; a value that can't be parsed means no."""
    try:
        return statefulset is not None and parse_paused(_annotations(statefulset))
    except InvalidSettingError:
        return False


def is_opted_out(statefulset: Json | None) -> bool:
    """Return whether it is opted out; a value that can't be parsed does not opt out."""
    try:
        return statefulset is not None and not parse_enabled(_annotations(statefulset))
    except InvalidSettingError:
        return False


def as_involved(statefulset: Json) -> Json:
    """Return the involvedObject of an Event about it; kubectl looks for the UID as well."""
    metadata = statefulset["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def is_taken_out(pod: Json) -> bool:
    """Return whether the node lifecycle controller has made this pod unready.

    It does so if it has not heard from a node for the grace period (`MarkPodsNotReady`), and
    changes the condition Ready alone. A kubelet makes a pod whose containers are ready unready only
    because of a readiness gate.
    """
    conditions = {it["type"]: it["status"] for it in pod.get("status", {}).get("conditions") or []}
    gates = [it["conditionType"] for it in pod.get("spec", {}).get("readinessGates") or []]
    return (
        conditions.get("Ready") == "False"
        and conditions.get("ContainersReady") == "True"
        and all(conditions.get(gate) == "True" for gate in gates)
    )


def is_unready(pod: Json) -> bool:
    """Return whether this pod is not ready, for its containers' sake or for its node's.

    A readiness gate does not count: that of a load balancer may open only after a pod has its role.
    """
    conditions = {it["type"]: it["status"] for it in pod.get("status", {}).get("conditions") or []}
    by_containers = conditions.get("ContainersReady") == "False"
    return is_taken_out(pod) or (conditions.get("Ready") == "False" and by_containers)


def backs_off(pod: Json, container: str | None) -> bool:
    """Return whether the kubelet waits before it starts this container again; None: the only one
    that the pod has."""
    return any(
        status["name"] == (container or status["name"])
        and ((status.get("state") or {}).get("waiting") or {}).get("reason") == "CrashLoopBackOff"
        for status in pod.get("status", {}).get("containerStatuses") or []
    )


def _uid(pod: Json) -> str:
    return str(pod["metadata"]["uid"])


def _annotations(item: Json) -> Mapping[str, str]:
    return item["metadata"].get("annotations") or {}


def _asked(pods: Iterable[Json], annotation: str) -> Mapping[str, str | None]:
    return {_uid(pod): _annotations(pod).get(annotation) or None for pod in pods}


def is_fenced(annotations: Mapping[str, str]) -> bool:
    """Return whether an operator has fenced the pod; any value but "true" means no."""
    return annotations.get(contract.FENCED) == "true"


def failover_priority(annotations: Mapping[str, str]) -> tuple[int, str | None]:
    """Return a pod's priority, and what is wrong with it: then it is the default."""
    default = contract.DEFAULT_FAILOVER_PRIORITY
    value = annotations.get(contract.FAILOVER_PRIORITY, str(default))
    priority = contract.failover_priority(value)
    if priority is not None:
        return priority, None
    allowed = f"allowed: a whole number from 0 to {contract.MAX_FAILOVER_PRIORITY}"
    return default, str(InvalidSettingError(contract.FAILOVER_PRIORITY, value, allowed))


def has_nofailover(annotations: Mapping[str, str]) -> bool:
    """Return whether an operator wants others to lead; any value but "true" means no."""
    return annotations.get(contract.NOFAILOVER) == "true" or failover_priority(annotations)[0] == 0


def signs(annotations: Mapping[str, str]) -> bool:
    """Return whether it is no sidecar of version 0.2.0 or before: only those may do without."""
    return (
        contract.INJECTED not in annotations or annotations.get(contract.SIGNS) == contract.SIGNS_BY
    )


_ANNOTATIONS: Final = (
    contract.FENCED,
    contract.REINIT,
    contract.FAILOVER,
    contract.NOFAILOVER,
    contract.FAILOVER_PRIORITY,
    contract.INJECTED,
    contract.SIGNS,
    contract.MIRROR,
)
"""What is read of a pod's."""
_MAX_VALUE: Final = 1024
"""Characters of one; what it may say has under 50."""
_MOST: Final = 64
"""Conditions, gates or containers of one pod; a usual one has five, none and three."""


def reduced(pod: Json, role_label: str) -> Json:
    """Return the pod with nothing but what is read here: of its own set's pods anybody may make
    more, and each may have as much as the API server stores."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, _annotations(pod)
    kept = {it: metadata[it] for it in ("name", "uid", "resourceVersion")}
    if "deletionTimestamp" in metadata:
        kept["deletionTimestamp"] = metadata["deletionTimestamp"]
    kept["labels"] = {it: labels[it] for it in (role_label, REVISION_LABEL) if it in labels}
    kept["annotations"] = {
        it: annotations[it][:_MAX_VALUE] for it in _ANNOTATIONS if it in annotations
    }
    gates = (pod.get("spec") or {}).get("readinessGates") or []
    return {
        "metadata": kept,
        "spec": {"readinessGates": gates[:_MOST]},
        "status": {
            "podIP": status.get("podIP"),
            "conditions": [
                {"type": it["type"], "status": it["status"]}
                for it in (status.get("conditions") or [])[:_MOST]
            ],
            "containerStatuses": [
                {"name": it["name"], "state": it.get("state")}
                for it in (status.get("containerStatuses") or [])[:_MOST]
            ],
        },
    }


def belongs(pod: Json, set_name: str) -> bool:
    """Return whether it is one of a set's pods, as the webhook lets them in.

    Others may have the label as well: it can be put on any pod later, and up to version 0.2.0 who
    made a mirror pod got round the webhook. Taken for members they would be waited for, and could
    have the set go back to the secrets of that version (`signs`).
    """
    metadata = pod["metadata"]
    named = re.fullmatch(rf"{re.escape(set_name)}-\d{{1,10}}", metadata["name"], re.ASCII)
    return named is not None and contract.MIRROR not in _annotations(pod)


class Pods:
    """The pods of one set."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        settings: Settings,
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        """`clock`: monotonic seconds. `on_change` is called when this has changed."""
        self._client = client
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._collection = f"/api/v1/namespaces/{namespace}/pods"
        self._mirror = Mirror(
            client,
            self._collection,
            {"labelSelector": f"{contract.SET_LABEL}={settings.set_name}"},
            clock=clock,
            on_change=self._notice,
            reduced=lambda pod: reduced(pod, settings.role_label),
        )
        self._statefulset = Mirror(
            client,
            f"/apis/apps/v1/namespaces/{namespace}/statefulsets",
            {"fieldSelector": f"metadata.name={settings.set_name}"},
            clock=clock,
            on_change=self._notice,
        )
        self._lock = threading.Lock()
        self._told: object = None
        self._memory = PodsMemory()
        self._changes = 0
        """Of the memory. A count that is read before it is never newer than what is read after."""
        self._known: tuple[object, int, tuple[Pod, ...]] = (None, 0, ())
        """What was read last, of which objects and after which change."""

    def start(self) -> None:
        """Begin to watch."""
        self._mirror.start()
        self._statefulset.start()

    def observe(self) -> tuple[Pod, ...] | None:
        """Return the pods in the order of their ordinals; None before the API server has answered
        once. Only so many are asked at once (`sidecar.peers`), and of those that somebody else has
        made, by greater ordinals, there may be hundreds."""
        changes, objects = self._changes, self._mirror.objects()
        if objects is None:
            return None
        read, at, pods = self._known
        # The mirror makes a new dict for each change. To read them takes longer than a decision.
        if read is not objects or at != changes:
            ours = filter(self._is_ours, objects.values())
            pods = tuple(sorted(map(self._pod, ours), key=lambda it: ordinal(it.name)))
            self._known = objects, changes, pods
        return pods

    def leaving_since(self, me: Identity) -> float | None:
        """Return when this pod was seen to be deleted; None while it is not."""
        return self._memory.leaving_since(me.uid)

    def unfenced_at(self, me: Identity) -> float | None:
        """Return when this pod was seen to be fenced no more; None: it is, or never was."""
        return self._memory.unfenced_at(me.uid)

    def reinit_is_answered(self, me: Identity, value: str) -> None:
        """This pod need not be cloned again for that: it was refused, or the next one is."""
        self._memory.reinit_is_answered(me.uid, value)
        self._changes += 1

    def failover_is_answered(self, me: Identity, value: str) -> None:
        """This pod need not lead for that: it was refused."""
        self._memory.failover_is_answered(me.uid, value)
        self._changes += 1

    def wanted(self) -> int | None:
        """Return how many replicas the StatefulSet has; None if that is not known."""
        statefulset = self._watched_statefulset()
        return None if statefulset is None else int(statefulset["spec"].get("replicas", 1))

    def statefulset(self) -> Json | None:
        """Return what an Event about the StatefulSet involves; None if it was not read."""
        found = self._watched_statefulset()
        return None if found is None else as_involved(found)

    def ordered(self) -> bool:
        """Return whether each pod is created only when those before it are ready."""
        spec = (self._watched_statefulset() or {}).get("spec")
        return spec is not None and spec.get("podManagementPolicy") != "Parallel"

    def paused(self) -> bool:
        """Return whether the operator has paused the set; a value that can't be parsed means no."""
        return is_paused(self._watched_statefulset())

    def opted_out(self) -> bool:
        """Return whether the StatefulSet exists and no longer opts in."""
        return is_opted_out(self._watched_statefulset())

    def set_role(self, action: SetRole) -> None:
        """Write one pod's role label; another pod of that name (another UID) is left alone."""
        patch = {
            "metadata": {
                "uid": action.uid,
                "labels": {self._settings.role_label: action.value},
            }
        }
        self._mirror.learn(self._client.merge(f"{self._collection}/{action.pod}", patch))

    def tell(self, me: Identity, sentence: str) -> None:
        """Write this pod's status annotation."""
        patch = {"metadata": {"uid": me.uid, "annotations": {contract.STATUS: sentence}}}
        self._mirror.learn(self._client.merge(f"{self._collection}/{me.name}", patch))

    def delete(self, me: Identity) -> None:
        """Delete this pod, by its UID. Raises ApiError; NotFoundError if it is gone."""
        self._client.delete(f"{self._collection}/{me.name}", me.uid)

    def _watched_statefulset(self) -> Json | None:
        return (self._statefulset.objects() or {}).get(self._settings.set_name)

    def _notice(self) -> None:
        """Wake the loop only for what it would see: a status changes for many other reasons."""
        with self._lock:
            objects = self._mirror.objects() or {}
            pods = [*filter(self._is_ours, objects.values())]
            self._memory.see(
                leaving=[_uid(pod) for pod in pods if "deletionTimestamp" in pod["metadata"]],
                taken_out=[_uid(pod) for pod in pods if is_taken_out(pod)],
                unready=[_uid(pod) for pod in pods if is_unready(pod)],
                fenced=[_uid(pod) for pod in pods if is_fenced(_annotations(pod))],
                reinit=_asked(pods, contract.REINIT),
                failover=_asked(pods, contract.FAILOVER),
                now=self._clock(),
            )
            self._changes += 1
            told = (
                *(self.observe(), self.wanted(), self.ordered()),
                *(self.paused(), self.opted_out()),
            )
            news, self._told = told != self._told, told
        if news:
            self._on_change()

    def _is_ours(self, pod: Json) -> bool:
        return belongs(pod, self._settings.set_name)

    def _pod(self, pod: Json) -> Pod:
        metadata = pod["metadata"]
        labels = metadata.get("labels") or {}
        priority, problem = failover_priority(_annotations(pod))
        return Pod(
            name=metadata["name"],
            uid=metadata["uid"],
            ip=pod.get("status", {}).get("podIP"),
            role=labels.get(self._settings.role_label),
            deleting="deletionTimestamp" in metadata,
            revision=labels.get(REVISION_LABEL),
            taken_out_since=self._memory.taken_out_since(metadata["uid"]),
            unready_since=self._memory.unready_since(metadata["uid"]),
            backs_off=backs_off(pod, self._settings.container),
            fenced_since=self._memory.fenced_since(metadata["uid"]),
            reinit=self._memory.reinit(metadata["uid"]),
            failover=self._memory.failover(metadata["uid"]),
            nofailover=has_nofailover(_annotations(pod)),
            failover_priority=priority,
            problem=problem,
            signs=signs(_annotations(pod)),
        )
