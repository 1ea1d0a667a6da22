"""Structured logs: JSON lines in production, readable lines in development; secrets never get that far."""

import logging
import logging.config
import re
from typing import Any

import structlog

_SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "signature", "otp", "api_key")
# Credentials inside of longer texts (messages, tracebacks): what they are stays readable, the secret doesn't.
_KEY = re.compile(r"\b(fc_[0-9a-f]{16})\.[A-Za-z0-9_-]+")
_HEADER = re.compile(r"\b(api-key|bearer)(['\"]?[\s:=,]+['\"]?)([A-Za-z0-9_-]{3})[A-Za-z0-9._~+/=-]{5,}", re.IGNORECASE)
_CONTROL = {number: f"\\x{number:02x}" for number in (*range(0x20), 0x7F)}


def redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Blank the values whose names say that they are secret."""
    for name in event:
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = "[redacted]"
    return event


def mask_credentials(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Cut API keys and bearer tokens out of every text, tracebacks included: `Api-Key fc_…`."""
    return {name: _masked(value) for name, value in event.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _KEY.sub(r"\1…", _HEADER.sub(r"\1\2\3…", value))
    if isinstance(value, dict):
        return {name: _masked(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value


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


def configure(config: dict[str, str]) -> None:
    """Django's LOGGING_CONFIG callable. `config` is {"format": "json" | "console", "level": ...}."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(allow=[]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    if config["format"] == "json":
        tail: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        tail = [
            structlog.processors.format_exc_info,
            mask_credentials,
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
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
                }
            },
            "filters": {"unhandled_only": {"()": UnhandledOnly}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
            "root": {"handlers": ["stderr"], "level": config["level"]},
            "loggers": {
                "django.request": {"level": "ERROR", "filters": ["unhandled_only"]},
                "django.server": {"level": "WARNING"},
                "httpx": {"level": "WARNING"},
                "fontTools": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
            },
        }
    )
