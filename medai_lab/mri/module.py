"""Training on brain scans."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medai_lab.learning.module import MedModule


class MriModule(MedModule):
    """The shared module; it can average a prediction over the scan and its mirror images.

    Args:
        test_time_flips: axes (0 left-right, 1 back-front, 2 down-up); every combination of them is predicted.
        **shared: what `MedModule` takes.
    """

    def __init__(self, *, test_time_flips: tuple[int, ...] = (), **shared: Any) -> None:
        super().__init__(**shared)
        self.test_time_flips = test_time_flips

    def predict_outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (n, outputs) probabilities or quantities, averaged over the mirror images."""
        views: list[tuple[int, ...]] = [()]
        for axis in self.test_time_flips:
            views += [(*view, 2 + axis) for view in views]
        image = inputs["image"]
        return torch.stack([super(MriModule, self).predict_outputs({"image": image.flip(v)}) for v in views]).mean(
            dim=0
        )
