"""A certificate authority and the serving certificates that it signs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.lifetimes import DEFAULT

CLOCK_SKEW: Final = timedelta(hours=1)
"""A first CA is valid from this long before it is made: another node's clock may be behind."""

MAX_COMMON_NAME: Final = 64
"""Characters (X.520's ub-common-name); verifiers go by the alternative names anyway."""

UNREADABLE: Final = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for a PEM that is malformed, or not one of ours."""

PrivateKey = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def make_authority(
    now: datetime, life: timedelta = DEFAULT.authority, known: Iterable[x509.Certificate] = ()
) -> Pair:
    """Make a self-signed CA that may sign leaves only; `now` is timezone-aware.

    It is valid from when the first of the `known` CAs was: the clock that makes it may be ahead
    of those that verify it, or be set back afterwards.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("pgset webhook CA")
    certificate = (
        _builder(name, name, key, now)
        .not_valid_before(_valid_from(now, known))
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def make_leaf(
    authority: Pair, names: Sequence[str], now: datetime, life: timedelta = DEFAULT.leaf
) -> Pair:
    """Make a serving certificate for DNS `names`, valid from when its CA is, and never longer.

    Raises one of UNREADABLE where the authority's PEM can't be read.
    """
    signer, signer_key = read(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + life, signer.not_valid_after_utc)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    certificate = (
        _builder(_name(names[0][:MAX_COMMON_NAME]), signer.subject, key, now)
        .not_valid_before(signer.not_valid_before_utc)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),  # type: ignore[arg-type]  # an EC key, which `read` has checked
            critical=False,
        )
        .sign(signer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def read(pair: Pair) -> tuple[x509.Certificate, PrivateKey]:
    """Read a pair's PEM.

    Raises one of UNREADABLE where it can't be read or the two don't belong together.
    """
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    key = serialization.load_pem_private_key(pair.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the key is not an elliptic curve key")
    if key.public_key() != certificate.public_key():
        raise ValueError("certificate and key do not belong together")
    return certificate, key


def made_at(certificate: x509.Certificate) -> datetime:
    """Return when a certificate was made, by the clock of its maker."""
    try:
        period = certificate.extensions.get_extension_for_class(x509.PrivateKeyUsagePeriod).value
    except UNREADABLE:
        return certificate.not_valid_before_utc
    made = period.not_before
    return made.replace(tzinfo=UTC) if made is not None else certificate.not_valid_before_utc


def service_names(service: str, namespace: str) -> tuple[str, ...]:
    """Return the names by which clients may call a Service; the API server uses the first."""
    full = f"{service}.{namespace}.svc"
    return (full, f"{full}.cluster.local", f"{service}.{namespace}", service)


def _valid_from(now: datetime, known: Iterable[x509.Certificate]) -> datetime:
    return min([now - CLOCK_SKEW, *(it.not_valid_before_utc for it in known)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: datetime
) -> x509.CertificateBuilder:
    # Validity dates say how long it is trusted; this says since when its key has been in use.
    made = x509.PrivateKeyUsagePeriod(not_before=now.astimezone(UTC), not_after=None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(made, critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: PrivateKey) -> Pair:
    return Pair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
