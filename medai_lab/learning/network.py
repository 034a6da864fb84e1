"""Building the network to the data's sizes, and refusing data that is too small for it."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from medai_lab.config.instantiate import instantiate
from medai_lab.errors import UserError

if TYPE_CHECKING:
    from medai_lab.config.schema import ModelConfig

LARGEST_TRIED = 256  # voxels an axis


def build_network(
    model: "ModelConfig", sizes: Mapping[str, Any], trusted: bool, allow: Sequence[str] = ()
) -> nn.Module:
    """Instantiate `model.net`, its size arguments taken from the data.

    Args:
        model: the model node.
        sizes: what the data knows, such as `channels` and `outputs`.
        trusted: True where the node comes from the command line, False where it comes from a run.
        allow: the user's own packages that an untrusted node may name.
    """
    taken = {argument: sizes[name] for name, argument in model.sizes.items()}
    net: nn.Module = instantiate(model.net, trusted=trusted, allow=allow, **taken)
    return net


def check_input_size(net: nn.Module, example: Mapping[str, Tensor], name: str) -> None:
    """Refuse inputs that the network cannot take, before training, and say the smallest that it can.

    The network is tried on torch's meta device: shapes are computed, numbers are not.

    Args:
        net: the network.
        example: inputs of two records, (2, C, spatial...).
        name: what the user calls the model.
    """
    shell = copy.deepcopy(net).to("meta").train()
    if _fits(shell, {k: v.to("meta") for k, v in example.items()}):
        return
    shape = next(iter(example.values())).shape
    fitting = (n for n in range(min(shape[2:]), LARGEST_TRIED + 1) if _fits(shell, _resized(example, n)))
    smallest = next(fitting, None)
    grid = "x".join(str(n) for n in shape[2:])
    hint = (
        f"the smallest cube that fits is data.size={smallest}"
        if smallest
        else "no size up to 256 fits: check the model"
    )
    raise UserError(f"data.size={grid} does not fit {name}: {hint}.")


def _fits(shell: nn.Module, inputs: Mapping[str, Tensor]) -> bool:
    try:
        with torch.no_grad():
            shell(*inputs.values())
    except (RuntimeError, ValueError):
        return False
    return True


def _resized(example: Mapping[str, Any], n: int) -> dict[str, Tensor]:
    return {k: torch.empty(*v.shape[:2], *[n] * (v.ndim - 2), device="meta") for k, v in example.items()}
