"""The command line: Hydra's flags and overrides, with `resume=` and `run=` expanded before Hydra sees them.

resume=RUN_DIR   becomes the run's own resolved configuration, with the other overrides on top
run=last         becomes the folder of the run that finished last
run=RUN_DIR      adds task=<the run's> where no task was given
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, Quote, QuotedString

from medai_lab.config.overrides import parse
from medai_lab.config.problems import Problem, is_below
from medai_lab.config.runs import is_run, last_finished, task_of
from medai_lab.config.search import CONFIG_NAME, Composer, conf_folder, flag_parser

CHANGEABLE_ON_RESUME = ("resume", "trainer", "callbacks", "tracking", "name", "job.replicates", "data.workers", "trust")
DISPLAY = ("help", "hydra_help", "cfg", "info", "shell_completion")
FLAGS = (*DISPLAY, "resolve", "package", "run", "multirun", "config_path", "config_name", "config_dir")


@dataclass(frozen=True)
class Arguments:
    """A command line in parts.

    Attributes:
        overrides: `key=value` texts.
        flags: Hydra's flags that were given, by their long names with underscores.
        config_path: the folder of the primary configuration, or `pkg://` and a package.
        config_name: its name without ending.
        config_dir: a further folder of options.
    """

    overrides: tuple[str, ...]
    flags: dict[str, Any] = field(default_factory=dict)
    config_path: str = ""
    config_name: str = CONFIG_NAME
    config_dir: str | None = None

    @property
    def displays(self) -> bool:
        """Whether Hydra only shows something, so that no job runs."""
        return any(flag in self.flags for flag in DISPLAY)

    @property
    def multirun(self) -> bool:
        """Whether this is a sweep."""
        return "multirun" in self.flags or "hydra.mode=MULTIRUN" in self.overrides

    def composer(self, overrides: Sequence[Override]) -> Composer:
        """Return the composer of this search path; what to compose is given to it later."""
        search = [str(o.input_line) for o in overrides if o.key_or_group == "hydra.searchpath"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # folders that are missing are told once, by the check
            return Composer(self.config_path, self.config_name, self.config_dir, search)

    def search_flags(self) -> list[str]:
        """Return the flags that say where configurations are, for another process."""
        names = ("config_path", "config_name", "config_dir")
        return [f"--{n.replace('_', '-')}={self.flags[n]}" for n in names if n in self.flags]

    def to_argv(self) -> list[str]:
        """Return the command line for Hydra, flags first."""
        given = []
        for name, value in self.flags.items():
            option = f"--{name.replace('_', '-')}"
            given.append(option if value is True else f"{option}={value}")
        return [*given, *self.overrides]


def read(argv: Sequence[str]) -> tuple[Arguments, list[Problem]]:
    """Parse and expand a command line.

    Raises:
        SystemExit: with code 2, after argparse has printed what is wrong with a flag of Hydra's.
    """
    namespace, rest = flag_parser().parse_known_intermixed_args(list(argv))
    problems = [_unknown_flag(text) for text in rest if text.startswith("-")]
    namespace.overrides += [text for text in rest if "=" in text and not text.startswith("-")]
    if namespace.experimental_rerun is not None:
        problems.append(Problem("--experimental-rerun", "is not offered: it would load a pickle."))
    arguments = _from_namespace(namespace)
    overrides, _ = parse(arguments.overrides)  # unreadable ones are told by the check
    by_key = {o.key_or_group: o for o in overrides if isinstance(o.value(), str)}
    if "resume" in by_key and "config_path" not in arguments.flags:
        arguments, more = _expand_resume(arguments, overrides, str(by_key["resume"].value()))
        problems += more
    elif "run" in by_key:
        arguments = _expand_run(arguments, overrides, by_key["run"])
    return arguments, problems


def quoted(text: str) -> str:
    """Return a text as a value that Hydra's override grammar reads back unchanged."""
    return QuotedString(text, Quote.single).with_quotes()


