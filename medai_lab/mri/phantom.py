"""Synthetic heads: nested ellipsoids for scalp, skull, brain and ventricles, some with a lesion.

Everything is laid out in millimetres from the centre of the head, x to the right, y to the front, z up, and drawn
onto whatever grid is asked for.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

_T1W = {"scalp": 1.0, "skull": 0.1, "csf": 0.28, "grey": 0.62, "white": 0.82, "lesion": 1.0}
_FLAIR = {"scalp": 1.0, "skull": 0.1, "csf": 0.12, "grey": 0.62, "white": 0.5, "lesion": 1.2}
CONTRASTS = {"T1w": _T1W, "FLAIR": _FLAIR}
"""Mean intensity of each tissue, in arbitrary units; `lesion` is the factor of a lesion's own contrast."""

_HEAD_MM = np.array([62.0, 76.0, 66.0])  # half-axes; a small adult head, so that small grids suffice
_VENTRICLE_MM = np.array([7.0, 21.0, 10.0])
_VENTRICLE_CENTRES_MM = ((-10.0, 2.0, 6.0), (10.0, 2.0, 6.0))
_LAYERS = {"scalp": 1.0, "skull": 0.93, "csf": 0.86, "grey": 0.8, "white": 0.64}  # outer edge, share of the head

_CLEAR, _FAINT = (0.8, 1.4), (0.4, 0.7)  # contrasts; noise and texture alone make differences of 0.05


@dataclass(frozen=True)
class Lesion:
    """A bright sphere in the brain.

    Attributes:
        centre: mm from the centre of the head.
        radius: mm.
        contrast: added to the tissue's intensity, in the units of `CONTRASTS`.
    """

    centre: tuple[float, float, float]
    radius: float
    contrast: float


@dataclass(frozen=True)
class Head:
    """The anatomy of one person.

    Attributes:
        size: half-axes of the head in mm, (right, front, up).
        ventricles: factor on the ventricles' half-axes; grows with age.
        scalp: factor on the brightness of the scalp, so that the brightest voxels of a scan say little.
        folds: phases of the wavy border between grey and white matter.
        lesion: None for a healthy brain.
    """

    size: tuple[float, float, float]
    ventricles: float
    scalp: float
    folds: tuple[float, float, float]
    lesion: Lesion | None


Layer = tuple[str, np.ndarray]
"""A tissue, and the share of every voxel that it covers."""


def make_head(rng: np.random.Generator, age: float, sex: str, lesion: bool) -> Head:
    """Draw a person's anatomy.

    Ventricles grow by 1.2 % of their size a year, with some spread, so that age can be read from a scan.

    Args:
        rng: source of chance.
        age: years.
        sex: `F` or `M`; male heads are 3 % larger on average.
        lesion: whether the brain has one: radius 8 to 13 mm, one in ten fainter.
    """
    size = _HEAD_MM * rng.normal(1.03 if sex == "M" else 1.0, 0.03) * rng.normal(1.0, 0.02, 3)
    return Head(
        size=_triple(size),
        ventricles=float(0.7 + 0.012 * (age - 20) + rng.normal(0, 0.07)),
        scalp=float(rng.uniform(1.0, 1.6)),
        folds=_triple(rng.uniform(0, 2 * np.pi, 3)),
        lesion=_make_lesion(rng, size) if lesion else None,
    )


