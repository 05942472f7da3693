"""The bootstrap container: the database's own image, which prepares the data directory.

It runs the sidecar's script with what PostgreSQL's own command line will be, under the
database container's environment, mounts and rights: what initdb or pg_basebackup writes
there, the server can read.
"""

from typing import Final

from sidecar import contract
from webhook import image_data, refused_images
from webhook.command_line import for_bootstrap
from webhook.database import Database
from webhook.json_patch import Json

UID_VARIABLE: Final = "PGSET_UID"
"""The script drops to this uid if the container starts as root."""

PORT_VARIABLE: Final = "PGSET_PORT"
"""Where the others expect PostgreSQL. (A Service named pgset brings a variable of this name.)"""

UNKNOWN_IMAGE: Final = "PGSET_UNKNOWN_IMAGE"
"""Set where the image's name does not tell how its entrypoint treats data: the script looks."""

SHARED_FIELDS: Final = ("imagePullPolicy", "envFrom", "securityContext", "resources", "workingDir")
"""What bootstrap copies from the database container, if it is there."""


def build(database: Database) -> Json:
    """Build the init container that runs last."""
    container = database.container
    own = {
        UID_VARIABLE: str(database.settings.uid),
        PORT_VARIABLE: str(database.settings.postgres_port),
    }
    environment = [v for v in image_data.environment(database) if v["name"] not in own]
    return {
        "name": contract.BOOTSTRAP_CONTAINER,
        "image": container.get("image", ""),
        "command": ["/bin/sh", contract.BOOTSTRAP_SCRIPT],
        # Each program that it starts is its own child, and initdb's is known by that.
        "args": for_bootstrap(database.command_line),
        "env": [
            *environment,
            *image_data.official_variables(database),
            *([{"name": UNKNOWN_IMAGE, "value": "yes"}] if _is_unknown(database) else []),
            *({"name": name, "value": value} for name, value in own.items()),
        ],
        "volumeMounts": [
            *database.mounts,
            {"name": contract.HANDSHAKE_VOLUME, "mountPath": contract.HANDSHAKE_DIRECTORY},
        ],
        # The end of its log is what the user sees in the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **{name: container[name] for name in SHARED_FIELDS if name in container},
    }


def _is_unknown(database: Database) -> bool:
    return not refused_images.is_known(database.container.get("image", ""))
