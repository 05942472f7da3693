"""The superuser's password in the database that is not the one of its pods. No I/O."""

from __future__ import annotations

import shlex
from typing import Final

from cli.cause import Cause
from cli.facts import Pod
from cli.seen import Seen
from cli.view import port_of

# Who comes through the pod's own socket needs no password. An empty one would be none at all, and
# what statements PostgreSQL logs would have the new one.
_STATEMENT: Final = """\
new="${{POSTGRES_PASSWORD:-${{PG_ROOT_PASSWORD:-}}}}"; \
for file in "${{POSTGRES_PASSWORD_FILE:-}}" /pgroot/password; do \
if [ -z "$new" ] && [ -n "$file" ] && [ -r "$file" ]; then new="$(cat "$file")"; fi; done; \
if [ -z "$new" ]; then echo "this pod has no password: nothing is changed" >&2; exit 1; fi; \
user="${{POSTGRES_USER:-postgres}}"; \
echo "set log_statement=none; set log_min_duration_statement=-1; \
set log_min_error_statement=panic; alter role :\\"who\\" password :'new'" | \
psql -X -v ON_ERROR_STOP=1 -U "$user" -p {port} -d postgres -v who="$user" -v new="$new\""""


def differs(seen: Seen, pod: Pod) -> Cause | None:
    """Return the cause; None while nobody leads, since only a primary can change it."""
    primary, workload = seen.primary, seen.workload
    if primary is None:
        return None
    what = f"the superuser's password in {pod.name} is not the one that its pods have"
    if workload.rolling:
        return seen.cause(
            f"{what}: its pods are being made anew, and those of before have another one; look "
            "again when that has ended",
            f"rollout status statefulset {workload.name}",
            pod.name,
        )
    statement = _STATEMENT.format(port=port_of(workload, seen.there))
    return seen.cause(
        f"{what}: give it that one, on the primary. If it has just been changed in the Secret, "
        f"have the pods made anew instead, since {primary.name} still has the one of before: "
        f"{seen.kubectl} rollout restart statefulset {workload.name}",
        f"exec {primary.name} -c {shlex.quote(workload.container)} -- "
        f"sh -c {shlex.quote(statement)}",
        pod.name,
    )
