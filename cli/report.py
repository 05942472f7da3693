"""One archive for a bug report: what `status` and `doctor` read, and the sidecars' logs."""

from __future__ import annotations

import io
import json
import tarfile
import time
from argparse import Namespace

from cli import as_json, look, read, text
from cli.doctor import causes_of, installation, told
from cli.facts import There
from cli.kubectl import CannotError, Kubectl
from cli.secrecy import without_secrets
from cli.text import Paint
from cli.view import pods_of
from sidecar import contract

KINDS = ("statefulsets", "pods", "leases", "services", "events")
LINES = "--tail=2000"


def report(kubectl: Kubectl, chosen: Namespace, paint: Paint) -> int:  # noqa: ARG001 - as all
    """Write the archive, and tell where it is."""
    where = kubectl.namespace
    objects = {kind: kubectl.items(kind, "-n", where) for kind in KINDS}
    there = There.from_json([it for items in objects.values() for it in items])
    workload = read.the_set(there, chosen.set, where)
    of_set = read.only(there, workload)
    causes = causes_of(kubectl, [workload], there, installation(kubectl))
    pods = list(pods_of(workload, there))
    # PostgreSQL's own log has statements, and so what is in them: it stays where it is.
    lines = look.merged(kubectl, pods, [contract.SIDECAR_CONTAINER], [LINES]) if pods else []
    plain = Paint(on=False)
    files = {
        "status.txt": text.status(read.views(of_set), plain, wide=True),
        "status.json": as_json.status(read.views(of_set)),
        "doctor.txt": told(causes, 1, plain),
        "sidecars.log": "\n".join(line for _, line in lines),
        "versions.txt": f"pgset {contract.VERSION}\n" + kubectl.run("version", check=False),
    }
    for kind, items in objects.items():
        kept = [without_secrets(it) for it in items]
        files[f"{kind}.json"] = json.dumps(kept, indent=1)
    name = chosen.output or f"pgset-report-{workload.name}.tar.gz"
    try:
        _write(name, files)
    except OSError as error:
        raise CannotError(f"{name}: {error.strerror}") from None
    print(name)
    return 0


def _write(name: str, files: dict[str, str]) -> None:
    with tarfile.open(name, "w:gz") as archive:
        for path, content in files.items():
            data = content.encode()
            entry = tarfile.TarInfo(f"pgset-report/{path}")
            entry.size, entry.mtime = len(data), int(time.time())
            archive.addfile(entry, io.BytesIO(data))
