"""How the commands log."""

import logging
import sys
from contextlib import suppress

import structlog


def configure_log(level: str) -> None:
    """Log lines of this level and above to standard error; standard output is for answers."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if terminal else [structlog.processors.format_exc_info]),
            # Plain tracebacks: the colourful ones print local variables, and with them secrets.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if terminal
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=_Lines,
    )


class _Lines:
    """Writes lines to standard error, wherever that leads at the moment.

    Where it leads nowhere any more, as behind a pipe whose reader has gone, lines are lost and the work goes on.
    """

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - the log

    log = debug = info = warning = error = critical = exception = fatal = failure = msg
