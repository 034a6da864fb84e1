"""From a composed configuration to plain values, and what stands in the way."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from medai_lab.config.problems import Problem, is_below, shown
from medai_lab.config.search import Composer
from medai_lab.errors import nearest

NOT_FOUND = re.compile(r"Interpolation key '(.+)' not found")
REFERENCE = re.compile(r"\$\{([\w.]+)\}")
AT_RUN_TIME = "${hydra:"  # known only once Hydra has made the run folder


@dataclass
class Resolved:
    """A configuration as plain values.

    Attributes:
        plain: nested dictionaries; a value that is not known is `None`.
        missing: keys that hold `???`.
        broken: keys whose interpolation cannot be resolved, with their text and the reason.
        unknown: keys whose value is not known, for whatever reason.
        taken_from: keys that take their value from another one, to that one.
    """

    plain: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    broken: list[tuple[str, str, str]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    taken_from: dict[str, str] = field(default_factory=dict)


def resolve(config: DictConfig) -> Resolved:
    """Resolve everything but the `hydra` node."""
    result = Resolved()
    result.plain = {str(k): _value(config, k, str(k), result) for k in config if k != "hydra"}
    return result


def missing_problems(resolved: Resolved, choices: dict[str, str | None], composer: Composer) -> list[Problem]:
    """Return one problem a mandatory value that was not given, with the command line that its file shows."""
    problems = []
    for key in resolved.missing:
        group = key.partition(".")[0]
        example = _example(key, group, choices.get(group), composer)
        hint = f"For example: {example}" if example else f"Give it as {key}=VALUE"
        problems.append(Problem(key, f"is needed and not given. {hint}"))
    return problems


def broken_problems(resolved: Resolved, overrides: Collection[str], composer: Composer) -> list[Problem]:
    """Return one problem an interpolation that cannot be resolved, with the file in which it stands.

    Args:
        resolved: the configuration.
        overrides: of the command line.
        composer: of the search path.
    """
    problems = []
    for key, text, reason in _origins(resolved.broken):
        if any(text in line for line in overrides):
            where = "on the command line"
        else:
            file = _file_holding(text, key.rpartition(".")[2], composer)
            where = f"in {file}" if file is not None else "in a file that is no plain YAML on the search path"
        problems.append(Problem(key, f"cannot be resolved, {where}: {_plainly(reason, resolved)}", shown(text)))
    return problems


def own_problems(problems: Sequence[Problem], resolved: Resolved) -> list[Problem]:
    """Return the problems without those of a value that is not known, or is wrong where it is taken from."""
    wrong = {p.key for p in problems}
    return [
        p
        for p in problems
        if not is_below(p.key, resolved.unknown)
        and not any(is_below(unknown, [p.key]) for unknown in resolved.unknown)
        and resolved.taken_from.get(p.key) not in wrong
    ]


def _value(node: DictConfig | ListConfig, key: Any, path: str, result: Resolved) -> Any:
    text = _text(node, key)
    if text is not None and AT_RUN_TIME in text:
        result.unknown.add(path)
        return None
    if OmegaConf.is_missing(node, key):
        if text in (None, "???"):
            result.missing.append(path)
        result.unknown.add(path)
        return None
    if text is not None and (match := REFERENCE.fullmatch(text)):
        result.taken_from[path] = match[1]
    try:
        value = node[key]
    except InterpolationToMissingValueError:
        result.unknown.add(path)  # the value it points to is reported
        return None
    except OmegaConfBaseException as error:
        result.unknown.add(path)
        result.broken.append((path, text or "", str(error.msg or error).splitlines()[0]))
        return None
    if isinstance(value, DictConfig):
        return {str(k): _value(value, k, f"{path}.{k!s}", result) for k in value}
    if isinstance(value, ListConfig):
        return [_value(value, i, f"{path}.{i}", result) for i in range(len(value))]
    return value


def _text(node: DictConfig | ListConfig, key: Any) -> str | None:
    """The text of a value as written; None where it is no text."""
    raw = node._get_node(key)
    text = raw._value() if raw is not None and not isinstance(raw, list) else None
    return text if isinstance(text, str) else None


def _origins(broken: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield what is broken by itself, leaving out what only points to something broken."""
    for key, text, reason in broken:
        match = NOT_FOUND.match(reason)
        if match is None or match[1] in text or not any(match[1] in other for _, other, _ in broken):
            yield key, text, reason


def _plainly(reason: str, resolved: Resolved) -> str:
    if match := NOT_FOUND.match(reason):
        return f"there is no key '{match[1]}'.{nearest(match[1], _keys(resolved.plain))}"
    return reason.removeprefix("KeyError raised while resolving interpolation: ").strip('"') + "."


def _keys(plain: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in plain.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


def _file_holding(text: str, name: str, composer: Composer) -> Path | None:
    for file in composer.files():
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        if any(text in line and name in line for line in lines):
            return file
    return None


def _example(key: str, group: str, option: str | None, composer: Composer) -> str | None:
    """The command in the head of the option's file that gives this key."""
    file = composer.option_file(group, option) if option else None
    lines = file.read_text(encoding="utf-8").splitlines() if file is not None else []
    commands = (line.lstrip("# ") for line in lines if line.startswith("# python"))
    return next((command for command in commands if f" {key}=" in command), None)
