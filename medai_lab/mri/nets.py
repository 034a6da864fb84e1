"""A small network for volumes, quick enough for a CPU."""

import torch
from torch import Tensor, nn


class SmallCNN(nn.Module):
    """A residual network over 3D volumes: a stem, stages that halve the grid, pooling, one linear layer.

    Mean and maximum are both pooled: a diffuse change moves the mean, a small lesion only the maximum.

    Args:
        in_channels: channels of the volumes.
        out_channels: outputs.
        width: channels of the first stage; each later one has twice as many, up to eight times.
        stages: how often the grid is halved after the stem.
        stem_stride: 2 halves the grid in the stem already, for a quarter of the work.
        dropout: share of the pooled features that is dropped in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 16,
        stages: int = 3,
        stem_stride: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.stem = _conv(in_channels, width, 3, stem_stride)
        channels = [min(width * 2**i, 8 * width) for i in range(stages + 1)]
        self.stages = nn.Sequential(*(Residual(a, b) for a, b in zip(channels, channels[1:], strict=False)))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels[-1], out_channels))

    def forward(self, volumes: Tensor) -> Tensor:
        """Return (B, out_channels) logits of (B, in_channels, R, A, S)."""
        features = self.stages(self.stem(volumes))
        pooled = torch.cat([features.mean(dim=(2, 3, 4)), features.amax(dim=(2, 3, 4))], dim=1)
        logits: Tensor = self.head(pooled)
        return logits


class Residual(nn.Module):
    """Two 3x3x3 convolutions beside a shortcut; the first halves the grid."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(in_channels, out_channels, 3, 2),
            nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm3d(out_channels),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool3d(2, ceil_mode=True), nn.Conv3d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, out_channels, ...) at half the grid, rounded up."""
        return torch.relu(self.body(features) + self.shortcut(features))


def _conv(in_channels: int, out_channels: int, size: int, stride: int) -> nn.Sequential:
    conv = nn.Conv3d(in_channels, out_channels, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True))
