"""What the sidecar takes from its environment: its own and the credentials.

All the rest is the database container's, by its `envFrom`, and meant for PostgreSQL and its
clients. Each library reads some: libpq (PG*), OpenSSL (OPENSSL_CONF, SSL_CERT_FILE), Kerberos
(KRB5_CONFIG), HTTP clients (HTTPS_PROXY), the C library (TZ).
"""

import time
from collections.abc import MutableMapping
from typing import Final

from sidecar import contract

_OURS: Final = ("PGSET_", "KUBERNETES_SERVICE_", contract.CREDENTIALS)

_NOWHERE: Final = "/nonexistent"
"""The home directory. libpq looks there for passwords, services, certificates and keys; where it is
a folder of the data volume, as the postgres user's usually is, they are the database's."""


def keep_only_what_is_ours(environment: MutableMapping[str, str]) -> None:
    """Remove every other variable, before anything is loaded that reads one."""
    for name in tuple(environment):
        if not name.startswith(_OURS):
            del environment[name]
    environment["HOME"] = _NOWHERE
    time.tzset()
