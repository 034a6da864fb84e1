"""Everything about a configuration that can be checked before torch is imported, collected and told at once."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override

from medai_lab.config.arguments import Arguments
from medai_lab.config.consistency import Case, consistency_problems
from medai_lab.config.overrides import Checker, parse, words
from medai_lab.config.problems import Problem, distinct, is_below
from medai_lab.config.resolving import broken_problems, missing_problems, own_problems, resolve
from medai_lab.config.search import Composer
from medai_lab.config.sweeps import cases, expand


def check(arguments: Arguments) -> list[Problem]:
    """Return every mistake in a command line and in the configuration that it makes.

    Every value of a sweep is checked. Where Hydra only shows the configuration, values that are still to be
    given and folders that are not there are no mistakes.
    """
    if arguments.config_dir is not None and not Path(arguments.config_dir).is_dir():
        return [Problem("--config-dir", "no such folder.", arguments.config_dir)]
    overrides, problems = parse(arguments.overrides)
    try:
        composer = arguments.composer(overrides)
    except Exception as error:  # a user's own primary configuration can hold anything
        return [*problems, Problem("configuration", words(error))]
    problems += [Problem("hydra.searchpath", "no such folder.", source) for source in composer.missing_sources()]
    values, more = expand(overrides, arguments.multirun, composer)
    problems += more
    checker = Checker(composer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases(values):
            problems += _problems_of_case(case, checker, composer, arguments.displays)
    return distinct(problems)


def _problems_of_case(
    overrides: Sequence[Override], checker: Checker, composer: Composer, only_shown: bool
) -> list[Problem]:
    from medai_lab.config.values import value_problems  # pydantic takes longer to import than all of the above

    composed = checker.compose(overrides)
    if composed.config is None:
        return composed.problems
    resolved = resolve(composed.config)
    choices = dict(composed.config.hydra.runtime.choices)
    found = broken_problems(resolved, [str(o.input_line) for o in overrides], composer)
    found += own_problems(value_problems(resolved.plain), resolved)
    if not only_shown:
        found += missing_problems(resolved, choices, composer)
        found += consistency_problems(Case(resolved.plain, choices, overrides, composer))
    return composed.problems + [p for p in found if not is_below(p.key, composed.hidden)]
