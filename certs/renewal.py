"""What has to be replaced, given what is stored and what time it is.

Pure, except that keys are random.

A CA or a leaf is replaced in the last third of its life, or of the life that it would be
given today if that is shorter. The leaf's successor is signed by the same CA, so nobody has
to trust anything new for it; how a new CA comes into service is `rotation`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from certs.authority import UNREADABLE, Pair, made_at, make_authority, make_leaf, read
from certs.lifetimes import DEFAULT, Lifetimes


@dataclass(frozen=True, slots=True)
class Trust:
    """A CA and the serving certificate that it signed."""

    authority: Pair
    leaf: Pair


def renewed(
    stored: Trust | None,
    names: Sequence[str],
    now: datetime,
    lifetimes: Lifetimes = DEFAULT,
    known: Iterable[x509.Certificate] = (),
) -> tuple[Trust, str]:
    """Return what is to be stored at `now` (timezone-aware), and why it isn't what is stored.

    Where `stored` is good for all of `names`, it is returned itself, and the reason is empty.
    `known`: the CAs that a new one will stand beside.
    """
    reason = authority_fault(stored, now) or _authority_due(stored, now, lifetimes)
    if stored is None or reason:
        authority = make_authority(now, lifetimes.authority, known)
        return Trust(authority, make_leaf(authority, names, now, lifetimes.leaf)), reason
    reason = leaf_fault(stored, names, now, lifetimes)
    if reason:
        leaf = make_leaf(stored.authority, names, now, lifetimes.leaf)
        return Trust(stored.authority, leaf), reason
    return stored, ""


def authority_fault(stored: Trust | None, now: datetime) -> str:
    """Say why the stored CA can't be used; empty where it can."""
    if stored is None:
        return "no CA is stored"
    try:
        certificate, _ = read(stored.authority)
        certificate.verify_directly_issued_by(certificate)  # whole, and a root
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except UNREADABLE as error:
        return f"the stored CA can't be used: {error!r}"
    if not constraints.ca:
        return "the stored CA is not a CA"
    return _out_of_time("the stored CA", certificate, now)


def leaf_fault(
    stored: Trust, names: Sequence[str], now: datetime, lifetimes: Lifetimes = DEFAULT
) -> str:
    """Say why the stored serving certificate is to be replaced; empty where it is good."""
    reason = serving_fault(stored.leaf, stored.authority.certificate, now)
    if reason:
        return reason
    leaf, _ = read(stored.leaf)
    missing = set(names) - _names(leaf)
    if missing:
        return f"the serving certificate lacks the names {', '.join(sorted(missing))}"
    return _due("the serving certificate", leaf, now, lifetimes.leaf)


def serving_fault(leaf: Pair, authority: bytes, now: datetime) -> str:
    """Say why a client that trusts the CA (PEM) would refuse a leaf; empty where it would not."""
    try:
        certificate, _ = read(leaf)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except UNREADABLE as error:
        return f"the serving certificate can't be used: {error!r}"
    return _out_of_time("the serving certificate", certificate, now)


def has_ended(certificate: bytes, now: datetime) -> bool:
    """Whether a certificate (PEM) is out of its time; False where it can't be read."""
    try:
        return bool(_out_of_time("", x509.load_pem_x509_certificate(certificate), now))
    except UNREADABLE:
        return False


def _authority_due(stored: Trust | None, now: datetime, lifetimes: Lifetimes) -> str:
    if stored is None:
        return ""
    return _due("the CA", read(stored.authority)[0], now, lifetimes.authority)


def _due(what: str, certificate: x509.Certificate, now: datetime, life: timedelta) -> str:
    end = certificate.not_valid_after_utc
    made = made_at(certificate)
    if now >= made + min(end - made, life) * 2 / 3:
        return f"{what} is in the last third of its life, which ends at {min(end, made + life)}"
    return ""


def _out_of_time(what: str, certificate: x509.Certificate, now: datetime) -> str:
    if now >= certificate.not_valid_after_utc:
        return f"{what} expired at {certificate.not_valid_after_utc}"
    if now < certificate.not_valid_before_utc:
        return f"{what} is not valid before {certificate.not_valid_before_utc}"
    return ""


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        present = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except UNREADABLE:
        return set()
    return set(present.value.get_values_for_type(x509.DNSName))
