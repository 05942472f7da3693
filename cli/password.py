"""A password that is not the one asked for: the superuser's, or the members' own. No I/O."""

from __future__ import annotations

import shlex
from typing import Final

from cli.cause import Cause
from cli.facts import Pod
from cli.seen import Seen
from cli.view import port_of
from sidecar import contract

SUPERUSER: Final = (
    'user="${POSTGRES_USER:-$(cat "${POSTGRES_USER_FILE:-/dev/null}")}"; user="${user:-postgres}"'
)
"""Sets $user in a shell in the database's container, where the image's own start is not seen."""

# Who comes through the pod's own socket needs no password. An empty one would be none at all, and
# what statements PostgreSQL logs would have the new one.
_STATEMENT: Final = """\
new="${{POSTGRES_PASSWORD:-${{PG_ROOT_PASSWORD:-}}}}"; \
for file in "${{POSTGRES_PASSWORD_FILE:-}}" /pgroot/password; do \
if [ -z "$new" ] && [ -n "$file" ] && [ -r "$file" ]; then new="$(cat "$file")"; fi; done; \
if [ -z "$new" ]; then echo "this pod has no password: nothing is changed" >&2; exit 1; fi; \
{user}; \
echo "set log_statement=none; set log_min_duration_statement=-1; \
set log_min_error_statement=panic; alter role :\\"who\\" password :'new'" | \
psql -X -v ON_ERROR_STOP=1 -U "$user" -p {port} -d postgres -v who="$user" -v new="$new\""""


def differs(seen: Seen, pod: Pod, message: str) -> Cause | None:
    """Return the cause by what PostgreSQL says; None while nobody leads, since only a primary can
    change it."""
    primary, workload = seen.primary, seen.workload
    if primary is None:
        return None
    if workload.rolling and not workload.on_delete:
        return seen.cause(
            f"a password of {pod.name} is not the one that is asked for: its set's pods are being "
            "restarted, and the older ones have another password; look again when that has ended",
            f"rollout status statefulset {workload.name}",
            pod.name,
        )
    if contract.REPLICATION_ROLE in message:
        return _of_another_secret(seen, pod, primary)
    statement = _STATEMENT.format(user=SUPERUSER, port=port_of(workload, seen.there))
    return seen.cause(
        f"the superuser's password in the database is not the one that {pod.name} has: set it to "
        f"that one, on the primary. If the Secret has just been changed, {primary.name} still has "
        "the former one: restart the pods instead, by "
        f"{seen.kubectl} rollout restart statefulset {workload.name}",
        f"exec {primary.name} -c {shlex.quote(workload.container)} -- "
        f"sh -c {shlex.quote(statement)}",
        pod.name,
    )


def _of_another_secret(seen: Seen, pod: Pod, primary: Pod) -> Cause:
    """By the replication role only members log in, with what each makes of its own pod's password.

    A rollout would wait for ever for a pod that can't be cloned before, and begins with the last.
    """
    what = (
        f"{pod.name} and the primary, {primary.name}, were made with different passwords of the "
        "superuser, mostly since their Secret was changed in between, and so"
    )
    if not _is_older(primary, pod):
        sentence = f"{what} {pod.name} can't follow: have it made anew"
        return seen.cause(sentence, f"delete pod {pod.name}", pod.name)
    older = [
        it.name
        for it in seen.pods
        if seen.is_member(it) and it not in (pod, primary) and _is_older(it, pod)
    ]
    others = [
        f"delete pod {it} && until {seen.kubectl} wait --for=condition=Ready pod/{it} "
        f"--timeout=5m; do sleep 1; done && {seen.kubectl} "
        for it in older
    ]
    return seen.cause(
        f"{what} {pod.name} can't follow: have the older pods made anew, the primary as the last",
        f"{''.join(others)}delete pod {primary.name}",
        pod.name,
    )


def _is_older(one: Pod, other: Pod) -> bool:
    return one.created is not None and other.created is not None and one.created < other.created
