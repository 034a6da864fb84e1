"""What is wrong with a configuration, in words for a terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

LONGEST_VALUE = 80  # characters of a value that are shown


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        key: the dotted key it is about, or the argument as given.
        message: what is wrong and the nearest right spelling.
        given: the value as given; None where there is none to show.
        allowed: what is allowed, in words; empty where the message says it.
    """

    key: str
    message: str
    given: str | None = None
    allowed: str = ""

    def lines(self) -> list[str]:
        """Return one to three lines: the key and its value, what is wrong, what is allowed."""
        head = self.key if self.given is None else f"{self.key}={self.given}"
        return [head, f"  {self.message}", *([f"  allowed: {self.allowed}"] if self.allowed else [])]


def listing(problems: Sequence[Problem]) -> str:
    """Return all problems as one text."""
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return "\n".join([f"{count} in the configuration:", *(line for p in problems for line in p.lines())])


def distinct(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems in their order, each once."""
    return list(dict.fromkeys(problems))


def is_below(key: str, parents: Iterable[str]) -> bool:
    """Tell whether a key is one of `parents` or lies below one."""
    return any(key == p or key.startswith(f"{p}.") for p in parents)


def shown(value: Any) -> str:
    """Return a value as one would type it, cut where it is long."""
    plain = value is None or isinstance(value, bool)
    text = {None: "null", True: "true", False: "false"}[value] if plain else str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def unknown_key(key: str, siblings: Iterable[str], others: Iterable[str] = (), given: str | None = None) -> Problem:
    """Return the problem of a key that does not exist.

    Args:
        key: the dotted key.
        siblings: full keys that stand where this one would.
        others: further full keys, one of which may be meant.
        given: its value.
    """
    siblings = list(siblings)
    meant = _meant(key, siblings, list(others))
    hint = f" Did you mean '{meant}'?" if meant else ""
    return Problem(key, f"unknown key.{hint}", given, ", ".join(sorted(_last(s) for s in siblings)))


def _meant(key: str, siblings: list[str], others: list[str]) -> str | None:
    """Look beside the key first, then for the same name elsewhere, then for something alike anywhere."""
    if near := get_close_matches(_last(key), [_last(s) for s in siblings], n=1, cutoff=0.6):
        return next(s for s in siblings if _last(s) == near[0])
    others = [o for o in others if not is_below(key, [o])]
    if same := [other for other in others if _last(other) == _last(key)]:
        return same[0]
    if near := get_close_matches(key, others, n=1, cutoff=0.8):
        return near[0]
    near = get_close_matches(_last(key), [_last(o) for o in others], n=1, cutoff=0.75)
    return next((o for o in others if _last(o) in near), None)


def _last(key: str) -> str:
    return key.rpartition(".")[2]
