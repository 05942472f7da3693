"""The faults that doctor is tested with: how each is planted, and what it has to say of it."""

from dataclasses import dataclass
from typing import Final

from tests.cluster.test_plugin import PASSWORD

NAMESPACE: Final = "pgset-doctor"

PRELUDE: Final = f"""
k() {{ kubectl -n {NAMESPACE} "$@"; }}
system() {{ kubectl -n pgset-system "$@"; }}
with_role() {{
    until k get pods -l pgset.dev/set=orders,pgset.dev/role=$1 -o name | grep -q .; do sleep 1; done
    k get pods -l pgset.dev/set=orders,pgset.dev/role=$1 -o jsonpath='{{.items[0].metadata.name}}'
}}
primary() {{ with_role primary; }}
replica() {{ with_role replica; }}
sql() {{ k exec "$1" -c postgres -- psql -U postgres -v ON_ERROR_STOP=1 -c "$2"; }}
until_it_says() {{
    until k get pod "$1" -o jsonpath='{{.metadata.annotations.pgset\\.dev/status}}' | grep -q "$2"
    do sleep 1; done
}}
template() {{ k patch statefulset orders -p '{{"spec":{{"template":{{"spec":'"$1"'}}}}}}'; }}
container() {{ template '{{"containers":[{{"name":"postgres",'"$1"'}}]}}'; }}
"""
"""What the scripts below are written in; they end at the first command that fails."""


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    plant: str
    """Script."""
    told: tuple[str, ...]
    """Regular expressions of what causes say; these are cured in this order."""
    undo: str = ""
    """Script: what the fault or its cure leaves that is not in the StatefulSet."""
    unseen: str = ""
    """The webhook that API servers do not ask while the fault is planted."""
    then: str = ""
    """Script that has to succeed at last."""


def scaled_away(part: str, replicas: int) -> Row:
    return Row(
        f"{part} scaled to 0",
        f"system scale deployment pgset-{part} --replicas=0",
        (f"Deployment pgset-{part} is scaled to 0",),
        undo=f"system scale deployment pgset-{part} --replicas={replicas}",
    )


def not_available(part: str) -> Row:
    """Its pods have another image than its template: Kubernetes leaves them as they are."""
    pods = f"app.kubernetes.io/name=pgset,app.kubernetes.io/component={part}"
    return Row(
        f"{part} has no pod that runs",
        f"system set image pod -l {pods} '*=pgset:typo'",
        (f"Deployment pgset-{part} has no pod that is available",),
        undo=f"system rollout restart deployment pgset-{part}",
    )


def new_template(name: str, plant: str) -> Row:
    return Row(f"new template: {name}", plant, ("orders-1 does not start with the new template",))


STATEFULSETS: Final = "statefulsets.pgset.dev"
PODS: Final = "pods.pgset.dev"
APP: Final = "k delete service app --ignore-not-found\nk create service clusterip app"
NO_APP: Final = "k delete service app"
OF_PRIMARY: Final = """\
k annotate service orders-primary pgset.dev/selects-
k patch service orders-primary -p '{"spec":{"selector":{"pgset.dev/role":"primary"}}}'
"""
NO_FINALIZERS: Final = """\
for pod in $(k get pods -o name); do
    k patch "$pod" --type merge -p '{"metadata":{"finalizers":null}}'
done
"""

INSTALLATION: Final = (
    scaled_away("certs", 2),
    scaled_away("webhook", 2),
    scaled_away("caretaker", 1),
    not_available("certs"),
    not_available("webhook"),
    not_available("caretaker"),
    Row(
        "no CA bundle and no certs",
        """
        system scale deployment pgset-certs --replicas=0
        selected=app.kubernetes.io/name=pgset,app.kubernetes.io/component=certs
        system wait --for=delete pod -l $selected --timeout=180s || true
        for place in 0 1 2; do
            kubectl patch mutatingwebhookconfiguration pgset --type json -p \
                '[{"op":"remove","path":"/webhooks/'$place'/clientConfig/caBundle"}]'
        done
        """,
        ("Deployment pgset-certs is scaled to 0",),
        undo="system scale deployment pgset-certs --replicas=2",
    ),
    Row(
        "a member deleted while the webhook is away",
        """
        system scale deployment pgset-webhook --replicas=0
        system wait --for=delete pod -l app.kubernetes.io/component=webhook --timeout=180s || true
        k delete pod $(replica)
        """,
        ("Deployment pgset-webhook is scaled to 0",),
        undo="system scale deployment pgset-webhook --replicas=2",
    ),
    Row(
        "a Service deleted while the caretaker is away",
        """
        system scale deployment pgset-caretaker --replicas=0
        k delete service orders-replica
        """,
        ("Deployment pgset-caretaker is scaled to 0",),
        undo="system scale deployment pgset-caretaker --replicas=1",
        then="k get service orders-replica",
    ),
)

