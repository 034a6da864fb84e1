"""What the readers of public layouts share: tables of labels, standard columns, and the step to a Cohort."""

import codecs
import csv
import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError, nearest

log = logging.getLogger(__name__)

MISSING = ("", "n/a", "na", "nan")
"""What a table may write for a value that is not known, in any case."""

TARGET_KINDS = ("auto", "classes", "regression")
REGRESSION_FROM = 10  # `auto`: a numeric column of more distinct values than this is a quantity
_STANDARD = {
    "sex": ("sex", "gender", "mf", "patientsex", "ptgender"),
    "age": ("age", "ageyears", "ageinyears", "ageatscan", "patientage"),
    "site": ("site", "center", "centre", "siteid", "centerid", "centreid"),
    "split": ("split",),
}
_SEXES = {"f": "F", "female": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_SPLITS = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}
_AGE_UNITS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def root_folder(root: str) -> Path:
    """Return `data.root` as a path, with `~` expanded.

    Raises:
        UserError: there is no such folder.
    """
    path = Path(root).expanduser().resolve()
    if not path.is_dir():
        raise UserError(f"data.root={root}: no such folder.")
    return path


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or TSV file as strings; missing values become NaN.

    The separator (comma, semicolon, tab) is found by looking at the header, a byte order mark is dropped, and text
    that is not UTF-8 is read as Windows-1252. Columns without a name are left out.

    Raises:
        UserError: no such file, an empty one, a header name that stands twice, or a row longer than the header.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if path.suffix.lower() in (".xls", ".xlsx"):
        raise UserError(f"{path}: Excel files are not read; save the sheet as CSV.")
    text = _decoded(path)
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    try:
        rows = [r for r in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(c.strip() for c in r)]
    except csv.Error as error:
        raise UserError(f"{path}: is not a readable table ({error}).") from error
    if not rows:
        raise UserError(f"{path}: the table is empty.")
    header = [name.strip() for name in rows[0]]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise UserError(f"{path}: the column name(s) {repeated} stand more than once in the header.")
    for number, row in enumerate(rows[1:], start=1):
        if any(cell.strip() for cell in row[len(header) :]):
            raise UserError(f"{path}: record {number} has {len(row)} values for {len(header)} columns.")
    columns = {
        name: pd.Series([_value(row[i], separator) if i < len(row) else None for row in rows[1:]], dtype="str")
        for i, name in enumerate(header)
        if name
    }
    return pd.DataFrame(columns)


def rows_of(table: pd.DataFrame) -> list[dict[str, str | None]]:
    """Return the rows of a table of strings; missing values become None."""
    return [{str(k): None if pd.isna(v) else str(v) for k, v in row.items()} for row in table.to_dict(orient="records")]


def require_column(table: pd.DataFrame, name: str, where: str) -> str:
    """Return `name` if it is a column of `table`.

    Raises:
        UserError: it is not; the message holds the nearest spelling and all columns.
    """
    if name in table.columns:
        return name
    raise UserError(
        f"{where}: there is no column '{name}'.{nearest(name, table.columns)} The columns are {list(table.columns)}."
    )


