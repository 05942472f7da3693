"""Changes to the article's StatefulSet, and the verdict on what comes out."""

from tests.webhook import objects
from webhook.mutate import mutate_statefulset


def verdict_on(change):
    return mutate_statefulset(
        objects.review_of(objects.changed(objects.article_statefulset(), change))
    )


def annotate(**annotations):
    """Set pgset.dev annotations; an underscore stands for a dash."""

    def change(statefulset):
        for name, value in annotations.items():
            key = f"pgset.dev/{name.replace('_', '-')}"
            statefulset["metadata"]["annotations"][key] = value

    return change


def in_pod_spec(**fields):
    return lambda statefulset: statefulset["spec"]["template"]["spec"].update(fields)


def in_database(**fields):
    return lambda statefulset: statefulset["spec"]["template"]["spec"]["containers"][0].update(
        fields
    )


def together(*changes):
    return lambda statefulset: [change(statefulset) for change in changes]


def with_env(**variables):
    """Add variables to the database container."""

    def change(statefulset):
        container = statefulset["spec"]["template"]["spec"]["containers"][0]
        container["env"] += [{"name": n, "value": v} for n, v in variables.items()]

    return change


def with_second_container(statefulset):
    statefulset["spec"]["template"]["spec"]["containers"].append(
        {"name": "exporter", "image": "exporter"}
    )


def with_template_annotations(**annotations):
    return lambda statefulset: (
        statefulset["spec"]["template"]["metadata"]
        .setdefault("annotations", {})
        .update(annotations)
    )