WISHES: Final = (
    Row("paused", f"kubectl pgset pause orders -n {NAMESPACE}", ("the set is paused",)),
    Row(
        "the replica is fenced",
        "k annotate pod $(replica) pgset.dev/fenced=true",
        ("is fenced: its PostgreSQL is stopped",),
    ),
    Row(
        "the primary is fenced",
        "k annotate pod $(primary) pgset.dev/fenced=true",
        ("is fenced: its PostgreSQL is stopped",),
    ),
    Row(
        "all are fenced",
        "k annotate pods --all pgset.dev/fenced=true",
        ("orders-0 is fenced: its", "orders-1 is fenced: its"),
    ),
    Row(
        "scaled to 0",
        "k scale statefulset orders --replicas=0",
        ("the set is scaled to 0",),
    ),
    Row(
        "opted in while no webhook answered",
        # OnDelete: the pods stay as they are.
        """
        k patch statefulset orders --type json -p '[
            {"op":"add","path":"/spec/updateStrategy","value":{"type":"OnDelete"}},
            {"op":"remove","path":"/spec/template/metadata/labels/pgset.dev~1set"}
        ]'
        """,
        ("the webhook has not seen this StatefulSet",),
        unseen=STATEFULSETS,
        then="k get statefulset orders -o jsonpath='{.spec.template.metadata.labels}' "
        "| grep -q pgset.dev/set",
    ),
    Row(
        "an annotation that is not allowed",
        "k annotate statefulset orders pgset.dev/ttl=soon",
        ("annotation pgset.dev/ttl",),
        unseen=STATEFULSETS,
    ),
)

NOT_CREATED: Final = (
    Row(
        "a quota of pods",
        "k create quota small --hard=pods=2\nk scale statefulset orders --replicas=3",
        ('ResourceQuota "small" leaves no room for orders-2',),
        undo="k delete quota small",
    ),
    Row(
        "a quota of objects",
        "k create quota few --hard=count/pods=2\nk scale statefulset orders --replicas=3",
        ('ResourceQuota "few" leaves no room for orders-2',),
        undo="k delete quota few",
    ),
    Row(
        "a service account that is not there",
        # The partition: the other two stay as they are.
        """
        k delete serviceaccount app --ignore-not-found
        k patch statefulset orders --type json -p '[
            {"op":"add","path":"/spec/updateStrategy","value":
                {"type":"RollingUpdate","rollingUpdate":{"partition":2}}},
            {"op":"add","path":"/spec/replicas","value":3},
            {"op":"add","path":"/spec/template/spec/serviceAccountName","value":"app"}
        ]'
        """,
        ("service account app is missing",),
    ),
    Row(
        "rights that are missing",
        # The caretaker leaves a RoleBinding of its name alone that it has not made.
        f"""
        k delete rolebinding pgset-caretaker pgset-sidecar-orders-pgset --ignore-not-found
        k create rolebinding pgset-caretaker --clusterrole=view \
            --serviceaccount={NAMESPACE}:orders-pgset
        """,
        ("service account orders-pgset lacks the rights",),
        undo="k delete rolebinding pgset-caretaker",
    ),
)

SERVICES: Final = (
    Row(
        "orders-primary selects all members",
        """
        k patch service orders-primary --type json -p \
            '[{"op":"remove","path":"/spec/selector/pgset.dev~1role"}]'
        """,
        ("Service orders-primary does not select the primary",),
        undo=OF_PRIMARY,
    ),
    Row(
        "orders-primary selects replicas",
        """
        k patch service orders-primary -p '{"spec":{"selector":{"pgset.dev/role":"replica"}}}'
        """,
        ("Service orders-primary does not select the primary",),
        undo=OF_PRIMARY,
    ),
    Row(
        "a Service leads to all members",
        f"{APP} --tcp=5432:5432\nk set selector service app app=orders",
        ("Service app leads to the primary and to read-only replicas",),
        undo=NO_APP,
    ),
    Row(
        "a headless Service leads to all members",
        f"{APP} --clusterip=None --tcp=5432:5432\nk set selector service app app=orders",
        ("Service app leads to the primary and to read-only replicas",),
        undo=NO_APP,
    ),
    Row(
        "a Service selects a role that nobody has",
        f"{APP} --tcp=5432:5432\nk set selector service app app=orders,pgset.dev/role=leader",
        ("Service app leads nowhere",),
        undo=NO_APP,
    ),
    Row(
        "a Service asks for a role label that nobody has",
        f"{APP} --tcp=5432:5432\nk set selector service app app=orders\n"
        "k annotate service app pgset.dev/selects=primary pgset.dev/role-label=name "
        "pgset.dev/primary-value=leader",
        ("Service app leads nowhere",),
        undo=NO_APP,
    ),
)

