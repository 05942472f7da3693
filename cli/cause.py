"""What is wrong, and what all sets share of it. No I/O."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cli.installation import PARTS, Installation, fault_of

INSTALL: Final = "kubectl apply -k deploy"


@dataclass(frozen=True)
class Cause:
    """Something that is wrong."""

    where: str
    """Such as "shop/orders"."""
    sentence: str
    command: str
    """As it is pasted into a shell."""
    pods: tuple[str, ...] = ()
    """Whose fault it is the cause of: of these nothing else needs to be told."""


def of_installation(found: Installation, now: datetime.datetime) -> Iterator[Cause]:
    """Yield what is wrong with what all sets share."""
    where, system = "pgset", f"kubectl -n {found.namespace}"
    if found.registered is False:
        yield Cause(
            where,
            "the webhook is not registered, so new pods of sets get no sidecar: install it again, "
            "in a checkout of pgset",
            INSTALL,
        )
    for name, replicas in PARTS.items() if found.parts is not None else ():
        part = found.part(name)
        if part is None:
            yield Cause(
                where, f"Deployment {name} is missing: install it again, in a checkout", INSTALL
            )
        elif part.wanted == 0:
            yield Cause(
                where,
                f"Deployment {name} is scaled to 0",
                f"{system} scale deployment {name} --replicas={replicas}",
            )
        elif part.available == 0:
            yield Cause(
                where,
                f"Deployment {name} has no pod that is available",
                f"{system} rollout restart deployment {name}",
            )
    faults = sorted({fault for it in found.bundles if (fault := fault_of(it, now))})
    certs = found.part("pgset-certs")
    if faults and not (certs and certs.available == 0):
        yield Cause(
            where,
            f"the CA bundle of the webhook's registration {' and '.join(faults)}, so the API "
            "server believes no webhook; certs writes it when it starts",
            f"{system} rollout restart deployment pgset-certs",
        )
