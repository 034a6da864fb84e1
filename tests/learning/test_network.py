"""Networks built to the data, and warm starts."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medai_lab.config.schema import ModelConfig
from medai_lab.errors import UserError
from medai_lab.learning.checkpoint import load_weights
from medai_lab.learning.network import build_network, check_input_size
from medai_lab.mri.nets import SmallCNN


def node(target="medai_lab.mri.nets.SmallCNN", **sizes):
    sizes = sizes or {"channels": "in_channels", "outputs": "out_channels"}
    return ModelConfig.model_validate({"modality": "mri", "net": {"_target_": target}, "sizes": sizes})


def example(size, channels=1):
    return {"image": torch.zeros(2, channels, size, size, size)}


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("outputs", [1, 3])
def test_sizes_come_from_the_data(channels, outputs):
    net = build_network(node(), {"channels": channels, "outputs": outputs}, trusted=True)
    assert net(torch.zeros(2, channels, 16, 16, 16)).shape == (2, outputs)


@pytest.mark.parametrize("size", [13, 28, 48])
def test_the_small_network_takes_small_grids(size):
    check_input_size(SmallCNN(1, 1), example(size), "SmallCNN")


def test_an_input_too_small_names_the_smallest_that_fits():
    net = nn.Sequential(nn.Conv3d(1, 2, 5), nn.MaxPool3d(4), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(2, 1))
    check_input_size(net, example(8), "Net")
    with pytest.raises(UserError, match=r"data.size=6x6x6 does not fit Net: .*data.size=8"):
        check_input_size(net, example(6), "Net")


def test_monai_networks_say_their_smallest_size():
    from monai.networks.nets import DenseNet121

    with pytest.raises(UserError, match=r"data.size=16x16x16 does not fit DenseNet121: .*data.size=\d\d"):
        check_input_size(DenseNet121(3, 1, 1), example(16), "DenseNet121")


def test_a_warm_start_takes_all_weights_but_a_head_of_another_size(tmp_path):
    source, other = SmallCNN(1, 1, width=4), SmallCNN(1, 3, width=4)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    before = other.head[1].weight.clone()
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.stem[0].weight, source.stem[0].weight)
    assert torch.equal(other.head[1].weight, before)


def test_a_checkpoint_of_lightning_is_read(tmp_path):
    source, same = SmallCNN(1, 1, width=4), SmallCNN(1, 1, width=4)
    torch.save({"state_dict": {f"net.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "w.ckpt")
    load_weights(same, tmp_path / "w.ckpt")
    assert torch.equal(same.head[1].weight, source.head[1].weight)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"another network.*other.weight"):
        load_weights(SmallCNN(1, 1, width=4), tmp_path / "w.safetensors")
    save_file(SmallCNN(1, 1, width=8).state_dict(), tmp_path / "wide.safetensors")
    with pytest.raises(UserError, match=r"is \[16, 8, .*\[8, 4, .* is needed"):
        load_weights(SmallCNN(1, 1, width=4), tmp_path / "wide.safetensors")


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_file_that_holds_code_is_refused_without_running_it(tmp_path, capsys):
    torch.save({"state_dict": {"a": Harmful()}}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match="cannot be read as plain weights"):
        load_weights(SmallCNN(1, 1), tmp_path / "w.ckpt")
    assert "never" not in capsys.readouterr().out
