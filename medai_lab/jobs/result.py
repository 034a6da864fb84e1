"""What a job hands back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JobResult:
    """The outcome of a job; a job that is part of a sweep also writes it as `result.json` into its folder.

    Attributes:
        objective: the number that ranks runs of a sweep; None where there is none.
        objective_name: what it is, a split and a metric such as `val_auroc`.
        higher_is_better: its direction.
        metrics: all results, JSON-ready: `{split: {"metrics": {name: {"value", "low", "high"}}}}` where they have
            intervals.
        folder: where the job wrote; None where it wrote nothing.
    """

    objective: float | None
    objective_name: str = ""
    higher_is_better: bool = True
    metrics: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return JSON values; the folder is left out, as it is the one the file lies in."""
        return {
            "objective": self.objective,
            "objective_name": self.objective_name,
            "higher_is_better": self.higher_is_better,
            "metrics": self.metrics,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any], folder: Path | None = None) -> "JobResult":
        """Undo `to_plain`.

        Raises:
            KeyError, TypeError: it is not what `to_plain` makes.
        """
        return cls(
            folder=folder, **{k: plain[k] for k in ("objective", "objective_name", "higher_is_better", "metrics")}
        )

    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the objective; None where its metric has none."""
        split, _, name = self.objective_name.partition("_")
        result = self.metrics.get(split)
        metrics = result.get("metrics") if isinstance(result, dict) else None
        found = metrics.get(name) if isinstance(metrics, dict) else self.metrics.get(self.objective_name)
        low, high = (found.get("low"), found.get("high")) if isinstance(found, dict) else (None, None)
        return (float(low), float(high)) if low is not None and high is not None else None
