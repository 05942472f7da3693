"""The plugin as one file, on the machines of users, with whatever kubectl they have."""

import ast
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from cli import arguments, completion
from cli.__main__ import COMMANDS, carry_out, split
from cli.kubectl import Kubectl, printable
from cli.look import followed
from cli.view import FAILED
from deploy import plugin
from tests.cli.objects import healthy, statefulset, the_set, there
from tests.deploy.manifests import cluster_role
from tests.webhook.objects import written_statefulset

ROOT = Path(__file__).parents[2]
ON_3_9 = sorted((ROOT / "cli").rglob("*.py")) + [ROOT / it for it in plugin.SHARED]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("plugin") / "kubectl-pgset"
    plugin.build(target)
    return target


def run(
    built: Path,
    *words: str,
    kubectl: str | None = None,
    isolated: bool = True,
    python: str = sys.executable,
    **more: str,
):
    """Run it, without what is installed here; `kubectl`: a shell script that stands in for it.

    `isolated`: Python's own variables do not count.
    """
    folder = built.parent / "bin"
    folder.mkdir(exist_ok=True)
    stand_in = folder / "kubectl"
    stand_in.unlink(missing_ok=True)
    if kubectl is not None:
        stand_in.write_text(f"#!/bin/sh\n{kubectl}\n")
        stand_in.chmod(0o755)
    return subprocess.run(
        [python, *(["-I"] if isolated else []), "-S", built, *words],
        env={"PATH": f"{folder}:/bin" if kubectl else str(folder), **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_defaults_are_those_of_the_settings() -> None:
    assert plugin.DEFAULTS.read_text() == plugin.defaults(), "make plugin writes them anew"


@pytest.mark.parametrize("path", ON_3_9, ids=lambda it: str(it.relative_to(ROOT)))
def test_every_module_is_one_for_python_3_9(path: Path) -> None:
    """What ruff does not see with target py39, and mypy, which knows 3.10 and newer only."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    newer = {"slots", "kw_only", "strict"}  # of dataclass and zip
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert not newer & {it.arg for it in node.keywords}, ast.unparse(node)
            asks_for_type = ast.unparse(node.func) in ("isinstance", "issubclass", "cast")
            assert not (asks_for_type and any(map(_is_union, node.args))), ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"UTC", "pairwise", "NoneType"}, ast.unparse(node)
    made = [it.value for it in tree.body if isinstance(it, ast.Assign | ast.AnnAssign)]
    assert not any(_is_union(it) for it in made if it is not None), "a type made at run time"
    annotated = any(isinstance(it, ast.FunctionDef) for it in tree.body)
    if annotated:
        assert "from __future__ import annotations" in path.read_text()


@pytest.fixture(scope="module")
def oldest() -> str:
    """The path of a Python 3.9, also of one that pyenv has beside others."""
    asks = ["python3.9", "-c", "import sys; print(sys.executable)"]
    environment = {**os.environ, "PYENV_VERSION": "3.9"}
    try:
        found = subprocess.run(asks, env=environment, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no Python 3.9")
    return found.stdout.strip()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status", "-o", "wide"], 0),
        (["status", "-o", "json"], 0),
        (["history", "orders"], 0),
        (["events", "orders", "-o", "json"], 0),
        (["switchover", "orders"], 0),
        (["doctor"], 1),
        (["failover", "orders", "--to", "orders-1"], 3),
    ],
    ids=lambda it: it[0] if isinstance(it, list) else "",
)
def test_it_runs_on_python_3_9_itself(built: Path, oldest: str, words, code) -> None:
    file = built.parent / "healthy.json"
    file.write_text(json.dumps({"items": healthy()}))
    done = run(built, *words, "-n", "shop", kubectl=f"cat {file}", python=oldest)
    assert "Traceback" not in done.stderr
    assert done.returncode == code


def _is_union(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)


def test_it_runs_with_nothing_but_the_standard_library(built: Path) -> None:
    done = run(built, "--version")
    assert (done.returncode, done.stdout) == (0, "pgset 0.2.0\n")


def test_the_same_sources_make_the_same_file(built: Path, tmp_path: Path) -> None:
    plugin.build(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == built.read_bytes()


def test_every_command_is_carried_out_by_something() -> None:
    assert set(arguments.commands()) == set(COMMANDS)
    assert all(callable(carry_out(it)) for it in COMMANDS)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "kubectl", "sentence"),
    [
        (["status"], None, "kubectl is not in PATH: install it first"),
        (
            ["status"],
            "echo 'Error from server (Forbidden): no' >&2; exit 1",
            "kubectl: (Forbidden): no",
        ),
        (["status"], "echo '{'", "kubectl: what it printed is no JSON"),
        (["status"], "echo null", "kubectl: what it printed is no object"),
        (
            ["status"],
            "printf 'Unable to connect to the server: no one\\n\\nSee:\\n x\\n' >&2; exit 1",
            "kubectl: Unable to connect to the server: no one",
        ),
        (["pause", "orders"], "echo '{\"items\": []}'", None),
        (["dance"], "exit 0", None),
        (["status", "a", "b"], "exit 0", None),
        (
            ["psql", "orders", "-c", "select 1"],
            "exit 0",
            "unrecognized arguments: -c select 1; psql's own words come after -- "
            "(see kubectl pgset --help)",
        ),
        (["status", "--", "a"], "exit 0", "only psql takes words after --"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_3(built: Path, words, kubectl, sentence) -> None:
    done = run(built, *words, kubectl=kubectl)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("kubectl pgset: ")
    assert done.stderr.count("\n") == 1
    if sentence is not None:
        assert done.stderr == f"kubectl pgset: {sentence}\n"


@pytest.mark.thorough
def test_kubectls_own_options_are_passed_on(built: Path) -> None:
    done = run(
        built, "status", "-n", "shop", "--context", "c", "--kubeconfig", "f",
        kubectl="echo $* >&2; exit 1",
    )  # fmt: skip
    assert "--context=c --kubeconfig=f get" in done.stderr
    assert "-n shop" in done.stderr


@pytest.mark.thorough
def test_status_reads_by_get_alone(built: Path, tmp_path: Path) -> None:
    """No exec, no proxy: whoever may get and list sees it."""
    asked = tmp_path / "asked"
    script = f'echo "$*" >> {asked}; echo \'{{"items": []}}\''
    for words in (["-n", "shop"], ["-A"], ["-n", "shop", "-o", "json"]):
        assert run(built, "status", *words, kubectl=script).returncode == 0
    words = [line.split() for line in asked.read_text().splitlines()]
    assert {it[0] for it in words} == {"get"}
    rules = cluster_role("pgset-view")["rules"]
    assert {it[1] for it in words} <= {kind for rule in rules for kind in rule["resources"]}
    assert all(rule["verbs"] == ["get", "list"] for rule in rules)


@pytest.mark.thorough
def test_there_is_no_colour_in_a_pipe(built: Path) -> None:
    done = run(built, "status", "-A", kubectl="echo '{\"items\": []}'", TERM="xterm")
    assert "\033" not in done.stdout


@pytest.mark.thorough
@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_somebody_wants_none(
    built: Path, no_color: str, coloured: bool
) -> None:
    folder = built.parent / "coloured"
    folder.mkdir(exist_ok=True)
    (folder / "healthy.json").write_text(json.dumps({"items": healthy()}))
    (folder / "kubectl").write_text(f"#!/bin/sh\nexec cat {folder}/healthy.json\n")
    (folder / "kubectl").chmod(0o755)
    ours, terminal = pty.openpty()
    with os.fdopen(ours, "rb") as shown, os.fdopen(terminal, "wb") as output:
        words = [sys.executable, "-I", "-S", built, "status", "-n", "shop"]
        environment = {"PATH": f"{folder}:/bin", "NO_COLOR": no_color}
        subprocess.run(words, stdout=output, env=environment, check=True)
        assert (b"\033[" in shown.read1()) is coloured


def test_nobody_writes_to_the_terminal_of_who_looks() -> None:
    hostile = {"says": ["\033]0;x\007\x9b31m a\nb\tc"]}
    assert printable(hostile) == {"says": ["\ufffd]0;x\ufffd\ufffd31m a b c"]}
    assert printable("a\u2028b\u202ec\u2066d\ud800") == "a\ufffdb\ufffdc\ufffdd\ufffd"


@pytest.mark.thorough
def test_a_terminal_of_another_encoding_gets_what_it_can_show(built: Path) -> None:
    annotations = {"pgset.dev/enabled": "true", "pgset.dev/durability": "für alle"}
    found = {
        "kind": "StatefulSet",
        "metadata": {"namespace": "shop", "name": "orders", "annotations": annotations},
    }
    script = f"cat <<'END'\n{json.dumps({'items': [found]}, ensure_ascii=False)}\nEND"
    done = run(built, "status", kubectl=script, isolated=False, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (1, "")
    assert "Durability: f?r alle" in done.stdout


def print_into(output: TextIO, built: Path, *words: str) -> tuple[int, str]:
    words = (sys.executable, built, *(words or ("completion",)))
    done = subprocess.run(words, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.thorough
def test_output_that_cannot_be_written_is_told_in_one_sentence(built: Path) -> None:
    with Path("/dev/full").open("w") as full:
        told = "kubectl pgset: can't write: No space left on device\n"
        assert print_into(full, built) == (3, told)


@pytest.mark.thorough
def test_output_that_nobody_reads_on_ends_it_without_a_word(built: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as pipe:
        assert print_into(pipe, built) == (141, "")
        assert print_into(pipe, built, "__complete", "st") == (141, "")


@pytest.mark.thorough
def test_a_kubectl_that_does_not_read_what_it_is_given_says_why(built: Path) -> None:
    file = built.parent / "orders.json"
    # More than fits into a pipe: who writes it waits for who reads it.
    large = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"all": "x" * 200_000}}
    file.write_text(json.dumps(large) + json.dumps(written_statefulset()))
    script = f"""
case "$*" in
*"-f -"*) exec <&-; echo "error: it is too old" >&2; sleep 0.2; exit 1 ;;
*) cat {file} ;;
esac"""
    words = ("inject", "-f", str(file), "--image", "pgset:1")
    done = run(built, *words, kubectl=script)
    assert done.returncode == 3
    assert done.stderr.endswith("kubectl pgset: kubectl: it is too old\n")


def test_words_after_two_dashes_are_psqls() -> None:
    assert split(["psql", "a", "--", "-c", "--"]) == (["psql", "a"], ["-c", "--"])
    assert split(["psql"]) == (["psql"], [])


@pytest.mark.thorough
def test_completion(built: Path) -> None:
    assert run(built, "__complete", "sw").stdout == "switchover\n:4\n"
    assert completion.split(["switchover", "-n", "shop", "--to=x", "orders", "-A"]) == (
        ["switchover", "orders"],
        {"-n": "shop", "--to": "x"},
    )
    assert "kubectl pgset __complete" in run(built, "completion").stdout


def test_kubectls_options_may_stand_before_the_command() -> None:
    parse = arguments.parser().parse_args
    before = parse(["-n", "shop", "--context", "c", "status", "orders"])
    assert (before.namespace, before.context, before.set) == ("shop", "c", "orders")
    assert parse(["-n", "shop", "status", "-n", "other"]).namespace == "other"
    assert parse(["status"]).namespace is parse(["status"]).context is None
    assert parse(["status", "--as", "x"]) == parse(["--as", "x", "status"])


def test_options_of_kubectls_own_that_are_passed_on() -> None:
    words = ["status", "--as=me", "--as-group", "a", "--as-group", "b", "-s", "x", "--client-key=k"]
    assert arguments.passed_on(arguments.parser().parse_args(words)) == [
        "--server=x", "--as=me", "--as-group=a", "--as-group=b", "--client-key=k"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["failover", "orders", "--to", "orders-1", "--y"],
        ["status", "--name", "shop"],
        ["--contex", "prod", "status"],
    ],
)
def test_no_option_is_known_by_its_first_letters(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(words)
    assert ended.value.code == FAILED
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("text", "meant"), [("90", 90), ("90s", 90), ("2m", 120), ("1h", 3600)])
def test_a_time_is_taken_as_kubectl_takes_it(text: str, meant: int) -> None:
    for command in (["switchover", "orders"], ["failover", "orders", "--to", "orders-1"]):
        assert arguments.parse([*command, "--timeout", text]).timeout == meant


@pytest.mark.parametrize("text", ["0", "0s", "-3", "1.5", "60 s", "1m30s", ""])
def test_what_is_no_time_is_refused_before_anything_is_asked(text: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(["switchover", "orders", f"--timeout={text}"])
    assert ended.value.code == FAILED
    assert f'"{text}" is no time; allowed: 90s' in capsys.readouterr().err


def test_an_empty_namespace_is_none() -> None:
    assert arguments.parse(["status", "-n", ""]).namespace is None
    assert completion._kubectl({"-n": ""})._namespace is None


def test_completion_asks_the_cluster_that_is_meant() -> None:
    _, options = completion.split(["status", "--context", "c", "--as=x", "-n", "shop"])
    kubectl = completion._kubectl(options)
    assert (kubectl.shown, kubectl.namespace) == ("kubectl --context=c --as=x", "shop")


def test_one_container_does_not_end_the_logs_of_the_others() -> None:
    words = followed(the_set(there(statefulset())), 2, ["pgset-sidecar", "postgres"], [])
    assert "--ignore-errors" in words
    assert "--tail=-1" not in words
    assert "--tail=-1" in followed(the_set(there(statefulset())), 2, ["a"], ["--since=10m"])


def test_in_a_pod_the_namespace_is_the_pods_own(tmp_path, monkeypatch) -> None:
    script = tmp_path / "kubectl"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    own = tmp_path / "namespace"
    monkeypatch.setattr("cli.kubectl.OWN_NAMESPACE", own)
    assert Kubectl([]).namespace == "default"
    own.write_text("shop\n")
    assert Kubectl([]).namespace == "shop"


def test_it_can_be_started_as_a_program(built: Path) -> None:
    assert os.access(built, os.X_OK)
    assert built.read_bytes().startswith(b"#!/usr/bin/env python3\n")
