"""BIDS folders (Brain Imaging Data Structure, bids-specification.readthedocs.io), raw or written by converters."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medai_lab.cohort.cohort import Cohort
from medai_lab.errors import UserError, nearest
from medai_lab.mri.formats_tables import as_text, read_table, require_column, root_folder, rows_of, to_cohort

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scan:
    """One image file: its entities (`run` -> `1`) and its suffix (`T1w`)."""

    path: Path
    entities: dict[str, str]
    suffix: str

    @property
    def variant(self) -> tuple[tuple[str, str], ...]:
        """What tells it from other scans of the same session and suffix, but for the run."""
        return tuple(sorted((k, v) for k, v in self.entities.items() if k not in ("sub", "ses", "run")))

    @property
    def run(self) -> int:
        run = self.entities.get("run", "0")
        return int(run) if run.isdigit() else 0


def bids(
    root: str,
    target: str | None,
    channels: Sequence[str] = ("T1w",),
    positive: str | None = None,
    target_kind: str = "auto",
    label_table: str | None = None,
) -> Cohort:
    """Read a BIDS folder: one record a subject, or a session where there are sessions.

    The files of a channel are `sub-XX/[ses-YY/]<datatype>/sub-XX[_ses-YY][_...]_<channel>.nii[.gz]`. Of several
    runs the lowest is taken; of several acquisitions the first by name, with a warning.

    Args:
        root: the BIDS folder.
        target: a column of `participants.tsv`, of the `sub-XX_sessions.tsv` tables (which win) or of
            `label_table` (which wins over both); None where nothing is to be predicted.
        channels: suffixes, in channel order. Entities in front narrow the choice: `acq-mprage_T1w`.
        positive: the class whose probability is reported, for two classes.
        target_kind: `auto`, `classes` or `regression`.
        label_table: a further table with `participant_id` and optionally `session_id`, relative to `root`.

    Returns:
        Records `sub-XX[_ses-YY]` of patients `sub-XX` with inputs named as `channels`. A scan that is not there
        is a missing input.

    Raises:
        UserError: no such folder, no scan of a channel, a table or a column that is needed and missing.
    """
    folder, names = root_folder(root), as_text(channels)
    sessions = list(_sessions(folder))
    if not sessions:
        raise UserError(f"data.root={root}: no BIDS subject was found; expected folders named sub-XX.")
    people = _by_participant(folder / "participants.tsv")
    extra = _by_session(folder / label_table) if label_table else {}
    visits = {sub: _session_table(folder, sub) for sub in {sub for sub, _, _ in sessions}}
    if target is not None and not people and not extra and not any(visits.values()):
        raise UserError(f"data.target={target} needs labels, and {folder} has no participants.tsv.")
    sessions += [(sub, None, None) for sub in people if sub not in visits]
    rows, several = [], dict.fromkeys(names, 0)
    for sub, ses, place in sessions:
        row: dict[str, str | None] = {"participant_id": sub, "session_id": ses}
        row |= people.get(sub, {}) | visits.get(sub, {}).get(ses or "", {})
        row |= extra.get((sub, ""), {}) | extra.get((sub, ses or ""), {})
        row |= {"record_id": f"{sub}_{ses}" if ses else sub, "patient_id": sub}
        scans = _scans(place) if place else []
        for name in names:
            row[f"input_{name}"], choices = _pick(scans, name)
            several[name] += choices > 1
        rows.append(row)
    table = pd.DataFrame(rows).astype("str")
    if table["session_id"].isna().all():
        table = table.drop(columns="session_id")
    _check_found(folder, table, names, [place for _, _, place in sessions if place])
    _warn_of_choices(folder, several)
    return to_cohort(
        table, names, name=folder.name, where=str(folder), target=target, positive=positive, kind=target_kind
    )


def _sessions(folder: Path) -> Iterator[tuple[str, str | None, Path | None]]:
    """Yield subject, session (or None) and folder of everything that was scanned, in order of name."""
    for subject in sorted(p for p in folder.glob("sub-*") if p.is_dir()):
        sessions = sorted(p for p in subject.glob("ses-*") if p.is_dir())
        for session in sessions:
            yield subject.name, session.name, session
        if not sessions:
            yield subject.name, None, subject


def _scans(place: Path) -> list[_Scan]:
    """Return the images in the datatype folders (`anat`, `perf`, ...) of a subject or session."""
    return [_parsed(p, p.name) for p in sorted(place.glob("*/sub-*.nii*")) if p.name.endswith((".nii", ".nii.gz"))]


def _parsed(path: Path, name: str) -> _Scan:
    *pairs, suffix = name.removesuffix(".gz").removesuffix(".nii").split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    return _Scan(path, entities, suffix)


def _pick(scans: list[_Scan], channel: str) -> tuple[str | None, int]:
    """Return the file of a channel (None where there is none) and between how many kinds it was chosen."""
    wanted = _parsed(Path(), channel)
    fitting = [
        s
        for s in scans
        if s.suffix == wanted.suffix and wanted.entities.items() <= s.entities.items() and s.path.exists()
    ]
    if not fitting:
        return None, 0
    kinds = {s.variant for s in fitting}
    same = [s for s in fitting if s.variant == min(fitting, key=lambda s: s.path.name).variant]
    return str(min(same, key=lambda s: (s.run, s.path.name)).path), len(kinds)


def _warn_of_choices(folder: Path, several: dict[str, int]) -> None:
    """Say for how many records one of several kinds of scan was taken."""
    for name, count in several.items():
        if count:
            log.warning(
                "%s: %d records have several kinds of %s (acq, rec, ...); the first by name is taken. "
                "data.channels can name one: acq-LABEL_%s.",
                folder.name,
                count,
                name,
                name,
            )


def _check_found(folder: Path, table: pd.DataFrame, names: list[str], places: list[Path]) -> None:
    """Refuse a channel that nobody has."""
    for name in names:
        if table[f"input_{name}"].notna().any():
            continue
        found = [scan for place in places for scan in _scans(place)]
        suffixes = sorted({scan.suffix for scan in found})
        dangling = sum(not scan.path.exists() for scan in found)
        hint = f" {dangling} files are links to content that was not fetched (datalad get)." if dangling else ""
        raise UserError(
            f"{folder}: no scan of channel '{name}' among {len(places)} sessions; looked for "
            f"sub-*/[ses-*/]*/sub-*_{name}.nii[.gz]. Suffixes found: {suffixes or 'none'}."
            f"{nearest(name, suffixes)}{hint}"
        )


def _by_participant(path: Path) -> dict[str, dict[str, str | None]]:
    """Return the rows of `participants.tsv` by participant; nothing where there is no such file."""
    if not path.is_file():
        return {}
    return {sub: row for (sub, _), row in _by_session(path, sessions=False).items()}


def _by_session(path: Path, sessions: bool = True) -> dict[tuple[str, str], dict[str, str | None]]:
    """Return the rows of a table by participant and session (an empty string where none is given)."""
    table = read_table(path)
    require_column(table, "participant_id", str(path))
    rows: dict[tuple[str, str], dict[str, str | None]] = {}
    for row in rows_of(table):
        sub, ses = _prefixed("sub-", row.pop("participant_id")), ""
        if sessions:
            ses = _prefixed("ses-", row.pop("session_id", None))
        if not sub:
            raise UserError(f"{path}: a row has no participant_id.")
        if (sub, ses) in rows:
            raise UserError(f"{path}: '{'_'.join(filter(None, (sub, ses)))}' stands there more than once.")
        rows[sub, ses] = row
    return rows


def _session_table(folder: Path, sub: str) -> dict[str, dict[str, str | None]]:
    """Return the rows of `sub-XX_sessions.tsv` by session; nothing where there is no such file."""
    path = folder / sub / f"{sub}_sessions.tsv"
    if not path.is_file():
        return {}
    table = read_table(path)
    require_column(table, "session_id", str(path))
    return {_prefixed("ses-", row.pop("session_id")): row for row in rows_of(table)}


def _prefixed(prefix: str, label: str | None) -> str:
    """Return `sub-01` for `01` and for `sub-01`; an empty string for a missing label."""
    return prefix + label.removeprefix(prefix) if label else ""
