"""Structured logs: JSON lines in production, readable lines in development. No personal data, no secrets.

Everything goes through the one handler made here: our own lines, Django's, Celery's, psycopg's, granian's. Redaction
(`fintech_core.security.redaction`) is the last step before the renderer, so it sees tracebacks and arguments filled in.
"""

import logging
import logging.config
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import psycopg
import structlog

from fintech_core.security import redaction

_CONTROL = {number: f"\\x{number:02x}" for number in (*range(0x20), 0x7F)}
# Ours, never from outside.
_PLAIN_NAMES = frozenset({"timestamp", "level", "logger"})
_DATA_EXCEPTION = "22"  # the class of errors whose primary message repeats the value that was sent


def redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Blank what names or patterns give away, at any depth."""
    return {
        name: value if name in _PLAIN_NAMES else redaction.redact_value(value, name) for name, value in event.items()
    }


def format_exception(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """`exc_info` as text in `exception`, without the database's text about the values of a row."""
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info if isinstance(exc_info, BaseException) else exc_info[1] if exc_info else None
    if error is None:
        return event
    text = "".join(traceback.format_exception(error)).rstrip("\n")
    for message, shown in _messages_of_the_database(error, set()):
        text = text.replace(message, shown)
    return {**event, "exception": text}


def _messages_of_the_database(error: BaseException | None, seen: set[int]) -> Iterator[tuple[str, str]]:
    """What database errors say, which repeats values and statements, and what may be shown of it: the first line."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    if isinstance(error, psycopg.Error) and error.diag.sqlstate:
        of_data = error.diag.sqlstate.startswith(_DATA_EXCEPTION)
        shown = redaction.BLANK if of_data else error.diag.message_primary or ""
        yield str(error), f"{shown} (SQLSTATE {error.diag.sqlstate})"
        yield from ((part, redaction.BLANK) for part in (error.diag.message_detail, error.diag.context) if part)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _messages_of_the_database(inner, seen)
    yield from _messages_of_the_database(error.__cause__, seen)
    yield from _messages_of_the_database(error.__context__, seen)


def escape_control_characters(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """No forged lines: CR, LF and terminal escapes in values are spelled out (JSON does it by itself)."""
    return {
        name: value.translate(_CONTROL) if isinstance(value, str) and name not in {"exception", "stack"} else value
        for name, value in event.items()
    }


class UnhandledOnly(logging.Filter):
    """Of Django's own request log only unhandled exceptions: our request line says the rest."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


class RedactingHandler(logging.StreamHandler):
    """To standard error. A record that can't be formatted is reported as such, without its arguments."""

    def handleError(self, record: logging.LogRecord) -> None:
        kind = sys.exc_info()[0]
        self.stream.write(f"A log record of {record.name} (line {record.lineno}) failed: {kind and kind.__name__}\n")


def _log_unhandled(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("fintech_core").critical("unhandled_exception", exc_info=error)


def _log_unhandled_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        logging.getLogger("fintech_core").critical("unhandled_exception", exc_info=arguments.exc_value)


def _install_excepthooks() -> None:
    """Log uncaught exceptions, unless a hook is already installed (by pytest)."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _log_unhandled
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_unhandled_in_thread


_LOGGERS: dict[str, dict[str, Any]] = {
    # Django's own configuration came first: its handlers know nothing of redaction.
    "django": {"handlers": [], "level": "INFO"},
    "django.request": {"level": "ERROR", "filters": ["unhandled_only"]},
    "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
    # So did the server that loads this process.
    "_granian": {"handlers": [], "level": "INFO", "propagate": True},
    "granian.access": {"handlers": [], "level": "INFO", "propagate": True},
    "httpx": {"level": "WARNING"},
    "fontTools": {"level": "WARNING"},
    "celery.app.trace": {"level": "WARNING"},
    "celery.beat": {"level": "WARNING"},
    "celery.worker.strategy": {"level": "WARNING"},
}


def configure(config: dict[str, str]) -> None:
    """Django's LOGGING_CONFIG callable. `config` is {"format": "json" | "console", "level": ...}."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=[]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tail: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, format_exception, redact]
    if config["format"] == "json":
        tail += [structlog.processors.JSONRenderer()]
    else:
        tail += [
            escape_control_characters,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structlog": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": tail,
                }
            },
            "filters": {"unhandled_only": {"()": UnhandledOnly}},
            "handlers": {"stderr": {"()": RedactingHandler, "formatter": "structlog"}},
            "root": {"handlers": ["stderr"], "level": config["level"]},
            "loggers": _LOGGERS,
        }
    )
    _install_excepthooks()
