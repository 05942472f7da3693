"""How a template of the chart is made of a manifest."""

import pytest

from deploy.chart.template import Default, More, NoSuchPlaceError, Option, Value, template

MANIFEST = """\
kind: Thing
spec:
  number: 2 # of things
  block:
    of: [several, lines]
    # the block's last

  # the list's
  list:
    - name: first
      value: 1
    - name: second
      value: 2
"""


def test_a_value_takes_the_place_of_a_scalar_and_the_comment_stays():
    text = template(MANIFEST, [Value(("spec", "number"), ".Values.n")])
    assert "  number: {{ .Values.n }} # of things\n" in text


def test_a_value_takes_the_place_of_a_block_and_nothing_after_it():
    text = template(MANIFEST, [Value(("spec", "block"), "toJson .Values.b")])
    assert "  block: {{ toJson .Values.b }}\n    # the block's last\n\n  # the list's\n" in text


def test_an_item_of_a_list_is_found_by_its_name():
    text = template(MANIFEST, [Value(("spec", "list", "second", "value"), ".Values.v")])
    assert text == MANIFEST.replace("value: 2", "value: {{ .Values.v }}")


def test_an_option_is_there_only_if_it_is_given():
    text = template(MANIFEST, [Option(("spec", "number"), "more", ".Values.more")])
    lines = "  {{- with .Values.more }}\n  more: {{ toJson . }}\n  {{- end }}\n"
    assert text == MANIFEST.replace("  number", f"{lines}  number")


def test_a_default_stays_where_nothing_is_given():
    text = template(MANIFEST, [Default(("spec", "list"), ".Values.l")])
    given = "  {{- with .Values.l }}\n  list: {{ toJson . }}\n  {{- else }}\n  list:\n"
    assert f"  # the list's\n{given}    - name: first\n" in text
    assert text.endswith("      value: 2\n  {{- end }}\n")


def test_more_is_added_at_the_end_of_a_list_and_of_a_mapping():
    changes = [
        More(("spec", "list"), ".Values.l"),
        More(("spec", "block"), ".Values.b"),
    ]
    text = template(MANIFEST, changes)
    block = "  {{- with .Values.b }}\n  {{- toYaml . | nindent 4 }}\n  {{- end }}\n"
    assert f"    of: [several, lines]\n{block}    # the block's last\n" in text
    assert text.endswith(f"      value: 2\n{block.replace('.b', '.l')}")


def test_the_labels_of_an_object_get_those_of_the_chart_and_a_pods_do_not():
    labels = "  labels:\n    app.kubernetes.io/name: pgset\n"
    pods = labels.replace("  ", "    ")
    chart = '    {{- include "pgset.labels" . | nindent 4 }}\n'
    text = template(f"metadata:\n{labels}spec:\n{pods}")
    assert text == f"metadata:\n  labels:\n{chart}{labels.partition(chr(10))[2]}spec:\n{pods}"


def test_what_a_manifest_has_in_braces_reaches_the_cluster():
    text = template("summary: of {{ $labels.pod }}\n", condition=".Values.on")
    escaped = 'summary: of {{ "{{" }} $labels.pod }}\n'
    assert text == "{{- if .Values.on }}\n" + escaped + "{{- end }}\n"


def test_the_namespace_is_the_releases():
    assert template("namespace: pgset-system\n") == "namespace: {{ .Release.Namespace | quote }}\n"


@pytest.mark.parametrize("path", [("spec", "nothing"), ("spec", "list", "third", "value")])
def test_a_place_that_is_gone_is_an_error(path):
    with pytest.raises(NoSuchPlaceError, match="the manifest has no "):
        template(MANIFEST, [Value(path, ".Values.x")])
