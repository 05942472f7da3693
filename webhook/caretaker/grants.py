"""Which service accounts get the sidecars' rights, and which may lose them.

The rights are given to the service accounts of opted-in StatefulSets, unless these have them
already. Where the template names none, that is one of the set's own, which is made for it:
`default` is what every other pod of the namespace runs as. They are taken from one only if nothing
in the namespace can need them: neither a StatefulSet, even one whose annotations can't be read or
that is being deleted, nor a pod with a sidecar, which may hand over until its very end. What others
have bound is never changed.
"""

from collections.abc import Iterator
from typing import Final

from webhook.caretaker.facts import GRANT_ROLE, Namespace, Workload
from webhook.caretaker.step import Grant, MakeAccount, RemoveAccount, Step, tell

MISSING: Final = "GrantMissing"
"""The Event's reason."""


def steps(there: Namespace, *, allowed: bool) -> Iterator[Step]:
    """Yield what is to be done; if not `allowed` to grant, what the admin has to do instead."""
    binding = there.binding
    ours = binding if binding is not None and binding.ours else None
    bound = ours.accounts if ours else frozenset()
    lacking = [it for it in wanting(there) if it.service_account not in bound | there.granted]
    may_bind = allowed and (binding is None or ours is not None)
    new = needing(there) - there.granted if may_bind else frozenset[str]()
    wanted = (bound & in_use(there)) | new
    if allowed:
        yield from _accounts(there)
    if wanted != bound:
        yield Grant(accounts=tuple(sorted(wanted)), present=ours)
    if not may_bind:
        for workload in lacking:
            yield tell(workload, MISSING, _sentence(workload))


def wanting(there: Namespace) -> list[Workload]:
    """Return the sets that are there to stay."""
    return [it for it in there.workloads if it.settings is not None and not it.leaving]


def needing(there: Namespace) -> frozenset[str]:
    """Return the service accounts of sets, and of the pods that these have by now."""
    wanted = wanting(there)
    names = {it.name for it in wanted}
    of_pods = {it.service_account for it in there.members if it.has_sidecar and it.owner in names}
    return frozenset(of_pods | {it.service_account for it in wanted})


def in_use(there: Namespace) -> frozenset[str]:
    """Return the service accounts that must keep their rights."""
    of_pods = {member.service_account for member in there.members if member.has_sidecar}
    return frozenset(of_pods | {workload.service_account for workload in there.workloads})


def _accounts(there: Namespace) -> Iterator[Step]:
    present = {it.name for it in there.accounts}
    for workload in wanting(there):
        if workload.has_own_account and workload.service_account not in present:
            yield MakeAccount(name=workload.service_account, owner=workload)
    for account in there.accounts:
        if account.ours and account.name not in in_use(there):
            yield RemoveAccount(account=account)


def _sentence(workload: Workload) -> str:
    namespace, account = workload.namespace, workload.service_account
    return (
        f'service account "{account}" lacks the rights that the set\'s sidecars need; '
        f"grant them: kubectl -n {namespace} create rolebinding {GRANT_ROLE}-{account} "
        f"--clusterrole={GRANT_ROLE} --serviceaccount={namespace}:{account}"
    )
