"""The serving certificate, read again when its files change.

gunicorn asks for a context with every connection, so a new pair is served without a
restart, and an open connection keeps what it began with. A pair that can't be read
(half written, key and certificate that don't match) leaves the last good one in service.
"""

import contextlib
import functools
import logging
import ssl
import threading
from pathlib import Path
from typing import Final

CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"

_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for."""

_log = logging.getLogger(__name__)


class NoCertificateError(Exception):
    """Don't serve yet: no pair of certificate and key has been readable so far."""


class ServingCertificate:
    """The newest good pair in a directory, as an SSLContext; safe to share among threads."""

    def __init__(self, directory: Path) -> None:
        """Take the directory that holds tls.crt and tls.key; nothing is read yet."""
        self._certificate = directory / CERTIFICATE_FILE
        self._key = directory / KEY_FILE
        self._lock = threading.Lock()
        self._content: tuple[bytes, bytes] | None = None
        self._stamps: list[tuple[int, int, int]] = []
        """What distinguishes other files from those that were read last."""
        self._context: ssl.SSLContext | None = None
        self._fault = ""
        self.reload_errors = 0
        """How often the files became unusable, so that the last good pair stayed in service."""
        self.expiry = 0.0
        """When the pair in service expires, as a Unix time; 0 while there is none."""

    def context(self) -> ssl.SSLContext:
        """Return the newest good pair's context. Raises NoCertificateError if there is none yet."""
        with self._lock:
            try:
                self._refresh()
            except OSError as error:  # ssl.SSLError is one of them
                if self._context is None:
                    raise NoCertificateError(
                        f"no certificate can be read from {self._certificate.parent}: {error}"
                    ) from error
                self._note_fault(str(error))
            assert self._context is not None  # noqa: S101 - tells mypy what was just ensured
            return self._context

    def _refresh(self) -> None:
        states = [it.stat() for it in (self._certificate, self._key)]
        stamps = [(it.st_ino, it.st_mtime_ns, it.st_size) for it in states]
        if stamps == self._stamps:
            return
        content = (self._certificate.read_bytes(), self._key.read_bytes())
        if content == self._content:
            self._stamps, self._fault = stamps, ""
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # One handshake for each connection, which has its time limit; OpenSSL before 3 would let
        # the client ask for more.
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.load_cert_chain(self._certificate, self._key)
        self.expiry = _expiry(context, content[0])
        self._content, self._context, self._fault = content, context, ""
        self._stamps = stamps

    def _note_fault(self, fault: str) -> None:
        """Log and count each fault once, though every connection meets it."""
        if fault != self._fault:
            self._fault = fault
            self.reload_errors += 1
            _log.warning("the last good certificate stays in service: %s", fault)


shared = functools.cache(ServingCertificate)
"""One for each directory and process, so that the counts are of what was served."""


def _expiry(server: ssl.SSLContext, certificate: bytes) -> float:
    """Return when a certificate expires, as a client sees it. Raises SSLError if it does not serve.

    `ssl` gives the dates of a verified peer only, so the pair is served to ourselves, in memory.
    That also proves it before anybody else depends on it. (`cryptography` would read the date
    too; importing it costs this process 5 MB.)
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    client.load_verify_locations(cadata=certificate.decode("ascii", "ignore"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (near, far, near):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    seen = near.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(seen["notAfter"])))
