"""What a configuration names in code, checked before any data is read: importable, and its arguments known.

This imports torch and whatever the configuration names.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from medai_lab.config.instantiate import PARTIAL, TARGET, import_target, targets_in
from medai_lab.config.problems import Problem, shown
from medai_lab.config.schema import Config
from medai_lab.errors import UserError, nearest

WITHOUT_TRAINING = ("medai_lab.jobs.evaluate.", "medai_lab.jobs.predict.")


def check_targets(config: Config, trusted: bool = True) -> list[Problem]:
    """Return what cannot be imported, arguments that do not fit, and GPUs that are not there.

    Args:
        config: a whole configuration.
        trusted: False where it comes from a run folder; then every target must be in an allowed package.
    """
    allow = config.trust
    problems = [] if trusted else _untrusted(config)
    if problems:
        return problems  # nothing is imported that may not be
    problems = [p for key, path in _paths(config) for p in _importable(key, path, trusted, allow)]
    for key, node, positional, provided in _calls(config):
        problems += _fits(key, node, positional, provided, trusted, allow)
    return problems + _gpus(config)


def gpu_count() -> int:
    """Return the number of GPUs of this machine."""
    import torch

    return torch.cuda.device_count()


def _untrusted(config: Config) -> list[Problem]:
    found = [("task.datamodule", config.task.datamodule), ("task.module", config.task.module)]
    problems = []
    for key, path in [*found, *targets_in(config.to_plain())]:
        try:
            import_target(path, trusted=False, allow=config.trust)
        except UserError as error:
            problems.append(Problem(key, str(error), path))
    return problems


def _paths(config: Config) -> Iterator[tuple[str, str]]:
    yield "job._target_", config.job.target
    yield "task.datamodule", config.task.datamodule
    yield "task.module", config.task.module


def _calls(config: Config) -> Iterator[tuple[str, Mapping[str, Any], int, Sequence[str]]]:
    """Yield the key, the node, the number of positional arguments and the names given at the call."""
    yield "data.reader", config.data.reader.to_plain(), 0, ()
    if config.job.target.startswith(WITHOUT_TRAINING):
        return  # the network and how it was trained come from the run
    yield "model.net", config.model.net.to_plain(), 0, tuple(config.model.sizes.values())
    yield "optim", {TARGET: config.optim.target, **config.optim.arguments()}, 1, ()
    if config.optim.schedule is not None:
        yield "optim.schedule", config.optim.schedule.to_plain(), 2, ()
    if config.task.loss is not None:
        yield "task.loss", config.task.loss.to_plain(), 0, ()
    for name, callback in config.callbacks.items():
        yield f"callbacks.{name}", callback.to_plain(), 0, ()


def _importable(key: str, path: str, trusted: bool, allow: Sequence[str]) -> list[Problem]:
    try:
        import_target(path, trusted, allow)
    except UserError as error:
        return [Problem(key, str(error), path)]
    return []


def _fits(
    key: str, node: Mapping[str, Any], positional: int, provided: Sequence[str], trusted: bool, allow: Sequence[str]
) -> list[Problem]:
    path = str(node[TARGET])
    problems = _importable(f"{key}.{TARGET}", path, trusted, allow)
    given = {name: value for name, value in node.items() if name not in (TARGET, PARTIAL)}
    for name, value in given.items():
        problems += [
            p for inner, target in _nested(f"{key}.{name}", value) for p in _fits(inner, target, 0, (), trusted, allow)
        ]
    if problems:
        return problems
    return _arguments(key, import_target(path, trusted, allow), given, positional, provided, bool(node.get(PARTIAL)))


def _arguments(
    key: str,
    function: Callable[..., Any],
    given: Mapping[str, Any],
    positional: int,
    provided: Sequence[str],
    partial: bool,
) -> list[Problem]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in functions have no signature
        return []
    kinds = inspect.Parameter
    named = [p for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)][positional:]
    open_ended = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    names = [p.name for p in named]
    problems = []
    for name in (*given, *provided):
        if name not in names and not open_ended:
            value = shown(given[name]) if name in given else None
            what = f"{function.__name__} has no argument '{name}'.{nearest(name, names)}"
            problems.append(
                Problem(f"{key}.{name}" if name in given else f"{key}, argument {name}", what, value, ", ".join(names))
            )
    needed = [p.name for p in named if p.default is kinds.empty and p.name not in given and p.name not in provided]
    if needed and not partial and not problems:  # a misspelt name would be told twice
        problems.append(Problem(key, f"{function.__name__} needs {', '.join(needed)}: add +{key}.{needed[0]}=VALUE"))
    return problems


def _nested(key: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the outermost nodes with a target inside a value; those inside them are met when they are checked."""
    if isinstance(value, Mapping):
        if TARGET in value:
            yield key, value
            return
        for name, item in value.items():
            yield from _nested(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _nested(f"{key}.{position}", item)


def _gpus(config: Config) -> list[Problem]:
    wanted = config.trainer.gpus
    if isinstance(wanted, str) or wanted == 0:
        return []
    there = gpu_count()
    have = "this machine has " + {0: "no GPU", 1: "1 GPU"}.get(there, f"{there} GPUs")
    too_many = wanted > there if isinstance(wanted, int) else max(wanted) >= there
    if not too_many:
        return []
    ids = f", ids 0 to {there - 1}" if isinstance(wanted, list) and there else ""
    return [Problem("trainer.gpus", f"{have}{ids}.", shown(wanted), "0 for the CPU, auto for all there are")]
