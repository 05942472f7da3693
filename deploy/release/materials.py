"""The image's bill of materials: what Python packages it has, in CycloneDX's JSON.

It is made from the lock, which the image is built from, and so lists each with the hashes that any
of its files may have. What comes with the base image is not in it.
"""

import re
from typing import Any

from sidecar import contract


def bill_of_materials(lock: str) -> dict[str, Any]:
    """Return the document for the packages of a requirements.txt with hashes."""
    found = re.findall(r"^([\w.-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$", lock, re.M)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "pgset",
                "name": "pgset",
                "version": contract.VERSION,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [_component(*it) for it in found],
    }


def _component(name: str, version: str, hashes: str) -> dict[str, Any]:
    url = f"pkg:pypi/{name}@{version}"
    files = [
        {"type": "distribution", "url": url, "hashes": [{"alg": "SHA-256", "content": it}]}
        for it in re.findall(r"sha256:(\w+)", hashes)
    ]
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        "externalReferences": files,
    }
