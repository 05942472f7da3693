"""What a release has beside the image, and the workflow that makes one elsewhere."""

import hashlib
import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import yaml

from deploy.release.__main__ import write
from deploy.release.materials import bill_of_materials
from sidecar import contract

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.txt").read_text()
WORKFLOW = (ROOT / ".github/workflows/release.yml").read_text()
STEPS = yaml.safe_load(WORKFLOW)["jobs"]["release"]["steps"]
URL = "https://example.com/kubectl-pgset.tar.gz"


def test_the_plugins_archive_is_what_its_manifest_says(tmp_path: Path) -> None:
    _, archive, _, manifest = write(tmp_path, URL)
    plugin = yaml.safe_load(manifest.read_text())
    (platform,) = plugin["spec"]["platforms"]
    assert plugin["spec"]["version"] == f"v{contract.VERSION}"
    assert platform["uri"] == URL
    assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as opened:
        modes = {it.name: it.mode for it in opened.getmembers()}
    assert modes == {platform["bin"]: 0o755, "LICENSE": 0o644}


def test_a_release_that_is_made_again_has_the_same_bytes(tmp_path: Path) -> None:
    first = [it.read_bytes() for it in write(tmp_path / "first", URL)]
    assert first == [it.read_bytes() for it in write(tmp_path / "second", URL)]


def test_the_bill_of_materials_has_each_locked_package() -> None:
    bill = bill_of_materials(LOCK)
    locked = re.findall(r"^(\S+)==(\S+)", LOCK, re.M)
    assert [(it["name"], it["version"]) for it in bill["components"]] == locked
    assert len({it["bom-ref"] for it in bill["components"]}) == len(locked)
    assert all(it["purl"].startswith("pkg:pypi/") for it in bill["components"])
    hashes = [file["hashes"] for it in bill["components"] for file in it["externalReferences"]]
    assert len(hashes) == LOCK.count("--hash=")


def test_the_images_labels_have_the_version_of_the_code() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)=("[^"]*"|\S+)', text))
    assert labels["version"] == contract.VERSION
    assert labels["licenses"] == "Apache-2.0"
    assert {"title", "description", "revision"} < {*labels}


def test_the_chart_of_a_release_runs_the_image_of_the_release(tmp_path: Path) -> None:
    chart = tmp_path / "deploy/chart/pgset"
    shutil.copytree(ROOT / "deploy/chart/pgset", chart)
    helm = tmp_path / "bin/helm"
    helm.parent.mkdir()
    helm.write_text("#!/bin/sh\n")
    helm.chmod(0o755)
    (script,) = [it["run"] for it in STEPS if it.get("name") == "Chart"]
    environment = {
        "PATH": f"{helm.parent}:/usr/bin:/bin",
        "REGISTRY": "registry.example.com/a",
        "GITHUB_REF_NAME": "v1.2.3",
    }
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True)
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert values["image"]["repository"] == "registry.example.com/a/pgset"
    annotations = yaml.safe_load((chart / "Chart.yaml").read_text())["annotations"]
    assert yaml.safe_load(annotations["artifacthub.io/images"]) == [
        {"name": "pgset", "image": "registry.example.com/a/pgset:1.2.3"}
    ]
    assert yaml.safe_load(annotations["artifacthub.io/changes"])


def test_what_the_workflow_calls_is_there() -> None:
    assert WORKFLOW.startswith("# NOT TRIED")
    commands = "\n".join(it.get("run", "") for it in STEPS)
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{it}:" in makefile for it in re.findall(r"make (\w+)", commands))
    for module in re.findall(r"python -m (\S+)", commands):
        assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()
    for path in re.findall(r"deploy/[\w./]+", commands):
        assert (ROOT / path).exists()
    assert "linux/amd64,linux/arm64" in commands
