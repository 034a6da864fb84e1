"""What Lightning logs reaches the run folder and the copy."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from medai_lab.tracking.history import MetricHistory
from medai_lab.tracking.logger import RunLogger
from medai_lab.tracking.mlflow_sink import MlflowSink


class Line(pl.LightningModule):
    """A line fitted to four points."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        loss = self.net(batch[0]).square().mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor]) -> None:
        self.log("val/loss", self.net(batch[0]).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class SentMetrics(MlflowSink):
    """A sink that keeps what it is handed instead of sending it to a server."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", None, "e", "r", {})
        self.sent: list[tuple[dict[str, float], int]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:  # type: ignore[override]
        self.sent.append((dict(metrics), step))


def fit(logger: RunLogger, epochs: int = 2) -> pl.Trainer:
    points = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)
    trainer = pl.Trainer(
        max_epochs=epochs,
        logger=logger,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(Line(), points, points)
    return trainer


def test_a_fit_fills_history_and_sink(tmp_path: Path) -> None:
    history, sink = MetricHistory(tmp_path / "history.csv"), SentMetrics()
    trainer = fit(RunLogger(history, sink))
    table = history.table()
    assert table["epoch"].tolist() == [0, 1]
    assert set(table.columns) == {"epoch", "train_loss", "val/loss"}
    assert table.notna().all(axis=None)
    last_val = [metrics for metrics, _ in sink.sent if "val/loss" in metrics][-1]
    assert last_val["val/loss"] == table["val/loss"].iloc[-1] == float(trainer.callback_metrics["val/loss"])
    assert last_val["epoch"] == 1
    assert [step for _, step in sink.sent] == sorted(step for _, step in sink.sent)


def test_checkpoints_without_a_folder_go_into_the_run_folder(tmp_path: Path) -> None:
    fit(RunLogger(MetricHistory(tmp_path / "history.csv"), None), epochs=1)
    assert list((tmp_path / "checkpoints").glob("*.ckpt"))
    assert not [p for p in tmp_path.iterdir() if p.name not in ("history.csv", "checkpoints")]


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_lightning.utilities import rank_zero_only

    history, sink = MetricHistory(tmp_path / "history.csv"), SentMetrics()
    logger = RunLogger(history, sink)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger.log_metrics({"a": 1.0, "epoch": 0}, 3)
    assert not history.path.exists()
    assert not sink.sent


def test_without_an_epoch_the_last_one_said_is_taken(tmp_path: Path) -> None:
    history = MetricHistory(tmp_path / "history.csv")
    logger = RunLogger(history, None)
    logger.log_metrics({"a": 1.0, "epoch": 4}, 10)
    logger.log_metrics({"b": 2.0}, 11)
    assert history.table().to_dict("records") == [{"epoch": 4, "a": 1.0, "b": 2.0}]


def test_hyperparameters_and_the_end_of_a_fit_leave_no_trace(tmp_path: Path) -> None:
    logger = RunLogger(MetricHistory(tmp_path / "history.csv"), None)
    logger.log_hyperparams({"a": 1})
    logger.finalize("success")
    assert not list(tmp_path.iterdir())
