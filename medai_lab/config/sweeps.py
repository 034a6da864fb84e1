"""Overrides with several values, for which a sweep starts a job each."""

from collections.abc import Iterator, Sequence

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException

from medai_lab.config.problems import Problem
from medai_lab.config.search import Composer, parse_override


def expand(
    overrides: Sequence[Override], multirun: bool, composer: Composer
) -> tuple[list[list[Override]], list[Problem]]:
    """Return the values of every override, one value for most, and what is wrong with those that have several.

    Args:
        overrides: of the command line.
        multirun: whether this is a sweep.
        composer: of the search path, which knows the options that a `glob` stands for.
    """
    samples = any(o.key_or_group == "hydra/sweeper" and o.value() != "basic" for o in overrides)
    values, problems = [], []
    for override in overrides:
        found, reason = [override], None
        if override.is_sweep_override():
            found, reason = _values(override, composer)
            reason = reason or _refused(override, multirun, samples)
        values += [found] if found else []
        problems += [Problem(override.get_key_element(), reason, override.get_value_string())] if reason else []
    return values, problems


def cases(values: Sequence[Sequence[Override]]) -> Iterator[list[Override]]:
    """Yield overrides without sweeps: one case a value of each sweep, the other sweeps at their first value."""
    first = [alternatives[0] for alternatives in values]
    yield first
    for position, alternatives in enumerate(values):
        for value in alternatives[1:]:
            yield [*first[:position], value, *first[position + 1 :]]


def _values(override: Override, composer: Composer) -> tuple[list[Override], str | None]:
    key, sweep = override.get_key_element(), override.value()
    override.config_loader = composer.loader
    try:
        ends = [sweep.start, sweep.end] if isinstance(sweep, IntervalSweep) else None
        texts = ends if ends is not None else list(override.sweep_string_iterator())
        return [parse_override(f"{key}={text}") for text in texts], None if texts else "stands for no value at all."
    except (HydraException, ValueError) as error:
        return [], f"stands for no values: {error}."


def _refused(override: Override, multirun: bool, samples: bool) -> str | None:
    if not multirun:
        return "several values: add -m for a run of each, or write [a,b] for a list."
    if override.is_hydra_override():
        return "Hydra's own settings take one value for the whole sweep."
    if override.is_interval_sweep() and not samples:
        return "an interval has no end of values: write range(a,b,step), or values with commas."
    return None
