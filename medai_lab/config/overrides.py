"""Overrides of the command line, checked one by one against the configuration they change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from medai_lab.config.problems import Problem, is_below, shown, unknown_key
from medai_lab.config.search import Composer, apply_override, parse_override
from medai_lab.errors import nearest

CHOICE_OF_MODEL = {"model.gpu", "model.cpu"}  # the keys of model=auto
NO_SETTING = "is no setting: write key=value, such as trainer.gpus=1."
LINES_OF_AN_ERROR = 3  # the reason comes first


@dataclass
class Composed:
    """A configuration composed from those overrides that fit.

    Attributes:
        config: with the `hydra` node; None where nothing could be composed.
        problems: what was wrong with the others.
        hidden: keys below which further problems would only follow from those.
    """

    config: DictConfig | None
    problems: list[Problem] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)


def parse(texts: Sequence[str]) -> tuple[list[Override], list[Problem]]:
    """Parse every override on its own; return the readable ones and what is wrong with the others."""
    overrides, problems = [], []
    for text in texts:
        try:
            override = parse_override(text)
        except HydraException as error:
            problems.append(_unreadable(text, error))
            continue
        if override.key_or_group:
            overrides.append(override)
        else:
            problems.append(Problem(text, NO_SETTING))
    return overrides, problems


class Checker:
    """Composes cases, keeping what was composed from the same choices of options.

    Args:
        composer: of the command line's search path.
    """

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._kept: dict[tuple[str, ...], Composed] = {}

    def compose(self, overrides: Sequence[Override]) -> Composed:
        """Compose what can be composed and say what cannot."""
        chosen = [o for o in overrides if self._is_choice(o)]
        key = tuple(str(o.input_line) for o in chosen)
        if key not in self._kept:
            self._kept[key] = self._compose_choices(chosen)
        base = self._kept[key]
        if base.config is None:
            return base
        result = Composed(base.config.copy(), list(base.problems), set(base.hidden))
        assert result.config is not None
        for override in overrides:
            name = override.key_or_group
            if self._is_choice(override) or is_below(name, result.hidden):
                continue
            if (problem := self._apply(override, result.config)) is not None:
                result.problems.append(problem)
                result.hidden.add(name)
        return result

    def _is_choice(self, override: Override) -> bool:
        return self._composer.is_group(override.key_or_group) and not isinstance(override.value(), dict)

    def _compose_choices(self, chosen: Sequence[Override]) -> Composed:
        """Compose the chosen options; an unknown one is replaced by the nearest, so that the rest can be checked."""
        result, lines = Composed(None), []
        for override in chosen:
            problem, line = self._check_choice(override)
            lines += [line] if line else []
            result.problems += [problem] if problem else []
            if line is None:
                result.hidden.add(override.key_or_group)
        try:
            result.config = self._composer.compose(lines)
        except Exception as error:  # a configuration file can hold anything
            self._compose_one_by_one(lines, error, result)
        return result

    def _compose_one_by_one(self, lines: Sequence[str], error: Exception, result: Composed) -> None:
        good: list[str] = []
        for line in lines:
            try:
                self._composer.compose([*good, line])
            except Exception as why:  # as above
                result.problems.append(_refused_choice(line, why, self._reason(why)))
                result.hidden.add(parse_override(line).key_or_group)
            else:
                good.append(line)
        try:
            result.config = self._composer.compose(good)
        except Exception as why:  # our own or the user's files do not compose, whatever is chosen
            result.problems.append(Problem("configuration", self._reason(why if not lines else error)))

    def _reason(self, error: Exception) -> str:
        """What an error says, with the file that cannot be read, which neither YAML nor OmegaConf always names."""
        text = words(error)
        if isinstance(error, HydraException) and str(error):
            return text  # it is about what the files say, so they can be read
        file = self._composer.unreadable_file()
        return text if file is None or str(file) in text else f"{text} (in {file})"

    def _check_choice(self, override: Override) -> tuple[Problem | None, str | None]:
        """Return what is wrong with a choice, and the override to go on with: itself, the nearest, or none."""
        group, value, line = override.key_or_group, override.value(), str(override.input_line)
        if override.is_delete():
            return None, line
        options, key, given = self._composer.options(group), override.get_key_element(), _given(override)
        allowed = ", ".join(options)
        if value is None:
            return Problem(key, f"null is no option: leave it out, or write ~{group}.", given, allowed), None
        if override.is_force_add():
            return Problem(key, f"is a choice: write {group}={given}.", given, allowed), line.removeprefix("++")
        wrong = [str(v) for v in (value if isinstance(value, list) else [value]) if str(v) not in options]
        if not wrong:
            return None, line
        near = get_close_matches(wrong[0], options, n=1, cutoff=0.5)
        meant = f"{key}={near[0]}" if near else None
        return Problem(key, f"unknown option of '{group}'.{nearest(wrong[0], options)}", wrong[0], allowed), meant

    def _apply(self, override: Override, config: DictConfig) -> Problem | None:
        key = override.key_or_group
        parent, siblings = _siblings(config, key)
        if siblings is None:
            return Problem(key, f"'{parent}' is a value and has no keys below it.", _given(override))
        try:
            apply_override(override, config)
        except (HydraException, OmegaConfBaseException, AttributeError, TypeError, ValueError) as error:
            return self._refused(override, config, parent, siblings, error)
        return None

    def _refused(
        self, override: Override, config: DictConfig, parent: str, siblings: Sequence[str], error: Exception
    ) -> Problem:
        key, given = override.key_or_group, _given(override)
        if override.package is not None:
            groups = self._composer.groups()
            return Problem(override.get_key_element(), f"there is no group '{key}'.{nearest(key, groups)}", given)
        if key in siblings:
            if isinstance(value := override.value(), dict):
                inner = next((k for name in value if (k := f"{key}.{name}") not in keys_of(config)), key)
                return unknown_key(inner, _siblings(config, inner)[1] or [], keys_of(config))
            if override.is_add():
                return Problem(f"+{key}", f"is there already: write {key}={given} without the +.", given)
            return Problem(key, words(error), given)
        if parent == "model" and set(siblings) >= CHOICE_OF_MODEL:
            options = [o for o in self._composer.options("model") if o != "auto"]
            return Problem(
                key, "name the model: with model=auto it is chosen by the machine.", given, ", ".join(options)
            )
        others = (k for k in keys_of(config) if k not in CHOICE_OF_MODEL)  # whoever writes gpu=1 means trainer.gpus
        problem = unknown_key(key, siblings, others, given)
        if f"{parent}._target_" in siblings and not override.is_delete():
            more = f" A further argument of the _target_ is added with +{key}={given}."
            problem = Problem(problem.key, problem.message + more, problem.given, problem.allowed)
        return problem


def words(error: Exception) -> str:
    """Return what an error says in one line; Hydra leaves some of it to the cause."""
    text = (str(error) or str(error.__cause__ or type(error).__name__)).partition("Config search path:")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines if "Available options" in text else lines[:LINES_OF_AN_ERROR])


def keys_of(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key, Hydra's own left out."""
    for name in map(str, config):
        key = f"{prefix}{name}"
        if key == "hydra":
            continue
        yield key
        child = config._get_node(name)
        if isinstance(child, DictConfig) and not _holds_no_keys(child):
            yield from keys_of(child, f"{key}.")


