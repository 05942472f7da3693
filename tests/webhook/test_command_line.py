"""What admission reads from a command line, as the kubelet, a shell and PostgreSQL would."""

import pytest

from webhook.command_line import CommandLine, Environment, read

ENVIRONMENT = [
    {"name": "PORT", "value": "5433"},
    {"name": "SAME", "value": "$(PORT)"},
    {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
]


P5 = ("postgres", "-p5")


def line(*words):
    return read(words, Environment(ENVIRONMENT))


@pytest.mark.parametrize(
    "arguments",
    [
        ["-p", "5433"],
        ["-p5433"],
        ["-Fp", "5433"],
        ["-ip5433"],
        ["-c", "port=5433"],
        ["-cport=5433"],
        ["-c", "PORT=5433"],
        ["-c", "port = 5433"],
        ["--port=5433"],
        ["--PORT=5433"],
        ["-p", "5432", "-c", "port=5433"],
        ["-p", "$(PORT)"],
        ["--port=$(SAME)"],
    ],
)
@pytest.mark.parametrize(
    "start",
    [
        ["docker-entrypoint.sh", "postgres"],
        ["docker-entrypoint.sh"],
        ["/usr/local/bin/docker-entrypoint.sh", "postgres"],
        ["/usr/lib/postgresql/17/bin/postgres"],
        ["tini", "--", "docker-entrypoint.sh", "postgres"],
        ["gosu", "postgres", "postgres"],
        ["env", "A=b", "docker-entrypoint.sh", "postgres"],
        ["tini", "-g", "-p", "SIGTERM", "--", "postgres"],
        ["dumb-init", "--single-child", "-r", "15:2", "postgres"],
        ["tini", "--", "sh", "-c", 'exec "$0" "$@"', "docker-entrypoint.sh"],
        ["setpriv", "--reuid=postgres", "--clear-groups", "postgres"],
        ["nice", "-n", "5", "/usr/lib/postgresql/17/bin/postgres"],
        ["env", "A=b", "sh", "-c", 'exec "$0" "$@"', "docker-entrypoint.sh", "postgres"],
    ],
)
def test_a_port_is_found_in_every_spelling(start, arguments):
    assert line(*start, *arguments).parameters["port"] == "5433"


@pytest.mark.parametrize(
    "words",
    [
        ["docker-entrypoint.sh", "postgres"],
        ["docker-entrypoint.sh", "postgres", "-c", "shared_buffers=1GB", "-N", "5433"],
        ["docker-entrypoint.sh", "postgres", "--", "-p", "5433"],
        ["docker-entrypoint.sh", "backup", "-p", "5433"],
        ["/scripts/start.sh", "-p", "5433"],
        ["psql", "-p", "5433"],
    ],
)
def test_what_is_no_port_of_the_server_is_not_taken_for_one(words):
    assert "port" not in line(*words).parameters


@pytest.mark.parametrize(
    ("arguments", "directory"),
    [
        (["-D", "/other"], "/other"),
        (["-D/other"], "/other"),
        (["-ED/other"], "/other"),
        (["-D", "/one", "-D", "/other"], "/other"),
        ([], None),
    ],
)
def test_the_directory_is_found(arguments, directory):
    assert line("docker-entrypoint.sh", "postgres", *arguments).config_directory == directory


@pytest.mark.parametrize("option", ["--data-directory=/other", "--data_directory=/other"])
def test_dashes_in_a_parameters_name_are_underscores(option):
    found = line("docker-entrypoint.sh", option).parameters
    assert found == {"data_directory": "/other"}


def test_short_options_are_the_parameters_that_they_stand_for():
    found = line("postgres", "-N9", "-h", "*", "-B", "16MB", "-F", "-l").parameters
    assert found == {
        "max_connections": "9",
        "listen_addresses": "*",
        "shared_buffers": "16MB",
        "fsync": "off",
        "ssl": "on",
    }


@pytest.mark.parametrize("value", ["$(SECRET)", "$(NOWHERE)"])
def test_what_only_the_pod_knows_stays_as_it_is_written(value):
    assert line("postgres", "-p", value).parameters == {"port": value}


@pytest.mark.parametrize(
    "words",
    [
        ["sh", "-c", 'cp /tls/* /certs; exec "$0" "$@"', "docker-entrypoint.sh", "postgres", "-p5"],
        ["bash", "-euo", "pipefail", "-c", 'exec docker-entrypoint.sh "$@"', "-", "-p", "5"],
        ["/bin/sh", "-ec", 'umask 077\nexec gosu postgres postgres "$@"\n', "x", "--port=5"],
        ["sh", "-c", "exec docker-entrypoint.sh postgres -p '5' \"${@}\"", "x"],
        ["docker-entrypoint.sh", "bash", "-c", "exec postgres -p5 $*", "x"],
        ["bash", "-c", 'exec docker-entrypoint.sh "${@:1}"', "x", "-p5"],
        ["bash", "-c", "exec docker-entrypoint.sh ${@:2}", "x", "y", "-p5"],
        ["bash", "-c", 'exec "${@:0}"', "postgres", "-p5"],
        ["sh", "-c", 'exec tini -- postgres "$@"', "x", "-p5"],
        ["sh", "-c", 'exec nice postgres "$@" > /log/postgres 2>&1', "x", "-p5"],
        [
            "sh",
            "-c",
            'ls | wc -l; id & pg_ctl stop; su a -c "psql"; exec postgres "$@"',
            "x",
            "-p5",
        ],
        ["sh", "-c", 'runuser -u postgres -- psql; sudo -u postgres id; exec "$@"', "x", *P5],
        ["sh", "-c", '[ "$0" = sh ] || set -- "$0" "$@"; exec postgres -p5 "$@"'],
    ],
)
def test_a_shell_that_passes_its_arguments_on_is_as_good_as_none(words):
    found = line(*words)
    assert not found.drops_arguments
    assert not found.lacks_a_name
    assert not found.forks
    assert found.parameters == {"port": "5"}


@pytest.mark.parametrize(
    "script",
    [
        "exec docker-entrypoint.sh postgres -c port=5",
        "cp /tls/* /certs && chmod 600 /certs/tls.key && exec docker-entrypoint.sh postgres -p 5",
        '# "$0"\nif true; then\n  exec docker-entrypoint.sh \\\n    postgres -p 5\nfi',
    ],
)
def test_a_shell_that_passes_nothing_on_is_known_and_read(script):
    found = line("sh", "-c", script)
    assert found.drops_arguments
    assert found.parameters == {"port": "5"}


@pytest.mark.parametrize(
    "script",
    [
        'exec docker-entrypoint.sh postgres "$@"',
        'exec docker-entrypoint.sh postgres "${@:1}"',
        """exec sh -c 'exec postgres "$@"' "$@" """,
    ],
)
def test_a_script_whose_first_argument_would_be_its_name_is_known(script):
    assert line("sh", "-c", script).lacks_a_name


@pytest.mark.parametrize(
    "script", ['docker-entrypoint.sh postgres "$@"', 'true; "$0" "$@"', 'postgres "$@" || exit 1']
)
def test_a_script_without_exec_is_known(script):
    assert line("sh", "-c", script, "docker-entrypoint.sh", "postgres").forks


def test_variables_that_a_script_sets_are_known():
    found = line("bash", "-c", "export PGDATA=/other; PGPORT=5433 exec postgres $@")
    assert found.variables == {"PGDATA": "/other", "PGPORT": "5433"}
    assert line("env", "PGPORT=5", "docker-entrypoint.sh").variables == {"PGPORT": "5"}


@pytest.mark.parametrize(
    "words",
    [[], ["sh", "/scripts/start.sh"], ["sh"], ["docker-entrypoint.sh"], ["/bin/my-start", "-D/x"]],
)
def test_of_what_is_not_known_nothing_is_said(words):
    assert line(*words) == CommandLine()


@pytest.mark.parametrize("script", ['echo \'no end "$@"', 'cat <<X\nit\'s\nX\nexec "$@"'])
def test_a_script_that_cannot_be_read_is_no_error(script):
    assert line("sh", "-c", script).parameters == {}
