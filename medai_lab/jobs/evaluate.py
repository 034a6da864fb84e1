"""job=evaluate: a run's numbers on its own splits or on another cohort; nothing is fitted again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from medai_lab.cohort.cohort import Cohort
from medai_lab.config.schema import Config
from medai_lab.deployment.predictor import Predictor
from medai_lab.errors import UserError, nearest
from medai_lab.evaluation import operating_points
from medai_lab.files import write_json, write_table
from medai_lab.jobs.assessment import assess, objective, show
from medai_lab.jobs.find_run import find_run
from medai_lab.jobs.result import JobResult
from medai_lab.jobs.training_data import read_cohort
from medai_lab.learning.hardware import device_of, set_threads


def run(config: Config) -> JobResult:
    """Predict and evaluate.

    With a `data` node on the command line the whole of that cohort is predicted as split `external`, whatever
    splits it has of its own; otherwise the run's validation and test records are.

    Raises:
        UserError: the cohort does not hold the run's target or inputs.
    """
    set_threads(config.trainer.threads, 1)
    run_folder = find_run(config)
    predictor = Predictor.load(run_folder, device_of(config.trainer.gpus), allow=config.trust)
    points = operating_points.load(run_folder.operating_points)
    folder = Path(HydraConfig.get().runtime.output_dir)
    other = _chooses_data(HydraConfig.get().overrides.task)
    splits = ["external"] if other else ["val", "test"]
    cohort = _other_cohort(config, predictor, folder) if other else run_folder.cohort()
    data, unusable = predictor.prepare(cohort)
    write_table(folder / "unusable.csv", unusable)
    tables = {s: predictor.table(data, data.cohort.of_split(s), f"Predicting {s}") for s in splits}
    results = assess(folder, tables, points, data.picture, config.job.replicates, config.seed)
    about = {"run": str(run_folder.path), "data": cohort.name, "digest": cohort.digest(), "splits": splits}
    write_json(folder / "evaluation.json", about)
    name, interval = objective(results, splits[-1])
    result = JobResult(interval["value"], f"{splits[-1]}_{name}", name != "mae", results, folder)
    write_json(folder / "result.json", result.to_plain())
    show(results, splits[-1], folder, None)
    return result


def _chooses_data(overrides: Sequence[str]) -> bool:
    """Return whether the command line names another cohort.

    Raises:
        UserError: it changes settings of the data without naming one, which would be ambiguous.
    """
    keys = {override.lstrip("+~").partition("=")[0] for override in overrides}
    settings = sorted(key for key in keys if key.startswith("data."))
    if settings and "data" not in keys:
        raise UserError(
            f"{settings[0]}: job=evaluate takes its data settings from the run. To evaluate another cohort, name its "
            "format too, as in data=bids data.root=DIR data.target=group."
        )
    return "data" in keys


def _other_cohort(config: Config, predictor: Predictor, folder: Path) -> Cohort:
    """Read the cohort of the data node as one external split, its labels and inputs named as the run's.

    The label column may have another name; the classes must be the run's, because nothing is guessed here.
    """
    cohort, excluded = read_cohort(config)
    write_table(folder / "excluded.csv", excluded)
    spec, target = predictor.target, cohort.target
    wanted = predictor.run.fitted("data")["channels"]
    assert target is not None
    if len(cohort.inputs) == len(wanted) == 1:  # a single sequence needs no name to be recognised
        table = cohort.table.rename(columns={cohort.input_columns[0]: f"input_{wanted[0]}"})
        cohort = replace(cohort, table=table, inputs=tuple(wanted))
    if list(cohort.inputs) != wanted:
        raise UserError(f"The run was trained on the inputs {wanted}; data.channels gives {list(cohort.inputs)}.")
    if (spec.kind == "regression") != (target.kind == "regression"):
        raise UserError(f"The run predicts a {spec.kind} target, the cohort's '{target.columns[0]}' is {target.kind}.")
    if unknown := sorted(set(target.classes) - set(spec.classes)):
        raise UserError(
            f"Column '{target.columns[0]}' holds {unknown}, which the run does not know: its classes are "
            f"{list(spec.classes)}." + nearest(unknown[0], spec.classes)
        )
    table = cohort.table.rename(columns=dict(zip(target.columns, spec.columns, strict=True)))
    return Cohort(table.assign(split="external"), cohort.inputs, spec, cohort.name)
