"""What a training run leaves behind."""

import json

import pandas as pd
import pytest
import yaml

from medai_lab.cohort.checks import check_leaks
from medai_lab.evaluation import predictions
from medai_lab.tracking.history import MetricHistory
from medai_lab.tracking.run_folder import RunFolder


def test_the_run_folder_is_complete(trained):
    files = [
        "config.yaml", "provenance.json", "splits.parquet", "checkpoints/last.ckpt", "checkpoints/best.safetensors",
        "preprocessing/data.json", "preprocessing/target.json", "operating_points.json", "metrics.json",
        "predictions/train.parquet", "predictions/val.parquet", "predictions/test.parquet", "status.json",
        "history.csv", "excluded.csv", "result.json", "run.log",
    ]  # fmt: skip
    assert [f for f in files if not (trained / f).is_file()] == []
    assert json.loads((trained / "status.json").read_text())["state"] == "finished"


def test_nothing_is_left_to_decide_in_the_kept_config(trained):
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["trainer"]["precision"] == "32-true"
    assert "${" not in (trained / "config.yaml").read_text()


def test_every_record_is_predicted_once_and_in_its_split(trained):
    run = RunFolder(trained)
    tables = [predictions.read(run.predictions(s)) for s in ("train", "val", "test")]
    together = pd.concat(tables)
    cohort = run.cohort()
    assert sorted(together["record_id"]) == sorted(cohort.table["record_id"])
    merged = together.merge(cohort.table, on="record_id", suffixes=("", "_cohort"))
    assert (merged["split"] == merged["split_cohort"]).all()
    assert (merged["target_lesion"] == (merged["group"] == "lesion")).all()
    check_leaks(cohort, cohort.table["content"].tolist())


def test_metrics_have_intervals_and_the_threshold_is_of_validation(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    wanted = {
        "auroc", "auprc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc",
        "brier",
    }  # fmt: skip
    assert wanted <= set(metrics["test"]["metrics"])
    area = metrics["test"]["metrics"]["auroc"]
    assert area["low"] <= area["value"] <= area["high"]
    points = (trained / "operating_points.json").read_text()
    assert '"val"' in points
    assert "youden" in points


def test_figures_are_written(trained):
    names = {p.name for p in (trained / "figures").glob("*.png")}
    for part in ("history", "test_roc", "test_precision_recall", "test_confusion", "test_mosaic"):
        assert any(name.startswith(part) for name in names), (part, names)


@pytest.fixture(scope="module")
def tracked_run(outputs, trained):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mri_cls").experiment_id])
    return client, next(r for r in runs if r.info.run_name == "trained")


def test_mlflow_holds_a_copy(tracked_run):
    client, run = tracked_run
    assert run.info.status == "FINISHED"
    assert run.data.params["model.net.width"] == "4"
    assert "val_auroc" in run.data.metrics
    assert any(name.startswith("final/test_auroc") for name in run.data.metrics)
    names = {a.path for a in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "metrics.json", "figures"} <= names
    assert not {"splits.parquet", "predictions", "excluded.csv", "run.log"} & names, "these name patients or files"
    assert run.inputs.dataset_inputs[0].dataset.digest


def test_privacy_no_absolute_data_path_reaches_mlflow_params_or_tags(tracked_run, outputs):
    _, run = tracked_run
    assert not any(str(outputs) in value for value in run.data.tags.values())


def test_several_sequences_with_missing_ones(train, outputs):
    folder = train("channels", "data.channels=[T1w,FLAIR]", "data.missing=zeros", "tracking=none")
    assert json.loads((folder / "preprocessing" / "network.json").read_text())["channels"] == 4


def test_a_quantity(train):
    folder = train("age", "data.target=age", "data.positive=null", "tracking=none", "trainer.max_epochs=1")
    metrics = json.loads((folder / "metrics.json").read_text())["test"]["metrics"]
    assert metrics["mae"]["value"] > 0
    assert (folder / "figures").is_dir()


def test_several_classes(train):
    folder = train(
        "site",
        "data.target=site",
        "data.positive=null",
        "task.class_weights=balanced",
        "data.sampler=balanced",
        "tracking=none",
        "trainer.max_epochs=1",
    )
    result = json.loads((folder / "metrics.json").read_text())["test"]
    assert "balanced_accuracy" in result["metrics"]


def test_a_warm_start_takes_the_weights(train, trained):
    from safetensors.torch import load_file

    folder = train(
        "warm",
        f"ckpt.init={trained / 'checkpoints' / 'best.safetensors'}",
        "optim.lr=1e-12",
        "tracking=none",
        "trainer.max_epochs=1",
    )
    one, two = (load_file(f / "checkpoints" / "best.safetensors") for f in (trained, folder))
    assert all(((one[k] - two[k]).abs().max() < 1e-5) for k in one if k.endswith("weight") and one[k].ndim > 1)


@pytest.mark.parametrize("mode", ["fast", "overfit"])
def test_debug_modes_run(train, mode):
    folder = train(f"debug-{mode}", f"debug={mode}", "trainer.max_epochs=1", "tracking=none")
    assert (folder / "metrics.json").exists()


def test_a_tracking_server_that_is_not_there_costs_a_warning(train):
    folder = train("no-server", "tracking.uri=http://127.0.0.1:9", "trainer.max_epochs=1")
    assert "tracking is unavailable" in (folder / "run.log").read_text()
    assert (folder / "metrics.json").is_file()
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"


def test_training_stops_early_when_nothing_improves(train):
    folder = train("early", "trainer.early_stopping=2", "trainer.max_epochs=40", "optim.lr=1e-12", "tracking=none")
    assert len(MetricHistory(folder / "history.csv").table()) < 40
