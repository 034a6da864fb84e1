"""A command line's mistakes as text, and files that a user may bring along."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from medai_lab.config.arguments import read
from medai_lab.config.check import check
from medai_lab.config.problems import listing


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch) -> Path:
    """Every test starts in a folder of its own, without the environment's own tracking address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def mistakes() -> Callable[..., str]:
    """A function from the arguments of a command line to the message that a user would read; empty without one."""

    def tell(*argv: str) -> str:
        arguments, problems = read(argv)
        problems = problems + check(arguments)
        return listing(problems) if problems else ""

    return tell


@pytest.fixture
def write_conf(tmp_path) -> Callable[..., Path]:
    """A function that writes a user's own option and returns the folder to give as --config-dir."""

    def write(group: str, option: str, text: str) -> Path:
        file = tmp_path / "my_conf" / group / f"{option}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return tmp_path / "my_conf"

    return write


@pytest.fixture
def write_run(tmp_path) -> Callable[..., Path]:
    """A function that writes the folder of a run as far as the command line looks into it."""

    def write(name: str, task: str = "mri_cls", state: str = "finished", updated: str = "2026-01-01") -> Path:
        folder = tmp_path / "outputs" / task / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "last.ckpt").touch()
        (folder / "config.yaml").write_text(yaml.safe_dump({"task": {"name": task}}))
        (folder / "status.json").write_text(f'{{"state": "{state}", "updated": "{updated}"}}')
        return folder

    return write
