"""From the reader to a prepared, split and checked cohort, kept in the run folder."""

import logging
from typing import Any

import pandas as pd

from medai_lab.cohort.checks import EXCLUDED, check_classes, check_contradictions, check_leaks, exclude_unusable
from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.splits import assign_splits
from medai_lab.config.instantiate import import_target, instantiate
from medai_lab.config.schema import Config
from medai_lab.files import write_table
from medai_lab.learning.datamodule import MedDataModule
from medai_lab.learning.targets import target_type
from medai_lab.tracking.run_folder import RunFolder

log = logging.getLogger(__name__)


def read_cohort(config: Config) -> tuple[Cohort, pd.DataFrame]:
    """Read the cohort of the data node; return the usable records and the table of those left out.

    Raises:
        UserError: nothing can be used, or one file stands under two labels.
    """
    cohort: Cohort = instantiate(config.data.reader, trusted=True)
    cohort, excluded = exclude_unusable(cohort, allow_missing_inputs=config.data.missing == "zeros")
    check_contradictions(cohort)
    return cohort, excluded


def make_training_data(config: Config, run: RunFolder) -> MedDataModule:
    """Read, split, check and prepare the cohort; write all that later jobs need into the run folder.

    Raises:
        UserError: the data cannot be used, or a split would leak.
    """
    cohort, excluded = read_cohort(config)
    cohort = assign_splits(cohort, config.data.split.fractions, config.data.split.seed)
    check_leaks(cohort)
    check_classes(cohort)
    kind: Any = import_target(config.task.datamodule, trusted=config.resume is None, allow=config.trust)
    fitted = kind.fit(cohort.of_split("train"), config.data)
    data: MedDataModule = kind(cohort, fitted, config.data, config.seed)
    unusable = data.prepare()
    # What the files hold is known now: two files of one scan are found here, and a class may have lost its last record.
    check_leaks(data.cohort, content=data.cohort.table["content"].tolist())
    check_classes(data.cohort)
    assert data.cohort.target is not None
    train = data.cohort.of_split("train")
    target = target_type(data.cohort.target).fit(data.cohort.target, data.cohort.target.encode(train.table))
    write_table(run.path / "excluded.csv", pd.concat([excluded, unusable])[EXCLUDED])
    run.save_cohort(data.cohort)
    run.save_fitted("data", fitted)
    run.save_fitted("target", {"spec": target.spec.to_dict(), "state": target.state})
    run.save_fitted("network", {**data.sizes, "outputs": target.n_outputs})
    counts = data.cohort.table.groupby("split", sort=False).agg(
        records=("record_id", "size"), patients=("patient_id", "nunique")
    )
    log.info(
        "Cohort '%s': %s.",
        cohort.name,
        "; ".join(f"{s}: {r.records} records of {r.patients} patients" for s, r in counts.iterrows()),
    )
    return data


def load_training_data(config: Config, run: RunFolder) -> MedDataModule:
    """Rebuild the datamodule of a run that has been prepared, for a resume or another process of the same run."""
    kind: Any = import_target(config.task.datamodule, trusted=config.resume is None, allow=config.trust)
    data: MedDataModule = kind(run.cohort(), run.fitted("data"), config.data, config.seed)
    data.prepare()
    return data