MEMBERS: Final = (
    Row(
        "a pod was made while no webhook answered",
        """
        pod=$(replica)
        k delete pod $pod
        until k wait --for=condition=Ready pod/$pod --timeout=180s; do sleep 1; done
        """,
        ("has no sidecar",),
        unseen=PODS,
    ),
    Row(
        "a database's image that can't be pulled",
        "k set image pod/$(replica) postgres=postgres:typo",
        ("has image postgres:typo in container postgres",),
    ),
    Row(
        "a pod that has lost its set",
        "k label pod $(replica) pgset.dev/set-",
        ("lacks labels of its template",),
    ),
    Row(
        "a pod that has lost its StatefulSet",
        "k label pod $(replica) app-",
        ("lacks labels of its template",),
    ),
    Row(
        "a pod that a finalizer keeps",
        """
        pod=$(replica)
        k patch pod $pod -p '{"metadata":{"finalizers":["example.com/keep"]}}'
        k delete pod $pod --wait=false
        """,
        ("is kept by example.com/keep",),
        undo=NO_FINALIZERS,
    ),
    Row(
        "the superuser's password changed by hand",
        # The image trusts the loopback, by which sidecars come; so it is the server that has to ask
        # there, and the sidecar that has to come anew.
        r"""
        pod=$(primary)
        k exec $pod -c postgres -- sh -c \
            'sed -i "/127[.]0[.]0[.]1/s/trust$/scram-sha-256/" "$PGDATA/pg_hba.conf"
            grep -q "127[.]0[.]0[.]1.*scram-sha-256" "$PGDATA/pg_hba.conf"
            chown postgres "$PGDATA/pg_hba.conf"'
        sql $pod "select pg_reload_conf()"
        sql $pod "alter role postgres password 'another'"
        sql $pod "select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = 'pgset-sidecar'"
        """,
        ("the superuser's password in the database is not the one that orders-[01] has",),
        undo=f"""sql $(primary) "alter role postgres password '{PASSWORD}'" """,
    ),
    Row(
        "a member made after its Secret was changed",
        # It has to be cloned, and so has no former password to go on by.
        f"""
        k wait --for=delete pod/orders-2 --timeout=180s
        rm -rf "$FOLDER/orders-2"
        secret() {{
            k create secret generic password --from-literal=value="$1" --dry-run=client -o yaml |
                k apply -f -
        }}
        secret {PASSWORD}
        container '"env":[{{"name":"POSTGRES_PASSWORD","value":null,
            "valueFrom":{{"secretKeyRef":{{"name":"password","key":"value"}}}}}}]'
        k rollout status statefulset orders --timeout=280s
        secret another
        k scale statefulset orders --replicas=3
        """,
        ("orders-2 and the primary, .*, were made with different passwords",),
        undo="k delete secret password",
    ),
)

NEW_TEMPLATES: Final = (
    Row(
        "wal_level=minimal",
        """container '"args":["-c","wal_level=minimal"]'""",
        ("can't start with wal_level=minimal",),
        unseen=STATEFULSETS,
    ),
    new_template("an image that is not there", """container '"image":"postgres:15-typo"'"""),
    new_template("a node that is not there", """template '{"nodeSelector":{"no":"where"}}'"""),
    new_template(
        "more than any node has",
        """container '"resources":{"requests":{"cpu":"1000"}}'""",
    ),
    new_template(
        "a Secret that is not there",
        """container '"env":[{"name":"TOKEN",
            "valueFrom":{"secretKeyRef":{"name":"missing","key":"token"}}}]'""",
    ),
    new_template(
        "a ConfigMap that is not there",
        """container '"envFrom":[{"configMapRef":{"name":"missing"}}]'""",
    ),
    new_template(
        "a claim that is not there",
        """template '{"volumes":[
            {"name":"more","persistentVolumeClaim":{"claimName":"missing"}}]}'""",
    ),
    new_template(
        "an init container that fails",
        """template '{"initContainers":[
            {"name":"prepare","image":"postgres:15","command":["false"]}]}'""",
    ),
    new_template(
        "a setting that PostgreSQL does not know",
        """container '"args":["-c","no_such_setting=1"]'""",
    ),
)

NOBODY_LEADS: Final = (
    Row(
        "the last primary was scaled away",
        f"""
        until [ "$(primary)" = orders-1 ]; do
            kubectl pgset switchover orders --to orders-1 --wait -n {NAMESPACE} || sleep 2
        done
        k annotate pod orders-0 pgset.dev/fenced=true
        until_it_says orders-0 "is fenced"
        until sql orders-1 "create table if not exists alone ()"; do sleep 1; done
        k scale statefulset orders --replicas=1
        k wait --for=delete pod/orders-1 --timeout=180s
        k annotate pod orders-0 pgset.dev/fenced-
        """,
        ("orders-1 may have data that no other has; the set was scaled down",),
    ),
    Row(
        "the last primary has lost its data",
        """
        last=$(primary); other=$(replica)
        k annotate pod $other pgset.dev/fenced=true
        until_it_says $other "is fenced"
        until sql $last "create table if not exists gone ()"; do sleep 1; done
        k exec $last -c postgres -- sh -c 'rm -rf "$PGDATA"/*' || true
        k delete pod $last --ignore-not-found
        until_it_says $last "has no data\\|has its data"
        k annotate pod $other pgset.dev/fenced-
        """,
        ("nobody leads .* IS LOST THEN",),
    ),
)

ROWS: Final = (
    *INSTALLATION,
    *WISHES,
    *NOT_CREATED,
    *SERVICES,
    *MEMBERS,
    *NEW_TEMPLATES,
    *NOBODY_LEADS,
)
