"""Thresholds that turn a probability into a decision, chosen on validation data and nowhere else.

A threshold chosen on the data it is judged on flatters the model, so `fit` takes validation rows only. The
decision is `score >= value`, and `value` lies between two neighbouring scores rather than on one, so that
the last digit of a probability decides nothing.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from medai_lab.errors import UserError, nearest
from medai_lab.evaluation import predictions
from medai_lab.evaluation.arrays import FloatArray
from medai_lab.evaluation.ranking import steps
from medai_lab.files import read_json, write_json

RULES = ("youden", "f1", "accuracy", "fixed:0.5", "sensitivity>=0.95", "specificity>=0.9")
OUT_OF_FOLD = "out-of-fold"


@dataclass(frozen=True)
class OperatingPoint:
    """A frozen threshold and where it comes from.

    Attributes:
        output: the output it belongs to.
        rule: how it was chosen, as given.
        value: a record is called positive where its probability is at or above this.
        split: the data it was chosen on: `val` or `out-of-fold`.
        digest: SHA-256 of the records, truth and probabilities it was chosen on.
    """

    output: str
    rule: str
    value: float
    split: str
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Undo `to_dict`.

        Raises:
            UserError: a field is missing, unknown or of the wrong type.
        """
        try:
            point = cls(**value)
            return cls(str(point.output), str(point.rule), float(point.value), str(point.split), str(point.digest))
        except (TypeError, ValueError) as error:
            raise UserError(f"Not an operating point: {value!r} ({error}).") from error


class Candidates(NamedTuple):
    """What each possible threshold gives, highest threshold first (G + 1 of them).

    Attributes:
        values: the thresholds; the first calls no record, the last calls all.
        tp: positive records called.
        fp: negative records called.
        positives: number of positive records.
        negatives: number of negative records.
    """

    values: FloatArray
    tp: FloatArray
    fp: FloatArray
    positives: float
    negatives: float

    @property
    def sensitivity(self) -> FloatArray:
        """Sensitivity at each threshold."""
        return self.tp / self.positives

    @property
    def specificity(self) -> FloatArray:
        """Specificity at each threshold."""
        return (self.negatives - self.fp) / self.negatives


# What each rule makes as large as possible; exact counts, so that equally good thresholds compare equal.
_LARGEST: Mapping[str, Callable[[Candidates], FloatArray]] = {
    "youden": lambda c: c.tp * c.negatives - c.fp * c.positives,  # sensitivity + specificity - 1 (Youden 1950)
    "f1": lambda c: 2 * c.tp / (c.tp + c.fp + c.positives),
    "accuracy": lambda c: c.tp - c.fp,
}


def parse_rule(rule: str) -> tuple[str, float]:
    """Split a rule into its name (`youden`, `fixed`, `sensitivity`, ...) and its number (NaN if it has none).

    Raises:
        UserError: there is no such rule, or its number is not within 0 and 1.
    """
    match = re.fullmatch(r"(youden|f1|accuracy)|(fixed):(.+)|(sensitivity|specificity)\s*>=\s*(.+)", rule.strip())
    if match is None:
        raise UserError(f"Unknown operating point rule '{rule}'; allowed are {list(RULES)}.{nearest(rule, RULES)}")
    name = match[1] or match[2] or match[4]
    if match[1]:
        return name, float("nan")
    given = match[3] or match[5]
    try:
        number = float(given)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise UserError(f"Operating point rule '{rule}': {given} is not a number between 0 and 1.")
    return name, number


