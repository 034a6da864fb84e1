"""The one table every later step starts from."""

import hashlib
from dataclasses import dataclass, replace
from typing import Self

import pandas as pd

from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError

SPLITS = ("train", "val", "test")
EXTERNAL = "external"  # the one split of a cohort on which a finished model is evaluated


@dataclass(frozen=True)
class Cohort:
    """Records, their patients, inputs and truth.

    Attributes:
        table: one row a record, with the string columns `record_id` (unique) and `patient_id`; optional
            `site`, `split` (`train`, `val`, `test`), `sex` (`F`, `M`), `age` (years) and any further
            columns; `input_<name>` for every name of `inputs` (a file path, a locator inside a file, or
            missing); the target's columns.
        inputs: names of the inputs, in channel order.
        target: what is to be predicted; None where the truth is not known (new scans to predict).
        name: a short name of the source, without any path.
    """

    table: pd.DataFrame
    inputs: tuple[str, ...]
    target: TargetSpec | None
    name: str

    def __post_init__(self) -> None:
        needed = ["record_id", "patient_id", *self.input_columns, *(self.target.columns if self.target else ())]
        missing = [c for c in needed if c not in self.table.columns]
        if missing:
            raise UserError(f"Cohort '{self.name}' lacks the column(s) {missing}; it has {list(self.table.columns)}.")
        if self.table.empty:
            raise UserError(f"Cohort '{self.name}' is empty: no record was found.")
        for column in ("record_id", "patient_id"):
            if self.table[column].isna().any():
                raise UserError(f"Cohort '{self.name}': row {int(self.table[column].isna().argmax())} has no {column}.")
        repeated = self.table.loc[self.table["record_id"].duplicated(), "record_id"]
        if len(repeated):
            raise UserError(
                f"Cohort '{self.name}': record '{repeated.iloc[0]}' stands there more than once "
                f"({repeated.nunique()} such records). Every record needs a name of its own."
            )
        if "split" in self.table and (odd := set(self.table["split"].dropna()) - {*SPLITS, EXTERNAL}):
            raise UserError(f"Cohort '{self.name}': unknown split(s) {sorted(odd)}; allowed are {list(SPLITS)}.")

    @property
    def input_columns(self) -> list[str]:
        """Names of the columns that hold the inputs."""
        return [f"input_{name}" for name in self.inputs]

    def __len__(self) -> int:
        return len(self.table)

    def with_table(self, table: pd.DataFrame) -> Self:
        """Return the same cohort over another (filtered, annotated) table, with a fresh index."""
        return replace(self, table=table.reset_index(drop=True))

    def of_split(self, split: str) -> Self:
        """Return the records of one split."""
        return self.with_table(self.table[self.table["split"] == split])

    def digest(self) -> str:
        """SHA-256 over the table, the input names and the target, independent of row order and of folders.

        Input locators count by their last path component only, so that the digest is the same where the
        same data lies in another folder. What the files hold is covered by the digests the cache makes.
        """
        table = self.table.sort_values("record_id")[sorted(self.table.columns)].astype("string").fillna("")
        for column in self.input_columns:
            table[column] = table[column].str.replace("\\", "/").str.rsplit("/", n=1).str[-1]
        seen = hashlib.sha256(repr((self.inputs, self.target)).encode())
        seen.update(table.to_csv(index=False).encode())
        return seen.hexdigest()
