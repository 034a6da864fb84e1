"""How a network's raw outputs become probabilities or quantities, and which loss fits them."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from medai_lab.cohort.target import TargetSpec
from medai_lab.evaluation.ranking import auroc


class Target:
    """One kind of prediction. Subclasses say how logits are read; a network needs `len(spec.outputs)` outputs.

    Attributes:
        monitor: the validation value that picks the best epoch.
        higher_is_better: its direction.
    """

    monitor: ClassVar[str] = "val_auroc"
    higher_is_better: ClassVar[bool] = True

    def __init__(self, spec: TargetSpec, state: Mapping[str, Any] | None = None) -> None:
        self.spec = spec
        self.state = dict(state or {})

    @classmethod
    def fit(cls, spec: TargetSpec, truth: np.ndarray) -> Self:
        """Make the target; what must be learned from `truth` is, and only training truth may be given."""
        return cls(spec)

    @property
    def n_outputs(self) -> int:
        """Number of values the network puts out for a record."""
        return len(self.spec.outputs)

    def loss(self, weights: Tensor | None, label_smoothing: float) -> nn.Module:
        """Return the default loss of `(logits, truth)`; `weights` is one factor a class or finding."""
        raise TypeError(f"{type(self).__name__} has no default loss")

    def class_weights(self, truth: np.ndarray) -> Tensor:
        """Return inverse-frequency factors, from training truth as `TargetSpec.encode` gives it."""
        raise TypeError(f"class_weights=balanced needs classes, not a {self.spec.kind} target")

    def outputs(self, logits: Tensor) -> Tensor:
        """Return (n, outputs) probabilities in [0, 1], or quantities in their own unit, from (n, outputs) logits."""
        raise TypeError(f"{type(self).__name__} cannot read logits")

    def watch(self, truth: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        """Return quick validation values for the training loop; reported numbers come from `evaluation`."""
        raise TypeError(f"{type(self).__name__} has nothing to watch")


class SmoothedBCE(nn.Module):
    """Binary cross-entropy on logits; unknown truth (NaN) contributes nothing."""

    pos_weight: Tensor | None

    def __init__(self, pos_weight: Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("pos_weight", pos_weight)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the mean over known cells of (n, outputs)."""
        known = ~torch.isnan(truth)
        smoothed = torch.where(known, truth, 0.0) * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        cells = functional.binary_cross_entropy_with_logits(
            logits, smoothed, pos_weight=self.pos_weight, reduction="none"
        )
        return (cells * known).sum() / known.sum().clamp(min=1)


class Multilabel(Target):
    """Independent findings, one sigmoid each."""

    @override
    def loss(self, weights: Tensor | None, label_smoothing: float) -> nn.Module:
        return SmoothedBCE(weights, label_smoothing)

    @override
    def class_weights(self, truth: np.ndarray) -> Tensor:
        """Return negatives / positives of every output, the factor on the positives."""
        positives = np.nansum(truth, axis=0)
        negatives = np.sum(truth == 0, axis=0)
        return torch.as_tensor(negatives / np.maximum(positives, 1), dtype=torch.float32)

    @override
    def outputs(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    @override
    def watch(self, truth: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        one = np.ones((1, len(truth)))
        known = ~np.isnan(truth)
        columns = range(truth.shape[1])
        areas = [float(auroc(truth[known[:, i], i], outputs[known[:, i], i], one[:, known[:, i]])[0]) for i in columns]
        return {"auroc": float(np.nanmean(areas)) if not np.all(np.isnan(areas)) else float("nan")}


class Binary(Multilabel):
    """One class against the other: a single sigmoid for the positive class."""


class Multiclass(Target):
    """Exactly one of several classes: a softmax."""

    @override
    def loss(self, weights: Tensor | None, label_smoothing: float) -> nn.Module:
        return nn.CrossEntropyLoss(weight=weights, label_smoothing=label_smoothing)

    @override
    def class_weights(self, truth: np.ndarray) -> Tensor:
        """Return n / (classes * count) of every class."""
        counts = np.bincount(truth, minlength=self.n_outputs)
        return torch.as_tensor(len(truth) / (self.n_outputs * np.maximum(counts, 1)), dtype=torch.float32)

    @override
    def outputs(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, dim=1)

    @override
    def watch(self, truth: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        one = np.ones((1, len(truth)))
        areas = [float(auroc((truth == c).astype(float), outputs[:, c], one)[0]) for c in range(self.n_outputs)]
        area = float(np.nanmean(areas)) if not np.all(np.isnan(areas)) else float("nan")
        return {"auroc": area, "accuracy": float((outputs.argmax(axis=1) == truth).mean())}


class StandardisedL1(nn.Module):
    """Smooth L1 (Huber) between logits and the standardised quantity."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Return the mean over (n, 1)."""
        return functional.smooth_l1_loss(logits, (truth - self.mean) / self.std)


class Regression(Target):
    """A quantity. The network works in units of the training set's standard deviation around its mean."""

    monitor: ClassVar[str] = "val_mae"
    higher_is_better: ClassVar[bool] = False

    @classmethod
    @override
    def fit(cls, spec: TargetSpec, truth: np.ndarray) -> Self:
        return cls(spec, {"mean": float(np.mean(truth)), "std": float(np.std(truth)) or 1.0})

    @override
    def loss(self, weights: Tensor | None, label_smoothing: float) -> nn.Module:
        return StandardisedL1(self.state["mean"], self.state["std"])

    @override
    def outputs(self, logits: Tensor) -> Tensor:
        return logits * self.state["std"] + self.state["mean"]

    @override
    def watch(self, truth: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
        return {"mae": float(np.abs(truth - outputs).mean())}


_KINDS: dict[str, type[Target]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "multilabel": Multilabel,
    "regression": Regression,
}


def target_type(spec: TargetSpec) -> type[Target]:
    """Return the class that belongs to a specification's kind."""
    return _KINDS[spec.kind]