def fit(table: pd.DataFrame, rule: str) -> list[OperatingPoint]:
    """Choose the threshold of each output on validation data.

    `youden`, `f1` and `accuracy` take the best value of that name, `sensitivity>=x` the highest specificity
    that keeps the sensitivity, `specificity>=x` the reverse, `fixed:x` the number itself. Between equally
    good thresholds the more sensitive one wins.

    Args:
        table: predictions with truth whose rows are all of the split `val`, or name no split and are
            out-of-fold (`fold` filled, each record once).
        rule: one of the above.

    Returns:
        One point for a binary target, one a finding for `multilabel`, none for other kinds of target.

    Raises:
        UserError: the rows are not validation data, the rule is unknown, or a class the rule needs is
            missing.
    """
    name, number = parse_rule(rule)
    predictions.check(table, needs_truth=True)
    split = _validation_split(table)
    target = predictions.target_of(table)
    if target.kind not in ("binary", "multilabel"):
        return []
    points = []
    for output in target.outputs:
        rows = predictions.known(table, output)
        value = number if name == "fixed" else _choose(rows, output, name, number)
        ids = table["record_id"].to_numpy()[rows.rows]
        points.append(OperatingPoint(output, rule, float(value), split, _digest(ids, rows)))
    return points


def save(path: Path, points: Sequence[OperatingPoint]) -> None:
    """Write operating points as JSON, atomically."""
    write_json(path, [point.to_dict() for point in points])


def load(path: Path) -> list[OperatingPoint]:
    """Read operating points.

    Raises:
        UserError: the file is missing or does not hold operating points.
    """
    try:
        found = read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no operating point file '{path}'.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"Operating point file '{path}' cannot be read as JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UserError(f"Operating point file '{path}' must hold a list of operating points.")
    return [OperatingPoint.from_dict(item) for item in found]


def _validation_split(table: pd.DataFrame) -> str:
    """Return where the rows come from, refusing everything but validation and out-of-fold rows."""
    splits = table["split"]
    out_of_fold = splits.isna().all() and "fold" in table and bool(table["fold"].notna().all())
    if not out_of_fold and not (splits == "val").all():
        named = sorted(splits.fillna("(none)").astype(str).unique())
        raise UserError(f"Operating points are chosen on validation data; got split(s) {named}.")
    predictions.one_row_a_record(table)
    return OUT_OF_FOLD if out_of_fold else "val"


def _choose(rows: predictions.Known, output: str, name: str, number: float) -> float:
    """Apply a rule to the records of one output."""
    for kind, label in ((1, "positive"), (0, "negative")):
        if not (rows.truth == kind).any():
            raise UserError(
                f"No operating point for '{output}': the validation data has no {label} records of it. "
                f"Use a validation split that holds both, or the rule 'fixed:0.5'."
            )
    c = _candidates(rows.truth, rows.score)
    if name == "sensitivity":
        worth = np.where(c.sensitivity >= number, c.specificity, -np.inf)
    elif name == "specificity":
        worth = np.where(c.specificity >= number, c.sensitivity, -np.inf)
    else:
        worth = _LARGEST[name](c)
    return float(c.values[np.lexsort((c.specificity, c.sensitivity, worth))[-1]])


def _candidates(truth: FloatArray, score: FloatArray) -> Candidates:
    """List the thresholds midway between neighbouring scores, and one beyond each end."""
    counted = steps(truth, score, np.ones((1, len(truth))))
    high, low = counted.scores[:-1], counted.scores[1:]
    middle = (high + low) / 2
    between = np.where(middle > low, middle, high)  # neighbouring floats have no number between them
    highest, lowest = counted.scores[0], counted.scores[-1]
    above = (highest + 1) / 2 if highest < 1 else 1 + 1e-6  # also above 1 as a float32
    tp, fp = counted.true_positives[0], counted.false_positives[0]
    values = np.concatenate([[above], between, [lowest / 2]])
    return Candidates(values, np.append(0, tp), np.append(0, fp), float(tp[-1]), float(fp[-1]))


def _digest(ids: np.ndarray, rows: predictions.Known) -> str:
    """SHA-256 of record ids, truth and scores, whatever the order of the rows."""
    names = ids.astype(str)
    order = np.argsort(names, kind="stable")
    seen = hashlib.sha256(json.dumps(names[order].tolist()).encode())
    seen.update(np.stack([rows.truth[order], rows.score[order]]).astype("<f8").tobytes())
    return seen.hexdigest()