def find_column(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """Return the first column whose name, without case and punctuation, is one of `names` (in their order)."""
    plain = {re.sub(r"[^a-z0-9]", "", str(c).lower()): str(c) for c in reversed(list(table.columns))}
    return next((plain[n] for n in names if n in plain), None)


def with_standard_columns(table: pd.DataFrame, target: str | None) -> pd.DataFrame:
    """Add `sex` (F, M), `age` (years), `site` and `split` where a column of a usual name holds them.

    The column they come from is kept. A column that is the target itself is left as the file has it.
    """
    table = table.copy()
    for standard, names in _STANDARD.items():
        column = find_column(table, names)
        if column is None or standard == target:
            continue
        values = table[column].astype("str").str.strip()
        if standard == "sex":
            values = values.str.lower().map(_SEXES)
        elif standard == "age":
            table[standard] = pd.Series([_years(v) for v in values], index=table.index, dtype=float)
            continue
        elif standard == "split":
            values = values.str.lower().replace(_SPLITS)
        table[standard] = values
    return table


def to_cohort(
    table: pd.DataFrame,
    inputs: Sequence[str],
    *,
    name: str,
    where: str,
    target: str | None,
    positive: str | None = None,
    kind: str = "auto",
) -> Cohort:
    """Turn a table with `record_id`, `patient_id` and `input_<name>` into a Cohort.

    Args:
        table: one row a record, other columns as strings.
        inputs: names of the inputs, in channel order.
        name: short name of the source.
        where: what to call the source in messages.
        target: the column to predict; None where nothing is.
        positive: the class whose probability is reported, for two classes.
        kind: `classes`, `regression` or `auto` (regression for a numeric column of more than ten values).

    Raises:
        UserError: unknown target column or kind, a quantity that is not a number, `positive` for a quantity, or
            what `TargetSpec` and `Cohort` refuse.
    """
    if kind not in TARGET_KINDS:
        raise UserError(f"data.target_kind={kind}: allowed are {list(TARGET_KINDS)}.{nearest(kind, TARGET_KINDS)}")
    known = table[[c for c in table.columns if not c.startswith("input_") and c != "record_id"]]
    if target is not None:
        require_column(known, target, where)
    table = with_standard_columns(table, target)
    spec = None
    if target is not None:
        table[target], spec = _target(table, target, positive, kind)
    first = ["record_id", "patient_id", *(f"input_{n}" for n in inputs)]
    table = table[[*first, *(c for c in table.columns if c not in first)]].reset_index(drop=True)
    return Cohort(table, tuple(inputs), spec, name)


def class_label(value: str) -> str:
    """Return a label as text; whole numbers lose their decimal point ("1.0" is "1")."""
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", value.strip())


def as_text(channels: Mapping[str, str] | Sequence[str] | str) -> list[str]:
    """Return `channels` as a list; a single word is one channel.

    Raises:
        UserError: there is none, or one stands twice.
    """
    names = [channels] if isinstance(channels, str) else [str(c) for c in channels]
    if not names or len(set(names)) != len(names):
        raise UserError(f"data.channels={names}: at least one channel is needed, and each only once.")
    return names


def _target(table: pd.DataFrame, target: str, positive: str | None, kind: str) -> tuple[pd.Series, TargetSpec]:
    """Return the target's values, as numbers or as class labels, and what they are."""
    values = table[target]
    numbers = pd.to_numeric(values, errors="coerce").replace([float("inf"), -float("inf")], float("nan"))
    unreadable = values.notna() & numbers.isna()
    numeric = bool(numbers.notna().any() and not unreadable.any())
    if kind == "classes" or (kind == "auto" and not (numeric and numbers.nunique() > REGRESSION_FROM)):
        labels = values.astype("str").map(class_label, na_action="ignore")
        wanted = None if positive is None else class_label(str(positive))
        return labels, TargetSpec.of_classes(target, labels, wanted)
    if not numeric:
        bad = table.loc[unreadable, ["record_id", target]]
        first = bad.to_dict(orient="records")[0] if len(bad) else None
        seen = f"record '{first['record_id']}' has {first[target]!r}" if first else "no record has a value"
        raise UserError(f"data.target={target} cannot be a regression target: {seen}; numbers are needed.")
    if positive is not None:
        raise UserError(
            f"data.positive={positive} has no meaning for the quantity '{target}'. "
            "Leave it out, or give data.target_kind=classes."
        )
    return numbers.astype(float), TargetSpec("regression", (target,))


def _decoded(path: Path) -> str:
    raw = path.read_bytes()
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        log.warning("%s is not UTF-8; it is read as Windows-1252.", path.name)
        return raw.decode("cp1252", errors="replace")


def _value(cell: str, separator: str) -> str | None:
    """Return a cell without surrounding blanks; None where it is missing."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return None
    if separator == ";" and re.fullmatch(r"[+-]?\d+,\d+", cell):
        return cell.replace(",", ".")  # tables with semicolons come from where the comma is the decimal point
    return cell


def _years(age: object) -> float:
    """Return an age in years from `63`, `63.5`, `063Y`, `018M` (DICOM PS3.5, value representation AS) or `90+`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([YMWD]?)\+?", str(age).strip().upper())
    return float(match[1]) * _AGE_UNITS[match[2]] if match else float("nan")
