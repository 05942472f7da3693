"""One archive for a bug report: what `status` and `doctor` read of a set, and its logs."""

from __future__ import annotations

import io
import json
import tarfile
import time
from argparse import Namespace
from collections.abc import Iterable

from cli import as_json, look, read, text
from cli.doctor import causes_of, installation, told
from cli.facts import There, Workload
from cli.installation import Unread
from cli.kubectl import CannotError, Kubectl
from cli.pod_spec import Json
from cli.secrecy import text_without_secrets, without_secrets
from cli.text import Paint
from cli.view import objects_of, pods_of
from sidecar import contract

KINDS = ("statefulsets", "pods", "leases", "services", "events")
LINES = "--tail=2000"


def report(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Write the archive, and tell where it is."""
    where = kubectl.namespace
    items, kinds_unread = kubectl.together(*((kind, "-n", where) for kind in KINDS))
    there = There.from_json(items, kinds_unread)
    read.need(there)
    workload = read.the_set(there, chosen.set, where)
    of_set = read.only(there, workload)
    installed = installation(kubectl)
    unread = [*there.unread, *installed.unread]
    causes = causes_of(kubectl, [workload], there, installed, unread)
    pods = list(pods_of(workload, there))
    # PostgreSQL's own log has statements, and so what is in them: it stays where it is.
    try:
        lines = look.merged(kubectl, pods, [contract.SIDECAR_CONTAINER], [LINES]) if pods else []
    except CannotError as error:
        lines = []
        unread.append(Unread("logs", str(error)))
    plain = Paint(on=False)
    files = {
        "status.txt": text.status(read.views(of_set), plain, wide=True),
        "doctor.txt": told(causes, 1, plain, unread),
        "unread.txt": "".join(f"{it.what}: {it.why}\n" for it in unread),
        "sidecars.log": "\n".join(line for _, line in lines),
        "versions.txt": f"pgset {contract.VERSION}\n" + kubectl.run("version", check=False),
    }
    files = {path: text_without_secrets(content) for path, content in files.items()}
    status = json.loads(as_json.status(read.views(of_set)))
    files["status.json"] = json.dumps(without_secrets(status), indent=2)
    own = of_the_set(items, workload, there)
    for kind in sorted({it["kind"] for it in own}):
        kept = [without_secrets(it) for it in own if it["kind"] == kind]
        files[f"{kind.lower()}s.json"] = json.dumps(kept, indent=1)
    name = chosen.output or f"pgset-report-{workload.name}.tar.gz"
    try:
        _write(name, files)
    except OSError as error:
        raise CannotError(f"{name}: {error.strerror}") from None
    print(f"{name}: read it before you send it")
    return 0


def of_the_set(items: Iterable[Json], workload: Workload, there: There) -> list[Json]:
    """Return the set's own objects, and the Events about them: what else is in the namespace is
    nobody's who gets the report."""
    own = objects_of(workload, there)
    found = []
    for it in items:
        about = it.get("involvedObject") or it.get("regarding") or {}
        of = about if it["kind"] == "Event" else {"kind": it["kind"], **it["metadata"]}
        if (of.get("kind"), of.get("name")) in own:
            found.append(it)
    return found


def _write(name: str, files: dict[str, str]) -> None:
    with tarfile.open(name, "w:gz") as archive:
        for path, content in files.items():
            data = content.encode()
            entry = tarfile.TarInfo(f"pgset-report/{path}")
            entry.size, entry.mtime = len(data), int(time.time())
            archive.addfile(entry, io.BytesIO(data))
