"""A report has no secret in it, wherever people put theirs."""

import json

import pytest

from cli.secrecy import text_without_secrets, without_secrets
from tests.cli.objects import pod, statefulset

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "place",
    [
        {"env": [{"name": "POSTGRES_PASSWORD", "value": SECRET}]},
        {"env": [{"name": "ANYTHING", "value": SECRET}]},
        {"args": ["--password", f"password={SECRET}"]},
        {"args": ["-c", f"primary_conninfo=host=a user=b password='{SECRET} {SECRET}'"]},
        {"command": ["sh", "-c", f"PGPASSWORD={SECRET} psql"]},
        {"args": [f"--api-key={SECRET}"]},
        {"args": [f"postgres://user:{SECRET}@host/db"]},
        {"args": [f"postgres://user:a@{SECRET}@host/db"]},
        {"args": [f"postgres://user:a/{SECRET}@host/db"]},
        {"command": ["psql", "-c", f"alter role app password '{SECRET}'"]},
        {"command": ["psql", "-c", f"create role app encrypted PASSWORD 'it''s {SECRET}'"]},
        {"command": ["psql", "-c", f"alter role app password $a$it's {SECRET}$a$"]},
        {"args": [f'{{"password": "{SECRET}"}}']},
        {"args": [f'{{\\"password\\": \\"{SECRET}\\"}}']},
        {"args": [f"{{'api-key': '{SECRET}'}}"]},
        {"args": ["--requirepass", SECRET]},
        {"args": [f"redis --requirepass {SECRET}"]},
        {"args": ["--token", SECRET, "--other"]},
        {"command": ["curl", "-H", f"Authorization: Bearer {SECRET}"]},
        {"command": ["curl", "-H", f"X: bearer {SECRET}"]},
        {"readinessProbe": {"httpGet": {"httpHeaders": [{"name": "X-Any", "value": SECRET}]}}},
        {"csi": {"driver": "d", "volumeAttributes": {"password": SECRET, "other": SECRET}}},
        {"flexVolume": {"options": {"share": SECRET}}},
        {"anything": {"password": SECRET}},
        {"args": [f"-----BEGIN RSA PRIVATE KEY----- {SECRET} -----END RSA PRIVATE KEY-----"]},
        {"args": [f"SCRAM-SHA-256$4096:{SECRET}"]},
        {"env": [{"name": "PGSET_OWNER_PASSWORD", "value": SECRET}]},
    ],
)
def test_of_a_container(place) -> None:
    template = statefulset()
    template["spec"]["template"]["spec"]["containers"][0].update(place)
    assert SECRET not in json.dumps(without_secrets(template))


def test_of_annotations_only_ours_are_kept() -> None:
    found = statefulset(durability="sync")
    last = "kubectl.kubernetes.io/last-applied-configuration"
    found["metadata"]["annotations"][last] = SECRET
    kept = without_secrets(found)["metadata"]["annotations"]
    assert kept == {"pgset.dev/enabled": "true", "pgset.dev/durability": "sync"}


def test_of_an_event() -> None:
    event = {"message": f'failed: password: "{SECRET}" is wrong'}
    assert SECRET not in without_secrets(event)["message"]


def test_what_helps_is_kept() -> None:
    found = pod(0, "primary")
    found["spec"]["containers"][0]["env"] = [
        {"name": "PGSET_TTL", "value": "10"},
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "password"}}},
    ]
    kept = without_secrets(found)
    found["spec"]["volumes"] = [
        {"name": "a", "secret": {"secretName": "shop"}},
        {"name": "b", "csi": {"nodePublishSecretRef": {"name": "shop"}}},
    ]
    found["spec"]["containers"][0]["args"] = ["-c", "password_encryption", "-c", "port=5433"]
    kept = without_secrets(found)
    assert kept["spec"] == found["spec"]
    assert "managedFields" not in kept["metadata"]


def test_a_line_of_the_log_is_kept() -> None:
    line = '{"time":"2026-01-01T00:00:00Z","message":"primary orders-0"}'
    assert text_without_secrets(line) == line
