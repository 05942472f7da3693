"""`python -m deploy.release FOLDER [URL]`: writes the files of a release.

URL: where the plugin's archive will be found, for krew's manifest; without it there is none.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Final

from deploy import plugin
from deploy.release.materials import bill_of_materials
from sidecar import contract

TEMPLATE: Final = Path(__file__).parent / "krew.yaml"
_LICENSE: Final = "LICENSE"


def write(folder: Path, url: str = "") -> list[Path]:
    """Write the files, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "kubectl-pgset"
    plugin.build(program)
    archive = folder / f"kubectl-pgset-{contract.VERSION}.tar.gz"
    archive.write_bytes(_archive(program))
    materials = folder / f"pgset-{contract.VERSION}.cdx.json"
    lock = (plugin.CHECKOUT / "requirements.txt").read_text()
    materials.write_text(json.dumps(bill_of_materials(lock), indent=1) + "\n")
    files = [program, archive, materials]
    if url:
        manifest = folder / "pgset.yaml"
        manifest.write_text(krew(archive.read_bytes(), url))
        files.append(manifest)
    return files


def krew(archive: bytes, url: str) -> str:
    """Return the plugin's manifest for krew."""
    text = TEMPLATE.read_text().partition("\n")[2]
    values = {
        "VERSION": f"v{contract.VERSION}",
        "URI": url,
        "SHA256": hashlib.sha256(archive).hexdigest(),
    }
    for name, value in values.items():
        text = text.replace(f": {name}\n", f": {value}\n")
    return text


def _archive(program: Path) -> bytes:
    """The plugin and its license, as krew unpacks them."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path, mode in ((program, 0o755), (plugin.CHECKOUT / _LICENSE, 0o644)):
            entry = tarfile.TarInfo(path.name)
            entry.size, entry.mode = path.stat().st_size, mode
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return packed.getvalue()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m deploy.release FOLDER [URL]")
    for file in write(Path(sys.argv[1]), *sys.argv[2:]):
        print(file)
