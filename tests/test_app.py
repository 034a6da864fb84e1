"""The entrypoint: what it prints, what it starts, how it ends."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medai_lab.app import main
from medai_lab.config import targets

HEAVY = ("torch", "pytorch_lightning", "monai", "pandas", "sklearn", "mlflow", "matplotlib", "pydantic", "rich")
SCRIPT = Path(sys.executable).parent / "medai-lab"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "medai_lab", *argv], capture_output=True, text=True, timeout=120)


def run_and_list_modules(argv: list[str], modules: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    """Run a command line; the last line tells which of the modules were imported, and the exit code."""
    code = f"code = main({argv}); print(sorted(set({modules}) & set(sys.modules)), code)"
    code = f"import sys; from medai_lab.app import main; {code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def seen(folder: Path, rank: str = "") -> dict:
    return json.loads((folder / f"seen{rank}.json").read_text())


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["--cfg", "job"],
        ["task=mri_cls", "optim=sgd", "--cfg=job"],
        ["--info", "defaults"],
        ["--hydra-help"],
    ],
)
def test_showing_things_imports_nothing_heavy(argv):
    told = run_and_list_modules(argv, HEAVY)
    assert told.stdout.splitlines()[-1] == "[] 0", told.stderr
    assert len(told.stdout) > 500


def test_the_check_of_a_run_imports_neither_torch_nor_pandas():
    told = run_and_list_modules(["trainer.gpus=x"], HEAVY[:7])
    assert told.stdout == "[] 2\n", told.stderr


@pytest.mark.parametrize(
    "argv", [["--help"], ["--cfg", "job"], ["--cfg=all"], ["--info=all"], ["--hydra-help"], ["-m"], []]
)
def test_mistakes_are_told_shortly_with_exit_code_2(argv):
    told = run(*argv, "model=resnet18", "trainer.max_epoch=3")
    assert told.returncode == 2, told
    assert told.stdout == ""
    assert "Did you mean 'resnet18_3d'?" in told.stderr
    if argv != ["--hydra-help"]:
        assert "Did you mean 'trainer.max_epochs'?" in told.stderr
    assert "Traceback" not in told.stderr
    assert len(told.stderr.splitlines()) <= 7


def test_hydras_own_flags_keep_working(capsys):
    assert main(["--help"]) == 0
    assert "model: auto, densenet121_3d" in capsys.readouterr().out
    assert main(["--cfg", "job", "-p", "trainer", "trainer.gpus=2"]) == 0
    assert "# @package trainer\ngpus: 2\n" in capsys.readouterr().out
    assert main(["--cfg", "job", "--resolve"]) == 0
    assert "${" not in capsys.readouterr().out
    assert main(["--cfg", "hydra"]) == 0
    assert "searchpath: []" in capsys.readouterr().out
    assert main(["--info", "searchpath"]) == 0
    assert "conf" in capsys.readouterr().out
    assert main(["-sc", "install=bash"]) == 0
    assert "complete" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("medai_lab ")


def test_values_that_are_missing_can_still_be_shown_but_not_resolved(capsys):
    assert main(["--cfg", "job", "data=bids"]) == 0
    assert "root: ???" in capsys.readouterr().out
    assert main(["--cfg", "job", "data=nothing_like_it"]) == 2
    assert main(["--cfg", "job", "+trainer.foo=1"]) == 2
    assert "trainer.foo=1\n  unknown key" in capsys.readouterr().err


def test_a_run_logs_to_the_terminal_and_to_its_folder(tiny, tmp_path, capsys):
    assert main([*tiny, "hydra.run.dir=out", "tracking.uri='http://me:secret@host/x'"]) == 0
    told = capsys.readouterr()
    assert told.out == "said by 0\n"
    assert "├── trainer" in told.err
    assert "http://me:***@host/x" in told.err
    assert f"Run folder: {tmp_path}/out" in told.err
    assert f"Run folder: {tmp_path}/out" in (tmp_path / "out" / "run.log").read_text()
    assert seen(tmp_path / "out")["config"]["model"]["net"]["_target_"] == "tiny_job.Anything"


@pytest.mark.parametrize(
    ("override", "code", "told"),
    [
        ("name=mistake", 2, "scan.nii is empty\n"),
        ("seed=13", 1, "RuntimeError: bad luck"),
        ("name=stopped", 143, ""),
        ("name=interrupted", 130, ""),
        ("job._target_=tiny_job.rnu", 2, "tiny_job has no 'rnu'. Did you mean 'run'?"),
        ("task.module=nowhere.Module", 2, "there is no module 'nowhere'"),
    ],
)
def test_how_a_job_ends_is_the_exit_code(tiny, tmp_path, capsys, override, code, told):
    assert main([*tiny, "hydra.run.dir=out", override]) == code
    error = capsys.readouterr().err
    assert told in error
    assert ("Traceback" in error) == (code == 1)
    kept = (tmp_path / "out" / "run.log").read_text()
    assert ("Traceback" in kept) == (code == 1)
    assert told.strip() in kept


def test_a_folder_that_holds_a_run_is_not_written_over(tiny, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.yaml").write_text("seed: 1\n")
    assert main([*tiny, "hydra.run.dir=out"]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.yaml"]


def test_a_further_process_of_a_run_is_silent_and_shares_the_folder(tiny, tmp_path, monkeypatch, capsys):
    assert main([*tiny, "hydra.run.dir=out"]) == 0
    (tmp_path / "out" / "config.yaml").write_text("seed: 1\n")
    argv = seen(tmp_path / "out")["argv"][1:]
    capsys.readouterr()
    monkeypatch.setenv("LOCAL_RANK", "1")
    # what Lightning adds to the command line of the first process
    added = [f'hydra.run.dir="{tmp_path}/out"', "hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null"]
    assert main([*argv, *added]) == 0
    assert capsys.readouterr().err == ""
    assert seen(tmp_path / "out", "1")["config"] == seen(tmp_path / "out")["config"]
    assert main([*argv, *added, "seed=13"]) == 1
    assert capsys.readouterr().err == ""
    assert "bad luck" in (tmp_path / "out" / "run.1.log").read_text()


@pytest.mark.parametrize(("there", "gpus", "chosen"), [(1, "auto", "big"), (0, "auto", "tiny"), (1, "0", "tiny")])
def test_the_model_is_chosen_by_the_devices(tiny, tmp_path, monkeypatch, there, gpus, chosen):
    monkeypatch.setattr(targets, "gpu_count", lambda: there)  # the edge of the machine
    models = tmp_path / "my_conf" / "model"
    (models / "big.yaml").write_text((models / "tiny.yaml").read_text() + "\n")
    (models / "either.yaml").write_text("modality: mri\ngpu: big\ncpu: tiny\n")
    (models / "big.yaml").write_text(
        (models / "tiny.yaml").read_text().replace("sizes:", "  # big\nsizes:").replace("out}", "big}")
    )
    assert main([*tiny, "hydra.run.dir=out", "model=either", f"trainer.gpus={gpus}", "optim.lr=0.5"]) == 0
    config = seen(tmp_path / "out")["config"]
    assert config["model"]["sizes"] == {"outputs": {"big": "big", "tiny": "out"}[chosen]}
    assert config["optim"]["lr"] == 0.5


def test_a_resumed_run_has_its_own_configuration_and_folder(tiny, tmp_path, capsys):
    assert main([*tiny, "hydra.run.dir=out", "optim.lr=0.5", "seed=7"]) == 0
    run_folder = tmp_path / "out"
    (run_folder / "config.yaml").write_text(yaml.safe_dump(seen(run_folder)["config"]))
    (run_folder / "checkpoints").mkdir()
    (run_folder / "checkpoints" / "last.ckpt").touch()
    capsys.readouterr()
    assert main(["resume=out", "trainer.max_epochs=40"]) == 2
    assert "tiny_job.run is outside the packages that a run's configuration may name" in capsys.readouterr().err
    assert main(["resume=out", "trainer.max_epochs=40", "trust=[tiny_job]"]) == 0
    config = seen(run_folder)["config"]
    assert (config["optim"]["lr"], config["seed"], config["trainer"]["max_epochs"]) == (0.5, 7, 40)
    assert config["resume"] == str(run_folder)
    assert not (run_folder / ".hydra").exists()
    assert main(["resume=out", "optim.lr=0.1"]) == 2
    assert "a resumed run keeps its model, data and split" in capsys.readouterr().err


def test_the_console_script_finds_code_in_the_current_folder(tiny, tmp_path):
    told = subprocess.run([SCRIPT, *tiny, "hydra.run.dir=out"], capture_output=True, text=True, timeout=120)
    assert (told.returncode, told.stdout) == (0, "said by 0\n"), told.stderr
    assert seen(tmp_path / "out")["argv"][0] == str(SCRIPT)


def test_a_reader_that_has_seen_enough_is_no_error():
    told = subprocess.run(
        f"{sys.executable} -m medai_lab --cfg all | head -1", shell=True, capture_output=True, text=True, timeout=120
    )
    assert told.stderr == ""


def test_showing_help_takes_little_more_than_an_empty_hydra_application(tmp_path):
    empty = tmp_path / "empty.py"
    empty.write_text("import hydra\n@hydra.main(version_base='1.3', config_path=None)\ndef main(cfg): pass\nmain()\n")

    def seconds(*command: str) -> float:
        """Processor time, which does not depend on what else runs; the best of three."""
        best = float("inf")
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], capture_output=True, check=True, timeout=120)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return best

    for flags in (["--help"], ["--cfg", "job"]):
        assert seconds("-m", "medai_lab", *flags) < 1.5 * seconds(str(empty), *flags), flags
