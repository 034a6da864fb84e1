"""Reading weights from files, without running anything that they hold."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from medai_lab.errors import UserError


def load_weights(net: nn.Module, path: Path) -> None:
    """Start a network from the weights in a `.safetensors` file or a checkpoint (a warm start).

    Every tensor must fit but those of a last layer of another size, which stays as it was initialised.

    Raises:
        UserError: the file is not readable without running code, or does not belong to this network.
    """
    given = {_plain_name(name): tensor for name, tensor in _read(path).items()}
    own = net.state_dict()
    unknown = sorted(set(given) - set(own))
    missing = sorted(set(own) - set(given))
    if unknown or missing:
        raise UserError(
            f"ckpt.init={path} is of another network: it lacks {missing[:3] or 'nothing'} and has "
            f"{unknown[:3] or 'nothing'} beyond it. Set model= to the one that wrote it."
        )
    unfit = [name for name, tensor in given.items() if tensor.shape != own[name].shape]
    last = list(own)[-1].rpartition(".")[0]
    if wrong := [name for name in unfit if name.rpartition(".")[0] != last]:
        raise UserError(
            f"ckpt.init={path}: {wrong[0]} is {list(given[wrong[0]].shape)}, {list(own[wrong[0]].shape)} is needed."
        )
    net.load_state_dict({name: tensor for name, tensor in given.items() if name not in unfit}, strict=not unfit)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"ckpt.init={path} cannot be read as plain weights: {reason}") from error
    tensors: dict[str, Tensor] = content.get("state_dict", content)
    return tensors


def _plain_name(name: str) -> str:
    """Take off what Lightning and torch.compile put before a parameter's name."""
    return name.removeprefix("net.").replace("_orig_mod.", "")
