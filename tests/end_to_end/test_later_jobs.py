"""Jobs that start from a run."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def scans(outputs, trained, tmp_path_factory):
    """A folder with three good scans and three that cannot be used."""
    folder = tmp_path_factory.mktemp("scans")
    sources = sorted((outputs / "data" / "mri_phantom").rglob("*_T1w.nii.gz"))[:3]
    for i, source in enumerate(sources):
        shutil.copy(source, folder / f"good{i}.nii.gz")
    whole = sources[0].read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "nogzip.nii.gz").write_bytes(b"this is no gzip file at all")
    (folder / "empty.nii.gz").write_bytes(b"")
    return folder


def test_one_bad_file_never_stops_the_rest(call, outputs, trained, scans, tmp_path):
    output = tmp_path / "out.csv"
    finished = call(
        "job=predict",
        f"run={trained}",
        f"input={scans}",
        f"output={output}",
        f"paths.outputs={outputs}",
        "trainer.gpus=0",
    )
    assert finished.code == 0, finished.err
    table = pd.read_csv(output)
    assert table["status"].value_counts().to_dict() == {"ok": 3, "unreadable": 3}
    good = table[table["status"] == "ok"]
    assert good["prob_lesion"].between(0, 1).all()
    assert set(good["decision"]) <= {"lesion", "control"}
    assert (good["run"] == "trained").all()
    reasons = table.set_index("record_id")["reason"].dropna()
    assert set(reasons.index) == {"truncated", "nogzip", "empty"}
    assert all(name in reason for name, reason in reasons.items())


def test_prediction_repeats_what_training_said(call, outputs, trained, tmp_path):
    cohort = pd.read_parquet(trained / "splits.parquet").set_index("record_id")
    before = pd.read_parquet(trained / "predictions" / "test.parquet").set_index("record_id")
    listing = tmp_path / "scans.csv"
    cohort.loc[before.index, ["input_T1w"]].rename(columns={"input_T1w": "path"}).reset_index().to_csv(
        listing, index=False
    )
    output = tmp_path / "out.parquet"
    finished = call(
        "job=predict",
        f"run={trained}",
        f"input={listing}",
        f"output={output}",
        f"paths.outputs={outputs}",
        "trainer.gpus=0",
    )
    assert finished.code == 0, finished.err
    after = pd.read_parquet(output).set_index("record_id")
    assert np.allclose(after.loc[before.index, "prob_lesion"], before["prob_lesion"], atol=1e-5)


def test_evaluation_repeats_the_runs_own_numbers(call, outputs, trained, tmp_path):
    folder = tmp_path / "evaluation"
    finished = call(
        "job=evaluate",
        f"run={trained}",
        f"paths.outputs={outputs}",
        f"hydra.run.dir={folder}",
        "job.replicates=50",
        "trainer.gpus=0",
    )
    assert finished.code == 0, finished.err
    one, two = (json.loads((f / "metrics.json").read_text())["test"] for f in (trained, folder))
    assert one["metrics"]["auroc"] == pytest.approx(two["metrics"]["auroc"])
    assert one["confusion"] == two["confusion"]


def test_evaluation_on_another_cohort_fits_nothing(call, outputs, trained, tmp_path):
    folder = tmp_path / "external"
    other = tmp_path / "other"
    before = (trained / "operating_points.json").read_text()
    finished = call(
        "job=evaluate", f"run={trained}", "data=mri_phantom", f"data.root={other}", "data.reader.n_patients=16",
        "data.reader.seed=9", f"paths.outputs={outputs}", f"hydra.run.dir={folder}", "job.replicates=50",
        "trainer.gpus=0",
    )  # fmt: skip
    assert finished.code == 0, finished.err
    metrics = json.loads((folder / "metrics.json").read_text())
    assert list(metrics) == ["external"]
    assert metrics["external"]["n_patients"] == 16
    assert (trained / "operating_points.json").read_text() == before


def test_the_last_run_is_found(call, outputs, trained, scans, tmp_path):
    output = tmp_path / "out.csv"
    finished = call(
        "job=predict",
        "run=last",
        f"input={scans / 'good0.nii.gz'}",
        f"output={output}",
        f"paths.outputs={outputs}",
        "trainer.gpus=0",
    )
    assert finished.code == 0, finished.err
    assert len(pd.read_csv(output)) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["job=predict", "run=last", "input=nowhere"], ["nowhere", "no such file"]),
        (["job=predict", "run=RUN", "input=SCANS", "output=x.xlsx"], ["x.xlsx", ".csv", ".parquet"]),
        (["job=evaluate", "run=RUN", "model=resnet10_3d"], ["model", "comes from the run"]),
        (["job=evaluate", "run=RUN", "data.batch_size=2"], ["data.batch_size", "data=bids"]),
        (["job=predict", "run=elsewhere", "input=SCANS"], ["elsewhere"]),
    ],
)
def test_mistakes_are_told_in_one_message(call, outputs, trained, scans, arguments, words):
    filled = [a.replace("RUN", str(trained)).replace("SCANS", str(scans)) for a in arguments]
    finished = call(*filled, f"paths.outputs={outputs}", "trainer.gpus=0")
    assert finished.code == 2, finished
    assert all(word in finished.err + finished.out for word in words), finished.err
    assert "Traceback" not in finished.err
