"""What is to be predicted: kind, columns, classes, and how table values become numbers."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from medai_lab.errors import UserError, nearest

TargetKind = Literal["binary", "multiclass", "multilabel", "regression"]


@dataclass(frozen=True)
class TargetSpec:
    """What a model predicts for one record.

    Attributes:
        kind: `binary`, `multiclass` (one class a record), `multilabel` (several findings a record) or
            `regression`.
        columns: the table's columns that hold the truth: one, or one a finding for `multilabel`.
        classes: class names in the order of their numbers (binary: negative first). Empty for
            `multilabel` and `regression`.
    """

    kind: TargetKind
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needed = {"binary": len(self.classes) == 2, "multiclass": len(self.classes) > 2}
        if not needed.get(self.kind, not self.classes):
            raise UserError(f"A {self.kind} target cannot have the {len(self.classes)} classes {list(self.classes)}.")

    @classmethod
    def of_classes(cls, column: str, values: pd.Series, positive: str | None = None) -> Self:
        """Make the binary or multi-class target that fits the distinct `values` of a label column.

        Args:
            column: name of the label column.
            values: the labels, as strings; missing ones are ignored.
            positive: the class whose probability is reported, for two classes. The second in sorted order
                unless given.
        """
        classes = sorted(values.dropna().unique(), key=_natural)
        if len(classes) < 2:
            raise UserError(f"Column '{column}' holds {len(classes)} class(es) {classes}: at least two are needed.")
        if positive is not None and str(positive) not in classes:
            raise UserError(
                f"data.positive={positive} is not a value of column '{column}', which holds {classes}."
                + nearest(str(positive), classes)
            )
        if len(classes) > 2:
            return cls("multiclass", (column,), tuple(classes))
        if positive is not None and classes[0] == str(positive):
            classes.reverse()
        return cls("binary", (column,), tuple(classes))

    @property
    def is_classes(self) -> bool:
        """True where a record has exactly one of several named classes."""
        return self.kind in ("binary", "multiclass")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the model puts out: the positive class, the classes, the findings or the quantity."""
        if self.kind == "binary":
            return self.classes[1:]
        return self.classes if self.kind == "multiclass" else self.columns

    def encode(self, table: pd.DataFrame) -> np.ndarray:
        """Return the truth of each row as numbers.

        Returns:
            `multiclass`: int64 (n,) class numbers. Otherwise float32 (n, outputs): 0 or 1 for `binary` and
            `multilabel` (NaN where not known), the quantity for `regression`.

        Raises:
            UserError: a label is missing or is none of the classes; the record is named.
        """
        if not self.is_classes:
            return table[list(self.columns)].to_numpy(dtype=np.float32)
        labels = table[self.columns[0]]
        codes = pd.Categorical(labels, categories=list(self.classes)).codes.astype(np.int64)
        if (codes < 0).any():
            first = int(np.argmax(codes < 0))
            raise UserError(
                f"Record '{table['record_id'].iloc[first]}' has {self.columns[0]}={labels.iloc[first]!r} "
                f"(and {int((codes < 0).sum()) - 1} more like it); the classes are {list(self.classes)}."
            )
        return codes if self.kind == "multiclass" else codes[:, None].astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and strings, for JSON and parquet metadata."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """Undo `to_dict`."""
        return cls(value["kind"], tuple(value["columns"]), tuple(value["classes"]))


def _natural(label: str) -> tuple[int, float, str]:
    """Sort key: numbers by value, then words by letter (so that "10" follows "9")."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
