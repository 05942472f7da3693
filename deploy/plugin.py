"""Packs `kubectl pgset` into one file: python -m deploy.plugin [FILE].

A zip archive that Python runs as it is, since the plugin needs nothing but the standard library.
"""

import sys
import zipfile
from pathlib import Path
from typing import Final

from sidecar import contract
from sidecar.settings import DURABILITIES, Settings

CHECKOUT: Final = Path(__file__).parents[1]
DEFAULTS: Final = CHECKOUT / "cli/defaults.py"
SHARED: Final = ("sidecar/__init__.py", "sidecar/contract.py")
"""What the plugin takes of the sidecar as it is. `sidecar.settings` needs a newer Python."""

WEBHOOKS: Final = (
    "sidecar/settings.py",
    *(
        f"webhook/{name}.py"
        for name in (
            *("__init__", "advice", "bootstrap_container", "command_line", "database", "errors"),
            *("image_data", "initial_role", "injection", "json_patch", "manifest", "neighbours"),
            *("opt_in", "options", "own_account", "port", "profile", "refused_images"),
            *("resources", "server_checks", "settings", "shape", "sidecar_container"),
            *("template_opt_in", "update_strategy", "volume_checks"),
        )
    ),
)
"""What `inject` takes of the webhook, on Python 3.11 and newer."""


def defaults() -> str:
    """Return what `cli/defaults.py` has to be."""
    settings = Settings(set_name="any")
    values = {
        "ROLE_LABEL": settings.role_label,
        "PRIMARY_VALUE": settings.primary_value,
        "REPLICA_VALUE": settings.replica_value,
        "DURABILITY": settings.durability,
    }
    head = (
        '"""What holds where a set says nothing: made from `sidecar.settings` by `make plugin`."""'
    )
    lines = [f'{name}: Final = "{value}"' for name, value in values.items()]
    names = ", ".join(f'"{name}"' for name in DURABILITIES)
    lines.append(f"DURABILITIES: Final = ({names})")
    return "\n".join([head, "", "from typing import Final", "", *lines, ""])


def build(target: Path) -> None:
    """Write the plugin, the same bytes each time. The file is one that may be run."""
    if not DEFAULTS.is_file() or DEFAULTS.read_text() != defaults():
        DEFAULTS.write_text(defaults())  # and else not: whoever reads it beside us finds it whole
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = [path.relative_to(CHECKOUT) for path in sorted((CHECKOUT / "cli").rglob("*.py"))]
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry("__main__.py"), "from cli.__main__ import main\n\nmain()\n")
            for path in (*sources, *map(Path, (*SHARED, *WEBHOOKS))):
                archive.writestr(_entry(str(path)), (CHECKOUT / path).read_bytes())
    target.chmod(0o755)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


if __name__ == "__main__":
    words = sys.argv[1:]
    chosen = Path(words[0]) if words else CHECKOUT / "build/kubectl-pgset"
    build(chosen)
    print(f"{chosen} ({chosen.stat().st_size} bytes, pgset {contract.VERSION})")
