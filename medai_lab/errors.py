"""What a user is told when something they gave is wrong."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in what the user gave: shown as one message, without a traceback, exit code 2.

    The message says what was wrong, where, and what is allowed.
    """


class ScanError(UserError):
    """One record's input cannot be used. The message names the file and the reason."""


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest allowed spelling, or an empty string."""
    match = get_close_matches(given, [str(a) for a in allowed], n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""
