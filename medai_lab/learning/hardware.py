"""What the machine does best: devices, threads, precision and memory layout, measured where it can be."""

import logging
import os
import platform
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from medai_lab.files import read_json, write_json
from medai_lab.learning.cache import ArrayCache

if TYPE_CHECKING:
    from medai_lab.config.schema import TrainerConfig

log = logging.getLogger(__name__)

WORTHWHILE = 0.95  # a variant must take less than this share of the plain step's time
HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Arithmetic:
    """How numbers are computed: Lightning's name of the precision, and whether channels lie last in memory."""

    precision: str
    channels_last: bool


def gpu_ids(gpus: "str | int | list[int]") -> list[int]:
    """Return the GPUs that a setting of `trainer.gpus` means; an empty list is the CPU."""
    there = torch.cuda.device_count()
    if gpus == "auto":
        return list(range(there))
    return list(range(gpus)) if isinstance(gpus, int) else list(gpus)  # type: ignore[arg-type]


def set_threads(threads: "str | int", processes: int) -> int:
    """Set and return the OpenMP threads of this process; `auto` shares the usable cores among the processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, cores // processes) if threads == "auto" else int(threads)
    torch.set_num_threads(count)
    return count


def device_of(gpus: "str | int | list[int]") -> torch.device:
    """Return the first device that a setting of `trainer.gpus` means."""
    ids = gpu_ids(gpus)
    return torch.device("cuda", ids[0]) if ids else torch.device("cpu")


def choose_arithmetic(
    trainer: "TrainerConfig", net: nn.Module, example: Mapping[str, Tensor], cache: Path, key: Any
) -> Arithmetic:
    """Resolve `precision=auto` and `channels_last=auto` by timing real steps of the network.

    The verdict is kept under `cache` for the same hardware, torch, network and input, so it is measured once.

    Args:
        trainer: the trainer node.
        net: the network; it is left as it was.
        example: inputs of a record or two.
        cache: folder of the caches.
        key: what else the verdict depends on, as JSON values: the model node.
    """
    device = device_of(trainer.gpus)
    half = "bf16-mixed" if device.type == "cpu" or torch.cuda.is_bf16_supported() else "16-mixed"
    precisions = ["32-true", half] if trainer.precision == "auto" else [trainer.precision]
    layouts = [False, True] if trainer.channels_last == "auto" else [bool(trainer.channels_last)]
    variants = [Arithmetic(p, layout) for p in precisions for layout in layouts]
    if len(variants) == 1:
        return variants[0]
    shapes = {k: list(v.shape) for k, v in example.items()}
    identity = [
        _hardware(device),
        torch.__version__,
        torch.get_num_threads(),
        key,
        shapes,
        [asdict(v) for v in variants],
    ]
    kept = cache / "hardware" / f"{ArrayCache.key(identity)[:32]}.json"
    if not kept.exists():
        seconds = {v: _step_seconds(net, example, v, device) for v in variants}
        quickest = min(seconds, key=lambda v: seconds[v])
        chosen = quickest if seconds[quickest] < WORTHWHILE * seconds[variants[0]] else variants[0]
        table = [{**asdict(v), "seconds": round(s, 5)} for v, s in seconds.items()]
        write_json(kept, {**asdict(chosen), "measured": table, "hardware": identity[0]})
    verdict = read_json(kept)
    chosen = Arithmetic(verdict["precision"], verdict["channels_last"])
    log.info(
        "Arithmetic: %s%s, measured on this machine.",
        chosen.precision,
        ", channels last" if chosen.channels_last else "",
    )
    return chosen


def autocast(precision: str, device: torch.device) -> Any:
    """Return the context in which a network of this precision predicts."""
    return torch.autocast(device.type, HALF[precision]) if precision in HALF else nullcontext()


def lay_out(net: nn.Module, channels_last: bool) -> nn.Module:
    """Move convolution weights to the memory layout; values stay the same."""
    dims = {p.ndim for p in net.parameters()}
    if not channels_last or not dims & {4, 5}:
        return net
    return net.to(memory_format=torch.channels_last_3d if 5 in dims else torch.channels_last)


def _step_seconds(net: nn.Module, example: Mapping[str, Tensor], how: Arithmetic, device: torch.device) -> float:
    """Best of two training steps after one to warm up."""
    import copy

    trial = lay_out(copy.deepcopy(net).to(device).train(), how.channels_last)
    inputs = [torch.randn_like(v, device=device) for v in example.values()]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        with autocast(how.precision, device):
            loss = trial(*inputs).float().square().mean()
        loss.backward()
        trial.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "flags"))]
    return ArrayCache.key(names[:2] or platform.processor())[:16] + " " + (names[0] if names else platform.processor())
