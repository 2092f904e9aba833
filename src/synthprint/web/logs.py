"""Logs for machines: a JSON object a line on stderr, without what is in files and without their names."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

LOGGER = logging.getLogger("synthprint.web")
FRAMES = 12  # of a fault, the innermost


class JsonLines(logging.Formatter):
    """A record as a line of JSON; of an error its kind and where it was raised, but not its words."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
            line["error"] = type(error).__name__
            line["raised"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line)


def start(requests: bool | None = None) -> None:
    """Write logs to stderr.

    Args:
        requests: whether each request is a line; None: unless stderr is a terminal, where a person reads.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    wanted = not sys.stderr.isatty() if requests is None else requests
    for name, level in (("synthprint.web", logging.INFO if wanted else logging.WARNING), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
