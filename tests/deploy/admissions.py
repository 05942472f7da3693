"""Admissions without a pause, and which of them failed."""

import threading

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tests.deploy.cluster_tools import is_late
from tests.deploy.test_admission import pod

PAUSE = 0.05
"""Seconds between two admissions of one thread."""


class Admissions:
    """Pods of a set admitted one after the other, as dry runs, by two threads."""

    def __init__(self, api: client.CoreV1Api, namespace: str) -> None:
        self.admitted = 0
        self.failures: list[str] = []
        self.late = 0
        """Not answered in a webhook's seconds, or refused by the API server itself, as on a busy
        machine. Who is not trusted, or is not there any more, is told at once."""
        self._api = api
        self._namespace = namespace
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._admit_all) for _ in range(2)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _admit_all(self) -> None:
        while not self._stop.wait(PAUSE):
            try:
                admitted = self._api.create_namespaced_pod(self._namespace, pod(), dry_run="All")
            except (ApiException, HTTPError) as error:
                self._note(str(error))
                continue
            self.admitted += 1
            if not admitted.spec.init_containers:
                self.failures.append("admitted without a sidecar")

    def _note(self, failure: str) -> None:
        if is_late(failure) or "webhook" not in failure:
            self.late += 1
        else:
            self.failures.append(failure)

    def assert_all_well(self) -> None:
        """None failed, and few were late: who is never answered is not well either."""
        assert self.failures == []
        assert self.admitted > 20
        assert self.late < self.admitted / 10
