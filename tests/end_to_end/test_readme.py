"""The README's commands and its example do what it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medai_lab.config.arguments import read
from medai_lab.config.check import check
from medai_lab.config.problems import listing
from tests.end_to_end.conftest import ROOT, TINY

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines() if " medai_lab" in line]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_accepted(command, outputs, trained, tmp_path, monkeypatch):
    stand_ins = {
        "OTHER_HOSPITAL": str(tmp_path),
        "DIR_OR_FILE": str(tmp_path),
        "data.root=DIR": f"data.root={tmp_path}",
        "outputs/mri_cls/2026-11-23_18-00-00": str(trained),
    }
    for word, stand_in in stand_ins.items():
        command = command.replace(word, stand_in)
    (tmp_path / "outputs").symlink_to(outputs)
    monkeypatch.chdir(tmp_path)
    arguments, problems = read(shlex.split(command.partition("-m medai_lab")[2]))
    assert listing(problems + check(arguments)) == listing([])


def test_both_set_up_lines_stand_at_the_top():
    first = next(block for kind, block in BLOCKS if not kind)
    assert first.splitlines() == [
        "pip install uv && uv run python -m medai_lab task=mri_cls trainer.gpus=0",
        "pip install uv && uv run pytest",
    ]


def test_a_users_own_model_trains_and_predicts(call, outputs, tmp_path):
    code = next(block for kind, block in BLOCKS if kind == "python")
    option = next(block for kind, block in BLOCKS if kind == "yaml")
    (tmp_path / "my_nets.py").write_text(code)
    (tmp_path / "my_conf" / "model").mkdir(parents=True)
    (tmp_path / "my_conf" / "model" / "two_layers.yaml").write_text(option)
    command = next(
        line for _, block in BLOCKS for line in block.splitlines() if line.startswith("medai-lab --config-dir")
    )
    folder = outputs / "mri_cls" / "own-model"
    tiny = [o for o in TINY if not o.startswith(("task=", "model", "trainer.gpus"))]
    script = Path(sys.executable).with_name("medai-lab")
    finished = subprocess.run(
        [script, *shlex.split(command)[1:], *tiny, "tracking=none", f"paths.outputs={outputs}",
         f"hydra.run.dir={folder}"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, timeout=500,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-3000:]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["net"]["_target_"] == "my_nets.TwoLayers"
    scan = next((outputs / "data").rglob("*_T1w.nii.gz"))
    later = [
        "job=predict",
        f"run={folder}",
        f"input={scan}",
        f"output={tmp_path / 'out.csv'}",
        f"paths.outputs={outputs}",
        "trainer.gpus=0",
    ]
    refused = call(*later, cwd=tmp_path)
    assert refused.code == 2
    assert "trust=[my_package]" in refused.err
    trusted = call(*later, "trust=[my_nets]", cwd=tmp_path)
    assert trusted.code == 0, trusted.err[-3000:]
