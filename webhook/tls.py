"""The serving certificate, read anew when its files change.

gunicorn asks for a context with every connection, so a new pair is served without a
restart; a pair that can't be read (half written, key and certificate that don't match)
leaves the last good one in service.
"""

import logging
import ssl
import threading
from pathlib import Path
from typing import Final

CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"

_log = logging.getLogger(__name__)


class NoCertificateError(Exception):
    """Don't serve yet: no pair of certificate and key could ever be read."""


class ServingCertificate:
    """The newest good pair in a directory, as an SSLContext; safe to share among threads."""

    def __init__(self, directory: Path) -> None:
        """Take the directory that holds tls.crt and tls.key; nothing is read yet."""
        self._certificate = directory / CERTIFICATE_FILE
        self._key = directory / KEY_FILE
        self._lock = threading.Lock()
        self._content: tuple[bytes, bytes] | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the newest good pair's context; NoCertificateError if there never was one."""
        with self._lock:
            try:
                self._refresh()
            except OSError as error:  # ssl.SSLError is one of them
                if self._context is None:
                    raise NoCertificateError(
                        f"no certificate can be read from {self._certificate.parent}: {error}"
                    ) from error
                _log.warning("the last good certificate stays in service: %s", error)
            assert self._context is not None  # noqa: S101 - tells mypy what was just ensured
            return self._context

    def _refresh(self) -> None:
        content = (self._certificate.read_bytes(), self._key.read_bytes())
        if content == self._content:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        self._content, self._context = content, context
