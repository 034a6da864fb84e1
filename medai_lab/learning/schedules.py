"""Learning-rate schedules, stepped once an optimiser step."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.05, final: float = 0.01) -> LambdaLR:
    """Rise linearly to the optimiser's rate, then fall along half a cosine.

    Args:
        optimizer: its learning rates are the peak.
        total_steps: optimiser steps of the whole training.
        warmup: share of the steps spent rising, 0 to 1.
        final: the last rate as a share of the peak.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts.
    """
    rising = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        share = min(1.0, (step - rising) / max(1, total_steps - rising))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, total_steps: int) -> LambdaLR:
    """Keep the optimiser's learning rate."""
    return LambdaLR(optimizer, lambda step: 1.0)
