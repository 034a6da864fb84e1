"""Random changes of a whole batch of volumes at once, on the device where it lies."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """What may change, and how much.

    Attributes:
        flip: axes that may be mirrored (0 left-right, 1 back-front, 2 down-up), each with chance one half.
        affine: chance of a random rotation, scaling and shift.
        degrees: bound of the rotation about each axis.
        scale: bound of the logarithm of the scaling.
        shift: bound of the shift as a share of the grid.
        gain: standard deviation of the logarithm of the intensity factor.
        offset: standard deviation of the intensity offset, in units of the normalised scan.
        noise: standard deviation of the voxel noise.
    """

    flip: tuple[int, ...] = (0,)
    affine: float = 0.3
    degrees: float = 10.0
    scale: float = 0.1
    shift: float = 0.05
    gain: float = 0.1
    offset: float = 0.1
    noise: float = 0.05

    def __call__(self, volumes: Tensor, seed: int, n_images: int) -> Tensor:
        """Return a changed copy of the batch.

        Args:
            volumes: (B, C, R, A, S), float32.
            seed: decides everything random; the same seed gives the same result.
            n_images: the first so many channels are images; the others are masks and keep their intensity.
        """
        draw = torch.Generator().manual_seed(seed)
        out = self._mirror(volumes, draw)
        out = self._move(out, draw)
        images = self._intensity(out[:, :n_images], draw)
        return torch.cat([images, out[:, n_images:]], dim=1) if n_images < out.shape[1] else images

    def _mirror(self, volumes: Tensor, draw: torch.Generator) -> Tensor:
        for axis in self.flip:
            chosen = torch.rand(len(volumes), generator=draw) < 0.5
            if chosen.any():
                chosen = chosen.to(volumes.device).view(-1, 1, 1, 1, 1)
                volumes = torch.where(chosen, volumes.flip(2 + axis), volumes)
        return volumes

    def _move(self, volumes: Tensor, draw: torch.Generator) -> Tensor:
        """Sample each chosen volume once on its rotated, scaled and shifted grid; outside lies its darkest value."""
        chosen = torch.rand(len(volumes), generator=draw) < self.affine
        angles = math.radians(self.degrees) * _uniform((len(volumes), 3), draw)
        factors = torch.exp(self.scale * _uniform((len(volumes), 3), draw))
        shifts = 2 * self.shift * _uniform((len(volumes), 3), draw)
        if not chosen.any():
            return volumes
        theta = torch.cat([_rotation(angles) * factors[:, None, :], shifts[:, :, None]], dim=2)[chosen].to(
            volumes.device
        )
        picked = volumes[chosen.to(volumes.device)]
        darkest = picked.amin(dim=(2, 3, 4), keepdim=True)
        grid = functional.affine_grid(theta, list(picked.shape), align_corners=False)
        moved = functional.grid_sample(picked - darkest, grid, align_corners=False) + darkest
        out = volumes.clone()
        out[chosen.to(volumes.device)] = moved
        return out

    def _intensity(self, images: Tensor, draw: torch.Generator) -> Tensor:
        shape = (*images.shape[:2], 1, 1, 1)
        gain = torch.exp(self.gain * torch.randn(shape, generator=draw)).to(images.device)
        offset = (self.offset * torch.randn(shape, generator=draw)).to(images.device)
        out = torch.addcmul(offset, images, gain)
        if self.noise > 0:
            seed = int(torch.randint(2**62, (1,), generator=draw))
            source = torch.Generator(images.device).manual_seed(seed)
            out.add_(torch.randn(images.shape, generator=source, device=images.device), alpha=self.noise)
        return out


def _uniform(shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    """Values in [-1, 1)."""
    return 2 * torch.rand(shape, generator=draw) - 1


def _rotation(angles: Tensor) -> Tensor:
    """(B, 3, 3) rotations about the three axes in turn, from (B, 3) radians."""
    turned = torch.eye(3).expand(len(angles), 3, 3)
    for axis in range(3):
        i, j = (a for a in range(3) if a != axis)
        one = torch.eye(3).repeat(len(angles), 1, 1)
        cos, sin = angles[:, axis].cos(), angles[:, axis].sin()
        one[:, i, i], one[:, j, j], one[:, i, j], one[:, j, i] = cos, cos, -sin, sin
        turned = turned @ one
    return turned
