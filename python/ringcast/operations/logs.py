"""How a server's log is written: as plain lines, or as JSON with fields of stable names.

What is logged is everybody's own. Fields beside the message come with the record: whoever logs something
gives them as ``extra=fields(…)``, and an actor's log has those of its actor. Nothing that a client sends as
params, arguments or token is logged.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO

import orjson

__all__ = [
    "ACCESS",
    "FIELDS",
    "LOG_FORMATS",
    "LOG_LEVELS",
    "JsonFormatter",
    "LogConfig",
    "configure",
    "fields",
    "of_actor",
]

LOG_FORMATS: Final = ("plain", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

ACCESS: Final = logging.getLogger("ringcast.access")
"""For who comes and goes: see `LogConfig.access_log`."""

_PLAIN: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

FIELDS: Final[dict[str, str]] = {
    "event": "what has happened, in one word that stays the same while messages may change",
    "actor": "the class of the actor that it is about",
    "actor_id": "the id of that actor",
    "key": "its key, an array of strings",
    "connection": "the id of the connection that it is about",
    "code": "a close code, an HTTP status, or the code of an error",
    "client": "where a client comes from, also behind proxies that are trusted (`trusted_proxies`)",
    "duration_ms": "how long it took",
    "method": "of an HTTP request",
    "path": "of an HTTP request, without its query",
}
"""What a line may have beside `time`, `level`, `logger`, `message` and `exception`."""

_ATTRIBUTE: Final = {name: name for name in FIELDS} | {"key": "actor_key"}
"""By field: the attribute of a record, which is none that records have anyway."""


@dataclass(slots=True, frozen=True, kw_only=True)
class LogConfig:
    """How a server that is started from the command line logs, to stderr."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""

    log_format: Literal["plain", "json"] = "plain"
    """Lines to read, or one JSON object in each line."""

    access_log: bool = False
    """Whether each connect, each end of a connection and each HTTP request is logged. Keys of actors and
    addresses of clients are among what is logged then; params, arguments, queries and tokens never are."""


def fields(event: str, **values: Any) -> dict[str, Any]:
    """Return `extra` for a call of a logger. Raises `KeyError` for a field that is none of `FIELDS`."""
    return {_ATTRIBUTE[name]: value for name, value in (("event", event), *values.items())}


def of_actor(name: str, actor_id: str, key: tuple[str, ...]) -> dict[str, Any]:
    """Return `extra` for everything that is about one actor."""
    return {"actor": name, "actor_id": actor_id, "actor_key": key}


class JsonFormatter(logging.Formatter):
    """Write each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Never raises: what JSON cannot carry is written as text."""
        line: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, attribute in _ATTRIBUTE.items():
            value = getattr(record, attribute, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return _encoded(line)


def _encoded(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except (TypeError, ValueError):  # text with half a character, which may come from a client
        plain = {
            name: str(value).encode("utf-8", "backslashreplace").decode() for name, value in line.items()
        }
        return orjson.dumps(plain).decode()


def _timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Log everything of this process to `stream`, stderr by default, unless somebody has decided that."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if config.log_format == "json" else logging.Formatter(_PLAIN))
    root.addHandler(handler)
    root.setLevel(config.log_level.upper())
    # By a level that nothing has where it is not wanted: who is here is nobody's business by default.
    ACCESS.setLevel(logging.INFO if config.access_log else logging.CRITICAL + 1)
