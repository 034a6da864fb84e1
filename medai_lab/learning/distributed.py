"""What processes of one run tell one another."""

import os
from typing import Any, TypeVar

import torch.distributed as dist

Row = TypeVar("Row")


def local_rank() -> int:
    """Number of this process within its machine; 0 where there is only one."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world() -> tuple[int, int]:
    """Return (rank, processes) of the process group, (0, 1) without one."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather_rows(rows: list[Row]) -> list[Row]:
    """Return the rows of all processes, in the order of their ranks, on every process."""
    _, size = world()
    if size == 1:
        return rows
    parts: list[Any] = [None] * size
    dist.all_gather_object(parts, rows)
    return [row for part in parts for row in part]
