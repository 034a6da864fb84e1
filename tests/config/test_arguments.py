"""The command line as Hydra will see it."""

import pytest

from medai_lab.config.arguments import quoted, read
from medai_lab.config.overrides import parse
from medai_lab.config.search import conf_folder


def expanded(*argv: str) -> list[str]:
    arguments, problems = read(argv)
    assert problems == []
    return arguments.to_argv()


def test_flags_come_first_and_overrides_keep_their_order():
    assert expanded("a=1", "-m", "b=2", "--config-dir=x", "c=3") == [
        "--multirun",
        "--config-dir=x",
        "a=1",
        "b=2",
        "c=3",
    ]
    assert expanded("task=mri_cls", "--cfg", "job", "trainer.gpus=0") == ["--cfg=job", "task=mri_cls", "trainer.gpus=0"]


def test_a_config_path_is_taken_from_the_current_folder(tmp_path):
    (tmp_path / "other").mkdir()
    assert expanded("--config-path", "other") == [f"--config-path={tmp_path}/other"]
    arguments, _ = read([])
    assert arguments.config_path == str(conf_folder())


def test_resume_becomes_the_runs_own_configuration(write_run):
    run = write_run("one, two's")  # a folder name that needs quoting
    given = expanded(f"resume={quoted(str(run))}", "trainer.max_epochs=40", "tracking.uri=null", "job.replicates=10")
    assert given[:2] == [f"--config-path={run}", "--config-name=config"]
    overrides, problems = parse(given[2:])
    assert problems == []
    values = {o.get_key_element(): o.value() for o in overrides}
    assert values == {
        "trainer.max_epochs": 40,
        "tracking.uri": None,
        "job.replicates": 10,
        "++trust": [],
        "resume": str(run),
        "hydra.run.dir": str(run),
        "hydra.output_subdir": None,
        "hydra/job_logging": "none",
        "hydra/hydra_logging": "none",
    }


def test_an_expanded_resume_is_not_expanded_again(write_run):
    once = expanded(f"resume={write_run('one')}")
    assert expanded(*once) == once


def test_a_runs_own_file_cannot_say_which_packages_it_may_name(write_run):
    run = write_run("one")
    assert "++trust=[]" in expanded(f"resume={run}")
    assert [o for o in expanded(f"resume={run}", "trust=[my_package]") if "trust" in o] == ["trust=[my_package]"]


@pytest.mark.parametrize(
    "override", ["model=auto", "data.root=x", "data.split.seed=1", "seed=2", "task=mri_cls", "optim.lr=1"]
)
def test_a_resumed_run_keeps_what_made_it(write_run, mistakes, override):
    run = write_run("one")
    _, (problem,) = read([f"resume={run}", override])
    assert override.startswith(problem.key)
    assert "a resumed run keeps its model, data and split; start a new run (or ckpt.init=...)" in problem.message
    assert "trainer, callbacks, tracking, name, job.replicates, data.workers" in problem.allowed
    assert override in mistakes(f"resume={run}", override)


def test_a_folder_that_cannot_be_resumed_is_told(write_run, tmp_path):
    def told(*argv: str) -> str:
        _, (problem,) = read(argv)
        return f"{problem.key}={problem.given} {problem.message}"

    run = write_run("one")
    assert told("resume=nowhere") == "resume=nowhere no such folder."
    assert "is no run folder" in told(f"resume={tmp_path}")
    assert "takes no -m" in told("-m", f"resume={run}")
    (run / "checkpoints" / "last.ckpt").unlink()
    assert "has no checkpoints/last.ckpt" in told(f"resume={run}")


def test_run_last_is_the_run_that_finished_last(write_run):
    write_run("b", updated="2026-01-02")
    newest = write_run("a", updated="2026-01-03")
    write_run("c", updated="2026-01-04", state="failed")
    write_run("d", updated="2026-01-05").joinpath("status.json").write_text("{")
    (newest.parent / "e").mkdir()
    (newest.parent / "e" / "status.json").write_text(
        '{"state": "finished", "updated": "2026-01-09"}'
    )  # no training run
    assert expanded("job=evaluate", "run=last") == ["job=evaluate", "run='outputs/mri_cls/a'", "task=mri_cls"]


def test_run_last_looks_where_the_runs_are_and_at_the_task_that_is_given(write_run, tmp_path):
    write_run("a", updated="2026-01-01")
    write_run("b", task="other_task", updated="2026-01-02")
    assert "run='outputs/other_task/b'" in expanded("job=evaluate", "run=last")
    assert "run='outputs/mri_cls/a'" in expanded("job=evaluate", "run=last", "task=mri_cls")
    assert expanded("job=evaluate", "run=last", "paths.outputs=elsewhere") == [
        "job=evaluate",
        "run=last",
        "paths.outputs=elsewhere",
    ]
    (tmp_path / "outputs").rename(tmp_path / "elsewhere")
    assert "run='elsewhere/mri_cls/a'" in expanded("run=last", "paths.outputs=elsewhere", "task=mri_cls")


def test_a_run_brings_its_task(write_run):
    run = write_run("a", task="other_task")
    assert expanded("job=predict", f"run={run}")[-1] == "task=other_task"
    assert expanded(f"run={run}", "task=mri_cls") == [f"run={run}", "task=mri_cls"]


def test_a_sweep_over_runs_is_left_to_its_jobs(write_run):
    a, b = write_run("a"), write_run("b")
    assert expanded("-m", "job=evaluate", f"run={a},{b}") == ["--multirun", "job=evaluate", f"run={a},{b}"]


def test_a_run_of_another_task_is_told(write_run, mistakes):
    run = write_run("a", task="mri_cls")
    assert mistakes("job=evaluate", f"run={run}", "task=mri_cls") == ""
    other = write_run("b", task="other_task")
    assert "the run is of task 'other_task'" in mistakes("job=evaluate", f"run={other}", "task=mri_cls")
