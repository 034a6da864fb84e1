"""Which records form which batch, on which process."""

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler


class TrainBatches(Sampler[list[int]]):
    """Shuffled batches of nearly equal size.

    An epoch of `n` records is cut into ceil(n / batch_size) batches whose sizes differ by one at most, so
    that no record is dropped and no tiny last batch upsets a batch normalisation. With several processes
    every batch is shared out among them: the optimiser sees the same records whatever their number.

    Args:
        n: records.
        batch_size: records an optimiser step sees, over all processes.
        seed: with the epoch's number it decides the order.
        epoch: tells the number of the epoch.
        weights: chances of the records to be drawn, with replacement; None draws each once.
        rank: number of this process.
        size: number of processes.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        epoch: Callable[[], int],
        weights: np.ndarray | None = None,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.n, self.seed, self.epoch, self.weights, self.rank, self.size = n, seed, epoch, weights, rank, size
        # a batch must feed every process
        self.count = max(1, min(-(-n // batch_size), n // size))

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch()])
        if self.weights is None:
            order = generator.permutation(self.n)
        else:
            order = generator.choice(self.n, self.n, p=self.weights / self.weights.sum())
        for batch in np.array_split(order, self.count):
            yield batch[self.rank :: self.size].tolist()

    def __len__(self) -> int:
        return self.count


class EvalBatches(Sampler[list[int]]):
    """Every record once, in order, shared out among the processes without padding."""

    def __init__(self, n: int, batch_size: int, rank: int = 0, size: int = 1) -> None:
        self.own = list(range(rank, n, size))
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self.own), self.batch_size):
            yield self.own[start : start + self.batch_size]

    def __len__(self) -> int:
        return -(-len(self.own) // self.batch_size)
