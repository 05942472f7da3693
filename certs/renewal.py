"""What has to be made anew, given what is stored and what time it is. Pure.

A leaf is replaced in the last third of its life, by one of the same CA: nobody has to learn
a new trust for that. A CA is replaced when it can't be used any more; its rotation while
both are trusted is not here yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs.authority import Pair, make_authority, make_leaf, read


@dataclass(frozen=True, slots=True)
class Trust:
    """A CA and the serving certificate that it signed."""

    authority: Pair
    leaf: Pair


def renewed(stored: Trust | None, names: Sequence[str], now: datetime) -> tuple[Trust, str]:
    """Return what is to be served at `now` (timezone-aware), and why it isn't what is stored.

    Where `stored` is good for all of `names`, it is returned itself, and the reason is empty.
    """
    reason = authority_fault(stored, now)
    if stored is None or reason:
        authority = make_authority(now)
        return Trust(authority, make_leaf(authority, names, now)), reason
    reason = leaf_fault(stored, names, now)
    if reason:
        return Trust(stored.authority, make_leaf(stored.authority, names, now)), reason
    return stored, ""


def authority_fault(stored: Trust | None, now: datetime) -> str:
    """Say why the stored CA can't be used; empty where it can."""
    if stored is None:
        return "no CA is stored"
    try:
        certificate, _ = read(stored.authority)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        return f"the stored CA can't be read: {error}"
    if not constraints.ca:
        return "the stored CA is not a CA"
    if now >= certificate.not_valid_after_utc:
        return f"the stored CA has expired at {certificate.not_valid_after_utc}"
    return ""


def leaf_fault(stored: Trust, names: Sequence[str], now: datetime) -> str:
    """Say why the stored serving certificate is to be replaced; empty where it is good."""
    try:
        leaf, _ = read(stored.leaf)
        authority, _ = read(stored.authority)
        leaf.verify_directly_issued_by(authority)
        present = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        return f"the stored serving certificate can't be used: {error!r}"
    missing = set(names).difference(present.get_values_for_type(x509.DNSName))
    if missing:
        return f"the serving certificate lacks the names {', '.join(sorted(missing))}"
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now >= begin + (end - begin) * 2 / 3:
        return f"the serving certificate is in the last third of its life, which ends at {end}"
    return ""
