"""Every file in conf/: it composes, it is valid, and what it names in code exists with these arguments."""

from pathlib import Path

import pytest

from medai_lab.config.resolving import resolve
from medai_lab.config.schema import Config
from medai_lab.config.search import Composer, conf_folder
from medai_lab.config.targets import check_targets

# What a user must give, for the options that cannot do without.
NEEDED = {
    ("data", "bids"): ["data.root=.", "data.target=group"],
    ("data", "csv"): ["data.root=.", "data.target=label", "data.reader.table=scans.csv", "data.channels={T1w:t1_path}"],
    ("data", "dicom"): ["data.root=.", "data.target=label", "data.reader.labels=labels.csv"],
    ("data", "folders"): ["data.root=."],
    ("data", "medmnist"): ["data.root=.", "data.reader.name=adrenalmnist3d"],
    ("experiment", "adrenalmnist3d"): ["data.root=."],
    ("job", "evaluate"): ["run=last"],
    ("job", "predict"): ["run=last", "input=."],
}  # fmt: skip
ALONE_READS_NOTHING = {("data", "mri_base")}

OPTIONS = sorted(
    (file.parent.name, file.stem)
    for file in conf_folder().glob("*/*.yaml")
    if file.parent.name != "local" and (file.parent.name, file.stem) not in ALONE_READS_NOTHING
)


def argument(group: str, option: str) -> str:
    return f"+{group}={option}" if group == "local" else f"{group}={option}"


def compose(*overrides: str) -> Config:
    composed = Composer(str(conf_folder())).compose(overrides)
    if "net" not in composed.model:
        composed = Composer(str(conf_folder())).compose([*overrides, f"model={composed.model.gpu}"])
    resolved = resolve(composed)
    assert not resolved.unknown
    return Config.from_plain(resolved.plain)


def test_the_tree_is_found():
    assert {group for group, _ in OPTIONS} >= {
        "data",
        "model",
        "optim",
        "trainer",
        "task",
        "job",
        "experiment",
        "debug",
    }


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_is_valid(group, option, mistakes, monkeypatch, write_run):
    needed = NEEDED.get((group, option), [])
    compose(argument(group, option), *needed)
    write_run("one")
    assert mistakes(argument(group, option), *needed) == ""


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_target_exists_and_takes_its_arguments(group, option):
    config = compose(argument(group, option), *NEEDED.get((group, option), []))
    assert check_targets(config) == []
    assert check_targets(config, trusted=False) == []


@pytest.mark.parametrize(
    "file", [f for f in conf_folder().rglob("*.yaml") if f.stem != "mri_base"], ids=lambda f: f.stem
)
def test_every_file_opens_with_the_command_that_uses_it(file: Path):
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# python -m medai_lab "), file
    words = lines[0].split()
    group, option = file.parent.name, file.stem
    assert file.parent == conf_folder() or f"{group}={option}" in words or option in ("default", "auto"), file
