"""The folder in which a run keeps everything that later jobs need."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
import yaml

from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError
from medai_lab.files import read_json, write_json, write_table, write_text

State = Literal["running", "finished", "failed", "killed"]


@dataclass(frozen=True)
class RunFolder:
    """Names and formats of a run's files; the one place that knows them."""

    path: Path

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> Self:
        """Start a run folder.

        Raises:
            UserError: the folder is a run already.
        """
        if (path / "config.yaml").exists():
            raise UserError(
                f"{path} already holds a run. Start again for a folder of its own, or go on with resume={path}."
            )
        run = cls(path)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        write_text(path / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run folder.

        Raises:
            UserError: the folder is missing or holds no run.
        """
        if not (path / "config.yaml").is_file():
            raise UserError(f"{path} is not a run folder: it has no config.yaml.")
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        """Folder of `last.ckpt` and `best.safetensors`."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The state from which training goes on."""
        return self.checkpoints / "last.ckpt"

    @property
    def weights(self) -> Path:
        """The best network's weights."""
        return self.checkpoints / "best.safetensors"

    @property
    def history(self) -> Path:
        """Every value logged while training."""
        return self.path / "history.csv"

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.path / "figures"

    @property
    def operating_points(self) -> Path:
        """The decision thresholds and where they were chosen."""
        return self.path / "operating_points.json"

    def predictions(self, split: str) -> Path:
        """The predictions table of a split."""
        return self.path / "predictions" / f"{split}.parquet"

    def config(self) -> dict[str, Any]:
        """Return the resolved config."""
        config: dict[str, Any] = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return config

    def status(self) -> dict[str, Any]:
        """Return the last status; an empty one where none was written."""
        path = self.path / "status.json"
        status: dict[str, Any] = read_json(path) if path.exists() else {}
        return status

    def provenance(self) -> dict[str, Any]:
        """Return where the run came from; empty before it was written."""
        path = self.path / "provenance.json"
        provenance: dict[str, Any] = read_json(path) if path.exists() else {}
        return provenance

    def set_status(self, state: State, **more: Any) -> None:
        """Write `status.json`, keeping what it says already and is not said anew."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        status = {**self.status(), "state": state, "updated": now, "pid": os.getpid(), "host": platform.node(), **more}
        write_json(self.path / "status.json", status)

    def save_cohort(self, cohort: Cohort) -> None:
        """Write the cohort with its splits as `splits.parquet`."""
        table = cohort.table.copy()
        assert cohort.target is not None
        table.attrs = {"target": cohort.target.to_dict(), "inputs": list(cohort.inputs), "name": cohort.name}
        write_table(self.path / "splits.parquet", table)

    def cohort(self) -> Cohort:
        """Read the cohort with its splits."""
        table = pd.read_parquet(self.path / "splits.parquet")
        attrs = table.attrs
        table.attrs = {}
        return Cohort(table, tuple(attrs["inputs"]), TargetSpec.from_dict(attrs["target"]), attrs["name"])

    def save_fitted(self, name: str, values: dict[str, Any]) -> None:
        """Write what was fitted on training data under `preprocessing/`."""
        write_json(self.path / "preprocessing" / f"{name}.json", values)

    def fitted(self, name: str) -> dict[str, Any]:
        """Read what `save_fitted` wrote.

        Raises:
            UserError: the run ended before it was fitted.
        """
        path = self.path / "preprocessing" / f"{name}.json"
        if not path.exists():
            raise UserError(f"{self.path} ended before its data were prepared (state: {self.status().get('state')}).")
        values: dict[str, Any] = read_json(path)
        return values

    def shareable_files(self, limit: int = 5 * 2**20) -> list[Path]:
        """Files below `limit` bytes that tracking gets a copy of.

        Checkpoints are too large; tables and logs that name patients or files stay in the run folder.
        """
        private = {self.checkpoints, self.path / "predictions"}
        named = {"splits.parquet", "excluded.csv", "run.log"}
        files = (p for p in sorted(self.path.rglob("*")) if p.is_file() and not p.name.startswith("."))
        return [p for p in files if p.name not in named and not private & set(p.parents) and p.stat().st_size < limit]
