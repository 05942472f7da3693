"""Which service accounts get the sidecars' rights, and which may lose them.

The rights are given to the service accounts in the templates of opted-in StatefulSets, unless these
have them already. They are taken from one only if nothing in the namespace can need them: neither a
StatefulSet, even one whose annotations can't be understood or that is being deleted, nor a pod with
a sidecar, which may hand over until its very end. What others have bound is never changed.
"""

from collections.abc import Iterator
from typing import Final

from webhook.caretaker.facts import GRANT_ROLE, Namespace, Workload
from webhook.caretaker.step import Grant, Step, tell

MISSING: Final = "GrantMissing"
"""The Event's reason."""


def steps(there: Namespace, *, allowed: bool) -> Iterator[Step]:
    """Yield what is to be done; if not `allowed` to grant, what the admin has to do instead."""
    binding = there.binding
    ours = binding if binding is not None and binding.ours else None
    bound = ours.accounts if ours else frozenset()
    lacking = [it for it in wanting(there) if it.service_account not in bound | there.granted]
    may_bind = allowed and (binding is None or ours is not None)
    new = frozenset(it.service_account for it in lacking) if may_bind else frozenset[str]()
    wanted = (bound & in_use(there)) | new
    if wanted != bound:
        yield Grant(accounts=tuple(sorted(wanted)), present=ours)
    if not may_bind:
        for workload in lacking:
            yield tell(workload, MISSING, _sentence(workload))


def wanting(there: Namespace) -> list[Workload]:
    """Return the sets that are there to stay."""
    return [it for it in there.workloads if it.settings is not None and not it.leaving]


def in_use(there: Namespace) -> frozenset[str]:
    """Return the service accounts that must keep their rights."""
    of_pods = {member.service_account for member in there.members if member.has_sidecar}
    return frozenset(of_pods | {workload.service_account for workload in there.workloads})


def _sentence(workload: Workload) -> str:
    namespace, account = workload.namespace, workload.service_account
    return (
        f'service account "{account}" lacks the rights that the set\'s sidecars need; '
        f"grant them: kubectl -n {namespace} create rolebinding {GRANT_ROLE}-{account} "
        f"--clusterrole={GRANT_ROLE} --serviceaccount={namespace}:{account}"
    )
