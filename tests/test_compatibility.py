"""docs/compatibility.md names the versions that tests run with, and no other as run."""

import re
from pathlib import Path

from deploy.local import images, postgresql, programs

PAGE = (Path(__file__).parents[1] / "docs/compatibility.md").read_text()


def test_kubernetes_and_helm_are_those_that_are_built() -> None:
    kubernetes = programs.KUBERNETES_RELEASES[programs.NEWEST_KUBERNETES]
    (helm,) = re.findall(r"version\.version=v(\d+\.\d+)", " ".join(programs.HELM.link_flags))
    assert f"\n| Kubernetes | {kubernetes} |" in PAGE
    assert f"\n| Helm | {helm} |" in PAGE


def test_promtool_is_that_of_the_module_that_is_built() -> None:
    """Prometheus 3.15.1 is its module's v0.315.1."""
    module = (programs.PROMTOOL.folder / "go.mod").read_text()
    (minor,) = re.findall(r"^\tgithub.com/prometheus/prometheus v0\.3(\d+)\.", module, re.M)
    assert f"\n| Prometheus | promtool 3.{minor} |" in PAGE


def test_kubeconform_is_that_of_the_module_that_is_built() -> None:
    module = (programs.KUBECONFORM.folder / "go.mod").read_text()
    (version,) = re.findall(r"^\tgithub.com/yannh/kubeconform v(\d+\.\d+)\.", module, re.M)
    assert f"\n| kubeconform | {version} |" in PAGE


def test_each_postgresql_that_tests_run_with_is_told_and_no_other_as_run() -> None:
    _, _, rest = PAGE.partition("\n| PostgreSQL |")
    rows = re.findall(r"^\| \| ([\d, ]+) \| (.*)$", f"| |{rest}", re.M)
    run = {it for versions, how in rows if "not run" not in how for it in versions.split(", ")}
    assert run == {*postgresql.SUITES}


def test_each_family_of_images_that_has_a_stand_in_is_told_as_that() -> None:
    _, _, section = PAGE.partition("\n## Images\n")
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.M)
    told = {
        name for names, how in rows if "stand-in" in how for name in re.findall("`(.*?)`", names)
    }
    references = (it.partition("/")[2].partition(":")[0] for it in images.STAND_INS.values())
    assert told == {*references}