def _siblings(config: DictConfig, key: str) -> tuple[str, list[str] | None]:
    """Return the deepest node on the way to a key and the full keys in it; None where it is a value."""
    parent, node = "", config
    for part in key.split(".")[:-1]:
        child = node._get_node(part) if part in node else None
        if child is None:
            break
        parent = f"{parent}.{part}".lstrip(".")
        if isinstance(child, ListConfig) and not _holds_no_keys(child):
            return parent, [f"{parent}.{i}" for i in range(len(child))]
        if not isinstance(child, DictConfig) or _holds_no_keys(child):
            return parent, None
        node = child
    return parent, [key for name in map(str, node) if (key := f"{parent}.{name}".lstrip(".")) != "hydra"]


def _holds_no_keys(node: DictConfig | ListConfig) -> bool:
    return node._is_none() or node._is_missing() or node._is_interpolation()


def _given(override: Override) -> str | None:
    return override.get_value_string() if "=" in str(override.input_line) else None


def _unreadable(text: str, error: Exception) -> Problem:
    if "=" not in text:
        return Problem(text, NO_SETTING)
    key, _, value = text.partition("=")
    quoted = value.strip("\"'")
    hint = f"If it is a text, quote it: '{key}=\"{quoted}\"'"
    return Problem(key, f"cannot be read ({str(error).splitlines()[0]}). {hint}", shown(value))


def _refused_choice(line: str, error: Exception, reason: str) -> Problem:
    override, text = parse_override(line), str(error)
    group, given = override.key_or_group, _given(override)
    if text.startswith("Multiple values for"):
        return Problem(f"+{group}", f"is chosen already: write {group}={given} without the +.", given)
    if "No match in the defaults list" in text and not override.is_delete():
        return Problem(group, f"is not chosen so far: add it with +{group}={given}.", given)
    return Problem(override.get_key_element(), reason, given)
