"""Rules that join several settings: modalities, folders, and what a job takes from its run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from medai_lab.config.problems import Problem, is_below
from medai_lab.config.runs import is_known_elsewhere, is_run, task_of
from medai_lab.config.search import Composer
from medai_lab.errors import nearest

RUN_JOBS = ("evaluate", "predict")  # jobs that work on a finished run
FROM_RUN = {"evaluate": ("model", "optim", "task", "ckpt"), "predict": ("model", "optim", "task", "ckpt", "data")}
WEIGHT_FILES = (".ckpt", ".safetensors")
TABLE_FILES = (".csv", ".parquet")
NAMES_LOOKED_AT = 1000  # of a folder, for a name like the one given


@dataclass(frozen=True)
class Case:
    """One composed configuration.

    Attributes:
        plain: its values, None where one is not known.
        choices: the option taken of each group.
        overrides: of the command line.
        composer: of the search path.
    """

    plain: dict[str, Any]
    choices: dict[str, str | None]
    overrides: Sequence[Override]
    composer: Composer

    def text(self, key: str) -> str | None:
        """Return the text at a dotted key; None where there is none."""
        value: Any = self.plain
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value if isinstance(value, str) else None

    @property
    def job(self) -> str | None:
        """The name of the job."""
        return self.choices.get("job")

    @property
    def reads_data(self) -> bool:
        """Whether the job reads the cohort of the data node."""
        overridden = any(is_below(o.key_or_group, ["data"]) for o in self.overrides)
        return self.job not in RUN_JOBS or (self.job == "evaluate" and overridden)


def consistency_problems(case: Case) -> list[Problem]:
    """Return every broken rule."""
    rules = (_modality, _choice_of_model, _keys_of_the_run, _run, _data_folder, _files, _outputs)
    return [problem for rule in rules for problem in rule(case)]


def _modality(case: Case) -> list[Problem]:
    wanted, problems = case.text("task.modality"), []
    for group in ("model", "data"):
        has = case.text(f"{group}.modality")
        if has is None or wanted is None or has == wanted:
            continue
        options = case.composer.options(group)
        fitting = [o for o in options if case.composer.value_of_option(group, o, "modality") == wanted]
        task = case.choices.get("task") or case.text("task.name")
        message = f"is for {has}; task={task} needs a {group} for {wanted}."
        problems.append(Problem(group, message, case.choices.get(group), ", ".join(fitting)))
    return problems


def _choice_of_model(case: Case) -> list[Problem]:
    """Rules of model=auto, whose network is chosen later."""
    model = case.plain.get("model")
    if not isinstance(model, dict) or not {"gpu", "cpu"} <= set(model):
        return []
    options = case.composer.options("model")
    return [
        Problem(f"model.{device}", f"unknown option of 'model'.{nearest(name, options)}", name, ", ".join(options))
        for device in ("gpu", "cpu")
        if (name := case.text(f"model.{device}")) is not None and name not in options
    ]


def _keys_of_the_run(case: Case) -> list[Problem]:
    groups, run = FROM_RUN.get(case.job or "", ()), case.text("run")
    folder = Path(run) if run is not None else None
    task = task_of(folder) if folder is not None and is_run(folder) else None
    problems = []
    for override in case.overrides:
        key = override.key_or_group
        if key == "task" and task in (None, override.value()):
            continue  # the same task, or a run that is looked up elsewhere
        if key == "task" and groups:
            problems.append(Problem(key, f"the run is of task '{task}': leave it out.", _given(override)))
        elif is_below(key, groups):
            problems.append(Problem(key, f"comes from the run: leave it out with job={case.job}.", _given(override)))
    return problems


def _run(case: Case) -> list[Problem]:
    run, job = case.text("run"), case.job
    ways = "a run folder, last, an MLflow run id or models:/NAME@ALIAS"
    if job == "train" and run is not None:
        return [Problem("run", "is for job=evaluate and job=predict; training goes on with resume=RUN_DIR.", run)]
    if job not in RUN_JOBS:
        return []
    if run is None:
        known = case.plain.get("run", "") is None
        return [Problem("run", f"job={job} needs a run.", None, ways)] if known else []
    if is_run(Path(run)) or is_known_elsewhere(run):
        return []
    if Path(run).is_dir():
        return [Problem("run", "is no run folder: it has no config.yaml.", run, ways)]
    if run == "last":
        return [Problem("run", f"there is no finished run below {case.text('paths.outputs')}.", run, ways)]
    return [Problem("run", f"no such folder.{_beside(Path(run))}", run, ways)]


def _data_folder(case: Case) -> list[Problem]:
    root = case.text("data.root")
    made = case.text("paths.data")  # readers that make their data put them below this
    makes_its_data = ".synthetic." in (case.text("data.reader._target_") or "")
    if root is None or not case.reads_data or makes_its_data or Path(root).is_dir():
        return []
    if made is not None and Path(root).absolute().is_relative_to(Path(made).absolute()):
        return []
    what = "is a file, a folder is needed." if Path(root).exists() else f"no such folder.{_beside(Path(root))}"
    return [Problem("data.root", what, root)]


def _files(case: Case) -> list[Problem]:
    problems = []
    weights, source, output = case.text("ckpt.init"), case.text("input"), case.text("output")
    if weights is not None and (not Path(weights).is_file() or Path(weights).suffix not in WEIGHT_FILES):
        what = "is neither a .ckpt nor a .safetensors file." if Path(weights).exists() else "no such file."
        problems.append(Problem("ckpt.init", what + _beside(Path(weights)), weights))
    if source is not None and not Path(source).exists():
        problems.append(Problem("input", f"no such file or folder.{_beside(Path(source))}", source))
    if case.job == "predict" and case.plain.get("input", "") is None:
        problems.append(Problem("input", "job=predict needs scans.", None, "a file, a folder, or a CSV of paths"))
    if output is not None and Path(output).suffix not in TABLE_FILES:
        problems.append(Problem("output", "the table is written by its ending.", output, ".csv or .parquet"))
    return problems


def _outputs(case: Case) -> list[Problem]:
    outputs = case.text("paths.outputs")
    if outputs is None:
        return []
    there = next(p for p in (Path(outputs), *Path(outputs).absolute().parents) if p.exists())
    if there.is_dir() and os.access(there, os.W_OK):
        return []
    reason = "is not writable" if there.is_dir() else "is a file"
    return [Problem("paths.outputs", f"nothing can be written there: {there} {reason}.", outputs)]


def _beside(path: Path) -> str:
    """A hint at what is there instead: the nearest name in the folder, or the first folder that is missing."""
    if path.exists():
        return ""
    missing = next((p for p in reversed([path, *path.absolute().parents]) if not p.exists()), path)
    if not missing.parent.is_dir() or not os.access(missing.parent, os.R_OK):
        return ""
    first = "" if missing.absolute() == path.absolute() else f" The first part that is missing is {missing}."
    return first + nearest(missing.name, [p.name for p in islice(missing.parent.iterdir(), NAMES_LOOKED_AT)])


def _given(override: Override) -> str | None:
    return override.get_value_string() if "=" in str(override.input_line) else None