def _from_namespace(namespace: argparse.Namespace) -> Arguments:
    flags = {name: getattr(namespace, name) for name in FLAGS if getattr(namespace, name) not in (None, False)}
    if "config_path" in flags and Path(flags["config_path"]).is_dir():
        flags["config_path"] = str(Path(flags["config_path"]).absolute())  # Hydra would look beside this file
    return Arguments(
        tuple(namespace.overrides),
        flags,
        flags.get("config_path", str(conf_folder())),
        flags.get("config_name", CONFIG_NAME),
        flags.get("config_dir"),
    )


def _unknown_flag(text: str) -> Problem:
    example = text.lstrip("-") if "=" in text else "trainer.gpus=1"
    hint = f"Settings are written without dashes, such as {example}"
    return Problem(text, f"unknown flag. {hint}", None, "--help, --cfg job, --multirun, --info, --config-dir DIR")


def _expand_resume(arguments: Arguments, overrides: Sequence[Override], run: str) -> tuple[Arguments, list[Problem]]:
    folder = Path(run).absolute()
    problems = _resume_problems(arguments, overrides, run, folder)
    if problems:
        return replace(arguments, overrides=()), problems
    kept = [str(o.input_line) for o in overrides if o.key_or_group != "resume"]
    # A run's own config must not say which packages it may name, so the answer never comes from its file.
    trust = [] if any(o.key_or_group == "trust" for o in overrides) else ["++trust=[]"]
    where = quoted(str(folder))
    hydra = [f"hydra.run.dir={where}", "hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]
    flags = {**arguments.flags, "config_path": str(folder), "config_name": CONFIG_NAME}
    lines = (*kept, *trust, f"resume={where}", *hydra)
    return replace(arguments, overrides=lines, flags=flags, config_path=str(folder), config_name=CONFIG_NAME), []


def _resume_problems(arguments: Arguments, overrides: Sequence[Override], run: str, folder: Path) -> list[Problem]:
    problems = []
    if not folder.is_dir():
        problems.append(Problem("resume", "no such folder.", run, "the folder of a training run"))
    elif not is_run(folder):
        problems.append(Problem("resume", "is no run folder: it has no config.yaml.", run))
    elif not (folder / "checkpoints" / "last.ckpt").is_file():
        problems.append(Problem("resume", "has no checkpoints/last.ckpt to go on from; start a new run.", run))
    if arguments.multirun:
        problems.append(Problem("resume", "goes on with one run, so it takes no -m.", run))
    rule = "a resumed run keeps its model, data and split; start a new run (or ckpt.init=...)."
    allowed = ", ".join(CHANGEABLE_ON_RESUME[1:])
    for override in overrides:
        key = override.key_or_group
        if not is_below(key, CHANGEABLE_ON_RESUME):
            given = override.get_value_string() if "=" in str(override.input_line) else None
            problems.append(Problem(key, rule, given, allowed))
    return problems


def _expand_run(arguments: Arguments, overrides: Sequence[Override], run: Override) -> Arguments:
    name, lines = str(run.value()), list(arguments.overrides)
    tasks = [o.value() for o in overrides if o.key_or_group == "task"]
    if name == "last" and (outputs := _outputs(arguments, overrides)) is not None:
        folder = last_finished(outputs, str(tasks[-1]) if tasks else None)
        if folder is not None:
            lines[lines.index(str(run.input_line))] = f"run={quoted(str(folder))}"
            name = str(folder)
    task = task_of(Path(name)) if is_run(Path(name)) else None
    if task is not None and not tasks:
        lines.append(f"task={task}")
    return replace(arguments, overrides=tuple(lines))


def _outputs(arguments: Arguments, overrides: Sequence[Override]) -> Path | None:
    """The folder of all runs; None where the configuration does not compose, which the check tells."""
    paths = [str(o.input_line) for o in overrides if o.key_or_group.split(".")[0] in ("paths", "local")]
    try:
        composed = arguments.composer(overrides).compose(paths)
        return Path(composed.paths.outputs)
    except Exception:  # whatever is wrong with the user's files is told by the check
        return None
