"""A TLS handshake over a pair of sockets, as the API server has it with the webhook."""

import socket
import ssl
import threading
from pathlib import Path

from certs.authority import Pair


def peer_names(directory: Path, leaf: Pair, authority: bytes, server_name: str) -> set[str]:
    """Shake hands, and return the DNS names of the certificate that was verified.

    Raises ssl.SSLCertVerificationError where the client doesn't trust the certificate.
    """
    certificate, key = directory / "handshake.crt", directory / "handshake.key"
    certificate.write_bytes(leaf.certificate)
    key.write_bytes(leaf.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return shaken_hands(server, authority, server_name)


def shaken_hands(server: ssl.SSLContext, authority: bytes, server_name: str) -> set[str]:
    """Do the same with a server that has its certificate already."""
    client = ssl.create_default_context(cadata=authority.decode())
    # What Go checks too, beside what OpenSSL does by default.
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()
    thread = threading.Thread(target=_serve, args=(server, far))
    thread.start()
    try:
        with near, client.wrap_socket(near, server_hostname=server_name) as connection:
            subject = connection.getpeercert() or {}
            return {str(name) for _, name in subject.get("subjectAltName", ())}
    finally:
        thread.join()


def _serve(context: ssl.SSLContext, connection: socket.socket) -> None:
    with connection:
        try:
            context.wrap_socket(connection, server_side=True).close()
        except (ssl.SSLError, OSError):
            return
