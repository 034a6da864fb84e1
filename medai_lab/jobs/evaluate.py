"""job=evaluate: a run's numbers on its own splits or on another cohort; nothing is fitted again."""

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from medai_lab.config.schema import Config
from medai_lab.deployment.predictor import Predictor
from medai_lab.errors import UserError, nearest
from medai_lab.evaluation import operating_points
from medai_lab.files import write_json, write_table
from medai_lab.cohort.cohort import Cohort
from medai_lab.jobs.assessment import assess, objective, show
from medai_lab.jobs.find_run import find_run
from medai_lab.jobs.result import JobResult
from medai_lab.jobs.training_data import read_cohort
from medai_lab.learning.hardware import device_of, set_threads

log = logging.getLogger(__name__)


def run(config: Config) -> JobResult:
    """Predict and evaluate.

    With a `data` node on the command line the whole of that cohort is predicted as split `external`, whatever
    splits it has of its own; otherwise the run's validation and test records are.

    Raises:
        UserError: the cohort does not hold the run's target or inputs.
    """
    set_threads(config.trainer.threads, 1)
    run_folder = find_run(config)
    predictor = Predictor.load(run_folder, device_of(config.trainer.gpus))
    points = operating_points.load(run_folder.operating_points)
    if any(o.startswith("data") for o in HydraConfig.get().overrides.task):
        cohort, excluded = read_cohort(config)
        cohort = _fit_to_run(cohort, predictor)
        splits = ["external"]
    else:
        cohort, excluded = run_folder.cohort(), None
        splits = ["val", "test"]
    data, unusable = predictor.prepare(cohort)
    tables = {
        split: predictor.table(data, data.cohort if split == "external" else data.cohort.of_split(split), f"Predicting {split}")
        for split in splits
    }
    folder = Path(HydraConfig.get().runtime.output_dir)
    if excluded is not None:
        import pandas as pd

        write_table(folder / "excluded.csv", pd.concat([excluded, unusable]))
    results = assess(folder, tables, points, config.job.replicates, config.seed)
    write_json(folder / "evaluation.json", {"run": str(run_folder.path), "data": cohort.name, "digest": cohort.digest(), "splits": splits})
    shown = splits[-1]
    name, interval = objective(results, shown)
    result = JobResult(interval["value"], f"{shown}_{name}", name != "mae", results, folder)
    write_json(folder / "result.json", result.to_plain())
    show(results, shown, folder, None)
    return result


def _fit_to_run(cohort: Cohort, predictor: Predictor) -> Cohort:
    """Read another cohort's labels and inputs as the run's.

    The label column may have another name; the classes must be the run's, because nothing is guessed here.
    """
    spec, wanted = predictor.target, predictor.run.fitted("data")["channels"]
    target = cohort.target
    assert target is not None
    if list(cohort.inputs) != wanted:
        raise UserError(f"The run was trained on the inputs {wanted}; data.channels gives {list(cohort.inputs)}.")
    if (spec.kind == "regression") != (target.kind == "regression"):
        raise UserError(f"The run predicts a {spec.kind} target, the cohort's '{target.columns[0]}' is {target.kind}.")
    if unknown := set(target.classes) - set(spec.classes):
        raise UserError(
            f"Column '{target.columns[0]}' holds {sorted(unknown)}, which the run does not know: its classes are "
            f"{list(spec.classes)}." + nearest(sorted(unknown)[0], spec.classes)
        )
    table = cohort.table.rename(columns=dict(zip(target.columns, spec.columns, strict=True)))
    return Cohort(table.assign(split="external") if False else table.assign(split="test"), cohort.inputs, spec, cohort.name)
