"""Where log messages go: the terminal's standard error and a file in the run folder."""

import logging
import os
import sys
from pathlib import Path

LINE = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
SHORT_LINE = "%(asctime)s %(levelname)-7s %(message)s"
OWN = "medai_lab"  # the name of the handlers made here
FILE_ONLY = {"file_only": True}  # `extra` of a message that the terminal has seen in other words
WARNINGS = "py.warnings"  # the logger of Python's own warnings


def process_number() -> int:
    """Return the number of this process within its run; 0 for the one that talks to the user."""
    return int(os.environ.get("LOCAL_RANK") or 0)


def start_logging(folder: Path, name: str = "run") -> None:
    """Send messages to the terminal and to `<folder>/<name>.log`; warnings of libraries go to the file only.

    The further processes of a run write to nothing but a file of their own, made when there is something to say.

    Args:
        folder: the run folder; it exists.
        name: of the log file.
    """
    number = process_number()
    file = logging.FileHandler(
        folder / f"{name}{f'.{number}' if number else ''}.log", encoding="utf-8", delay=number > 0
    )
    file.setFormatter(logging.Formatter(LINE))
    file.setLevel(logging.WARNING if number else logging.INFO)
    file.name = OWN
    root = logging.getLogger()
    stop_logging()
    root.setLevel(logging.INFO)
    root.addHandler(file)
    if number == 0:
        root.addHandler(_terminal())
    logging.captureWarnings(True)


def stop_logging() -> None:
    """Close and remove the handlers that `start_logging` made."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if handler.name == OWN:
            root.removeHandler(handler)
            handler.close()
    logging.captureWarnings(False)


def _terminal() -> logging.Handler:
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(SHORT_LINE, datefmt="%H:%M:%S"))
    handler.name = OWN
    handler.addFilter(_worth_showing)
    return handler


def _worth_showing(record: logging.LogRecord) -> bool:
    """Our own messages, and what other libraries say from warnings on."""
    if record.name == WARNINGS or getattr(record, "file_only", False):
        return False
    return record.name.startswith("medai_lab") or record.levelno >= logging.WARNING
