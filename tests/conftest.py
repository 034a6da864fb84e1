"""What many tests share."""

from pathlib import Path

import pandas as pd
import pytest

from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.target import TargetSpec

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data are not on this machine")
    return SHARED_DATA


@pytest.fixture
def make_cohort():
    """A function that makes a cohort of records without files."""

    def make(labels, patients=None, target=None, **columns) -> Cohort:
        n = len(labels)
        table = pd.DataFrame(
            {
                "record_id": [f"r{i}" for i in range(n)],
                "patient_id": [str(p) for p in patients] if patients is not None else [f"p{i}" for i in range(n)],
                "input_T1w": [f"r{i}.nii.gz" for i in range(n)],
                "group": list(labels),
                **columns,
            }
        )
        return Cohort(table, ("T1w",), target or TargetSpec.of_classes("group", table["group"]), "made")

    return make
