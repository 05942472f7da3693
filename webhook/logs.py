"""JSON logs on standard output, one object a line."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

FIELDS: Final = "fields"
"""The key under which `extra` carries a record's own fields."""


class JsonFormatter(logging.Formatter):
    """Writes a record as time (RFC 3339, UTC), level, logger, message and its own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configuration(level: str) -> dict[str, Any]:
    """Return what logging.config.dictConfig and gunicorn's logconfig_dict take.

    `level`: as `settings.log_level` returns it.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stdout",
            }
        },
        "root": {"level": level.upper(), "handlers": ["stdout"]},
        # gunicorn brings handlers of its own for its loggers, in another format.
        "loggers": {
            "gunicorn.error": {"level": level.upper(), "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
        },
    }
