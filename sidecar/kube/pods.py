"""The set's pods and their StatefulSet: who there is, how many are wanted, and role labels."""

from collections.abc import Callable
from typing import Final

from sidecar import contract
from sidecar.action import SetRole
from sidecar.kube.client import ApiClient, ApiError, Json, NotFoundError
from sidecar.kube.mirror import Mirror
from sidecar.observation import Identity, Pod
from sidecar.settings import Settings

_WANTED_AGE: Final = 10.0
"""Seconds for which the StatefulSet's number of replicas is not asked for again."""


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
        """`clock`: monotonic seconds. `on_change` is called when a pod changed."""
        self._client = client
        self._settings = settings
        self._clock = clock
        self._collection = f"/api/v1/namespaces/{namespace}/pods"
        self._statefulset = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{settings.set_name}"
        self._mirror = Mirror(
            client,
            self._collection,
            {"labelSelector": f"{contract.SET_LABEL}={settings.set_name}"},
            on_change=on_change,
        )
        self._wanted: int | None = None
        self._wanted_asked_at = float("-inf")
        self._wanted_for: frozenset[str] = frozenset()

    def start(self) -> None:
        """Begin to watch."""
        self._mirror.start()

    def observe(self) -> tuple[Pod, ...] | None:
        """Return the pods by name; None before the API server has answered once."""
        objects = self._mirror.objects()
        if objects is None:
            return None
        return tuple(self._pod(objects[name]) for name in sorted(objects))

    def wanted(self, *, urgent: bool) -> int | None:
        """Return how many members the StatefulSet wants; None where it is not known.

        Asked again when pods came or went, and while a leader is to be chosen (`urgent`).
        """
        names = frozenset(self._mirror.objects() or {})
        old = self._clock() - self._wanted_asked_at > _WANTED_AGE
        if old and (urgent or names != self._wanted_for or self._wanted is None):
            self._wanted_asked_at = self._clock()
            try:
                self._wanted = int(self._client.get(self._statefulset)["spec"]["replicas"])
                self._wanted_for = names
            except NotFoundError:
                self._wanted = None
            except ApiError:
                return self._wanted
        return self._wanted

    def set_role(self, action: SetRole) -> None:
        """Write one pod's role label; a pod of that name in another life is left alone."""
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

    def _pod(self, pod: Json) -> Pod:
        metadata = pod["metadata"]
        return Pod(
            name=metadata["name"],
            uid=metadata["uid"],
            ip=pod.get("status", {}).get("podIP"),
            role=metadata.get("labels", {}).get(self._settings.role_label),
            deleting="deletionTimestamp" in metadata,
        )
