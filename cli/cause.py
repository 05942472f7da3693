"""What is wrong, and what all sets share of it. No I/O."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cli.installation import PARTS, Installation, fault_of

AGAIN: Final = "install it again as you did"


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


def of_installation(
    found: Installation, now: datetime.datetime, kubectl: str = "kubectl"
) -> Iterator[Cause]:
    """Yield what is wrong with what all sets share; `kubectl`: as commands begin."""
    where, system = "pgset", f"{kubectl} -n {shlex.quote(found.namespace)}"
    if found.registered is False:
        yield Cause(
            where,
            f"the webhook is not registered, so new pods of sets get no sidecar: {AGAIN}",
            f"{system} get deployments",
        )
    for name, replicas in PARTS.items() if found.parts is not None else ():
        part = found.part(name)
        if part is None:
            if name not in found.left_out:
                sentence = f"Deployment {name} is missing: {AGAIN}"
                yield Cause(where, sentence, f"{system} get deployments")
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
        what = (
            f"the CA bundle of the webhook's registration {' and '.join(faults)}, so the API "
            "server believes no webhook"
        )
        if found.by_cert_manager:
            sentence = f"{what}; cert-manager writes it from this certificate"
            yield Cause(where, sentence, f"{system} describe certificates.cert-manager.io")
        else:
            sentence = f"{what}; certs writes it when it starts"
            yield Cause(where, sentence, f"{system} rollout restart deployment pgset-certs")
