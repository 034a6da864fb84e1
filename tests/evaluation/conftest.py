"""Small predictions tables with a known shape, for the tests beside this file."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from medai_lab.cohort.target import TargetSpec
from medai_lab.evaluation import predictions

BINARY = TargetSpec("binary", ("dx",), ("benign", "cancer"))
GRADES = TargetSpec("multiclass", ("grade",), ("I", "II", "III"))
FINDINGS = TargetSpec("multilabel", ("effusion", "nodule", "mass"))
AGE = TargetSpec("regression", ("age_true",))


def rows(n: int, split: str = "val", patients: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Cohort rows: about 1.5 records a patient unless told otherwise."""
    of = np.random.default_rng(seed).integers(patients or max(1, 2 * n // 3), size=n)
    return pd.DataFrame({"record_id": [f"r{i}" for i in range(n)], "patient_id": [f"p{i}" for i in of], "split": split})


def binary(n: int = 120, split: str = "val", seed: int = 0) -> pd.DataFrame:
    """Probabilities that separate the classes fairly well."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 1)) < 0.4).astype(float)
    score = 1 / (1 + np.exp(-rng.normal(2 * truth - 1)))
    return predictions.make_table(rows(n, split, seed=seed), BINARY, score, truth)


def multiclass(n: int = 150, split: str = "test", seed: int = 0) -> pd.DataFrame:
    """Three grades."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    odds = np.exp(rng.normal(1.5 * np.eye(3)[truth]))
    return predictions.make_table(rows(n, split, seed=seed), GRADES, odds / odds.sum(axis=1, keepdims=True), truth)


def multilabel(n: int = 150, split: str = "val", seed: int = 0) -> pd.DataFrame:
    """Three findings; the first is not known for every fifth record, the last is never there."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 3)) < (0.3, 0.2, 0.0)).astype(float)
    truth[::5, 0] = np.nan
    score = 1 / (1 + np.exp(-rng.normal(2 * np.nan_to_num(truth) - 1)))
    return predictions.make_table(rows(n, split, seed=seed), FINDINGS, score, truth)


def regression(n: int = 100, split: str = "test", seed: int = 0) -> pd.DataFrame:
    """Ages with errors of about four years."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(60, 10, (n, 1))
    return predictions.make_table(rows(n, split, seed=seed), AGE, truth + rng.normal(1, 4, (n, 1)), truth)


@pytest.fixture(scope="session")
def tables() -> SimpleNamespace:
    """The functions above, and the targets they are for."""
    return SimpleNamespace(
        rows=rows,
        binary=binary,
        multiclass=multiclass,
        multilabel=multilabel,
        regression=regression,
        BINARY=BINARY,
        GRADES=GRADES,
        FINDINGS=FINDINGS,
        AGE=AGE,
    )
