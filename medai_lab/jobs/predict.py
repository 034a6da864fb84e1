"""job=predict: probabilities and decisions for scans whose truth is not known."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from medai_lab.cohort.cohort import Cohort
from medai_lab.config.schema import Config
from medai_lab.deployment.predictor import Predictor
from medai_lab.errors import UserError
from medai_lab.evaluation import operating_points
from medai_lab.files import write_table
from medai_lab.jobs.find_run import find_run
from medai_lab.jobs.result import JobResult
from medai_lab.learning.hardware import device_of, set_threads
from medai_lab.tracking.run_folder import RunFolder

log = logging.getLogger(__name__)


def run(config: Config) -> JobResult:
    """Predict every scan that `input=` names and write one table; a scan that cannot be read gets its reason.

    Columns: `record_id`, `input_<sequence>`, `status` (`ok` or `unreadable`), `prob_<output>` or
    `pred_<quantity>`, `decision`, `threshold` for two classes, `reason`, `run`, `weights` (their SHA-256).

    Raises:
        UserError: no input was named or found, or the output has an unknown ending.
    """
    if config.input is None:
        raise UserError("input= is missing: give a NIfTI file, a folder of scans or DICOM series, or a CSV of paths.")
    output = Path(config.output or "predictions.csv")
    if output.suffix not in (".csv", ".parquet"):
        raise UserError(f"output={config.output}: the table is written as .csv or .parquet.")
    set_threads(config.trainer.threads, 1)
    run_folder = find_run(config)
    predictor = Predictor.load(run_folder, device_of(config.trainer.gpus), allow=config.trust)
    cohort = predictor.datamodule.find_inputs(config.input, run_folder.fitted("data"))
    table = predict_table(predictor, cohort)
    write_table(output, table)
    bad = int((table["status"] != "ok").sum())
    log.info("%d of %d scans predicted; the table is %s.", len(table) - bad, len(table), output)
    return JobResult(None, "", True, {"predicted": len(table) - bad, "unreadable": bad}, output)


def predict_table(predictor: Predictor, cohort: Cohort) -> pd.DataFrame:
    """Return one row a record, those that cannot be used included."""
    data, unusable = predictor.prepare(cohort)
    kept = cohort.table[["record_id", *cohort.input_columns]]
    out = kept.merge(unusable[["record_id", "reason"]], on="record_id", how="left")
    if len(data.cohort):
        predicted = predictor.table(data, data.cohort, "Predicting")
        values = [c for c in predicted.columns if c.startswith(("prob_", "pred_"))]
        decided = predicted[["record_id", *values]].assign(**_decide(predicted, predictor))
        out = out.merge(decided, on="record_id", how="left")
    out.insert(1, "status", out["reason"].isna().map({True: "ok", False: "unreadable"}))
    return out.assign(run=predictor.run.path.name, weights=weights_digest(predictor.run))


def weights_digest(run: RunFolder) -> str:
    """Return the SHA-256 of the run's weights: which model it was, whatever its folder is called."""
    import hashlib

    with run.weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decide(predicted: pd.DataFrame, predictor: Predictor) -> dict[str, Any]:
    spec = predictor.target
    if spec.kind == "regression":
        return {}
    scores = predicted[[f"prob_{o}" for o in spec.outputs]]
    if spec.kind == "multiclass":
        return {"decision": [spec.classes[i] for i in scores.to_numpy().argmax(axis=1)]}
    point = {p.output: p for p in operating_points.load(predictor.run.operating_points)}[spec.outputs[0]]
    positive = scores.iloc[:, 0] >= point.value
    return {"decision": positive.map({True: spec.classes[1], False: spec.classes[0]}), "threshold": point.value}