def layers_of(head: Head, affine: np.ndarray, shape: tuple[int, int, int]) -> list[Layer]:
    """Lay a head out on a grid.

    Args:
        head: the anatomy.
        affine: (4, 4), voxel index to mm from the centre of the head.
        shape: voxels along the three axes.

    Returns:
        Tissues from the outside to the inside, each with the share of every voxel that it covers: float32 of
        `shape`, between 0 and 1.
    """
    index = np.indices(shape, dtype=np.float32, sparse=True)
    place = [
        np.asarray(sum(np.float32(affine[i, j]) * index[j] for j in range(3)) + np.float32(affine[i, 3]))
        for i in range(3)
    ]
    voxel = float(np.cbrt(abs(np.linalg.det(affine[:3, :3]))))
    reach = _reach(place, (0.0, 0.0, 0.0), head.size)
    waves = 1 + 0.04 * sum(np.sin(place[i] / 4 + np.float32(head.folds[i])) for i in range(3))
    layers = [
        (tissue, _inside(reach / (share * waves if tissue == "white" else share), min(head.size) * share, voxel))
        for tissue, share in _LAYERS.items()
    ]
    for centre in _VENTRICLE_CENTRES_MM:
        size = _triple(_VENTRICLE_MM * head.ventricles)
        layers.append(("csf", _inside(_reach(place, centre, size), min(size), voxel)))
    if head.lesion is not None:
        radius = head.lesion.radius
        layers.append(("lesion", _inside(_reach(place, head.lesion.centre, (radius,) * 3), radius, voxel)))
    return layers


def draw(head: Head, layers: list[Layer], contrast: str, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a head as a scanner would show it.

    Args:
        head: the anatomy.
        layers: the same, laid out on a grid.
        contrast: `T1w` or `FLAIR`.
        noise: standard deviation of the noise in each of the two signal parts, relative to white matter.
        rng: source of chance for texture, coil profile and noise.

    Returns:
        float32 on the grid, not negative: tissue with a smooth texture, times a smooth coil profile, with Rician
        noise (Gudbjartsson and Patz, 1995).
    """
    level = CONTRASTS[contrast]
    shape = layers[0][1].shape
    image = np.zeros(shape, dtype=np.float32)
    for tissue, share in layers:
        if tissue == "lesion" and head.lesion is not None:
            image += np.float32(level[tissue] * head.lesion.contrast) * share
        else:
            value = level[tissue] * (head.scalp if tissue == "scalp" else 1.0)
            image += (np.float32(value) - image) * share
    image *= 1 + np.float32(0.03) * _smooth(shape, 1.5, rng)
    image *= np.exp(np.float32(0.12) * _smooth(shape, max(shape) / 4, rng))
    sigma = np.float32(noise * level["white"])
    real, imaginary = (sigma * rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    return np.asarray(np.hypot(image + real, imaginary))


def _make_lesion(rng: np.random.Generator, size: np.ndarray) -> Lesion:
    """Draw a lesion whose centre lies in the brain, outside of its outermost fifth."""
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    centre = direction * rng.uniform(0.25, 0.8) * size * _LAYERS["grey"] * 0.85
    return Lesion(
        centre=_triple(centre),
        radius=float(rng.uniform(8, 13)),
        contrast=float(rng.uniform(*(_FAINT if rng.random() < 0.1 else _CLEAR))),
    )


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _reach(place: list[np.ndarray], centre: tuple[float, float, float], size: tuple[float, float, float]) -> np.ndarray:
    """Return the distance from an ellipsoid's centre as a share of its size: 1 on its surface."""
    x, y, z = (((place[i] - np.float32(centre[i])) / np.float32(size[i])) ** 2 for i in range(3))
    return np.asarray(np.sqrt(x + y + z))


def _inside(reach: np.ndarray, size: float, voxel: float) -> np.ndarray:
    """Return the share of each voxel inside a surface: a ramp one voxel wide."""
    return np.asarray(np.clip((1 - reach) * np.float32(size / voxel) + np.float32(0.5), 0, 1))


def _smooth(shape: tuple[int, ...], width: float, rng: np.random.Generator) -> np.ndarray:
    """Return a random field of standard deviation 1 that changes over `width` voxels."""
    step = max(1, int(width // 2))
    coarse = [max(4, -(-n // step) + 1) for n in shape]
    field = gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), width / step, mode="nearest")
    for axis, n in enumerate(shape):
        field = _stretched(field, axis, n)
    return np.asarray((field - field.mean()) / field.std())


def _stretched(field: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Interpolate one axis linearly to `length` points."""
    at = np.linspace(0, field.shape[axis] - 1, length)
    low = np.minimum(at.astype(int), field.shape[axis] - 2)
    part = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
    return np.asarray(np.take(field, low, axis) * (1 - part) + np.take(field, low + 1, axis) * part)
