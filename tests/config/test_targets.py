"""What a configuration names in code, checked before data are read."""

import pytest

from medai_lab.config import targets
from medai_lab.config.resolving import resolve
from medai_lab.config.schema import Config
from medai_lab.config.search import Composer, conf_folder
from medai_lab.config.targets import check_targets


def told(*overrides: str, trusted: bool = True) -> dict[str, str]:
    composed = Composer(str(conf_folder())).compose(["model=small_cnn_3d", *overrides])
    problems = check_targets(Config.from_plain(resolve(composed).plain), trusted)
    return {p.key if p.given is None else f"{p.key}={p.given}": f"{p.message} [{p.allowed}]" for p in problems}


@pytest.mark.parametrize(
    ("override", "key", "wanted"),
    [
        (
            "+model.net.widht=8",
            "model.net.widht=8",
            "SmallCNN has no argument 'widht'. Did you mean 'width'? [in_channels, ",
        ),
        ("model.sizes.channels=in_chanels", "model.net, argument in_chanels", "Did you mean 'in_channels'?"),
        ("~model.sizes.outputs", "model.net", "SmallCNN needs out_channels: add +model.net.out_channels=VALUE"),
        (
            "+optim.weight_deca=1",
            "optim.weight_deca=1",
            "AdamW has no argument 'weight_deca'. Did you mean 'weight_decay'?",
        ),
        (
            "+optim.schedule.warm=1",
            "optim.schedule.warm=1",
            "warmup_cosine has no argument 'warm'. Did you mean 'warmup'?",
        ),
        ("+data.reader.rot=x", "data.reader.rot=x", "Did you mean 'root'?"),
        ("callbacks.learning_rate.logging_interval=null", "", ""),
        (
            "+callbacks.learning_rate.every=1",
            "callbacks.learning_rate.every=1",
            "LearningRateMonitor has no argument 'every'",
        ),
        ("++callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping", "callbacks.stop", "needs monitor"),
        ("++task.loss._target_=torch.nn.NoLoss", "task.loss._target_=torch.nn.NoLoss", "torch.nn has no 'NoLoss'"),
        ("task.module=my_package.Module", "task.module=my_package.Module", "there is no module 'my_package'"),
        (
            "task.datamodule=medai_lab.mri.datamodule.MriDataModul",
            "task.datamodule=medai_lab.mri.datamodule.MriDataModul",
            "MriDataModule",
        ),
        ("job._target_=medai_lab.jobs.trian.run", "job._target_=medai_lab.jobs.trian.run", "there is no|has no"),
    ],
)
def test_one_wrong_name_or_argument_is_told(override, key, wanted):
    found = told(override)
    assert list(found) == ([key] if key else [])
    assert not key or any(w in found[key] for w in wanted.split("|")), found


def test_nested_targets_are_checked():
    loss = "++task.loss={_target_: torch.nn.Sequential, a: {_target_: torch.nn.ReLU, inplac: true}}"
    assert list(told(loss)) == ["task.loss.a.inplac=True"] or list(told(loss)) == ["task.loss.a.inplac=true"]


def test_all_are_told_at_once():
    assert len(told("+model.net.widht=8", "+optim.foo=1", "task.module=x.Y")) == 3


def test_jobs_on_a_run_do_not_check_what_the_run_brings():
    assert told("job=evaluate", "optim._target_=nowhere.Optimizer") == {}
    assert "optim._target_=nowhere.Optimizer" in told("optim._target_=nowhere.Optimizer")


def test_a_run_may_not_name_other_packages():
    found = told("optim._target_=shutil.rmtree", "task.module=os.system", trusted=False)
    assert set(found) == {"optim._target_=shutil.rmtree", "task.module=os.system"}
    assert told("optim._target_=shutil.rmtree", "trust=[shutil]", trusted=False) != found


@pytest.mark.parametrize(
    ("there", "asked", "wanted"),
    [
        (0, "2", "this machine has no GPU."),
        (1, "4", "this machine has 1 GPU."),
        (2, "[0,2]", "this machine has 2 GPUs, ids 0 to 1."),
        (2, "[0,1]", None),
        (2, "2", None),
        (0, "0", None),
        (0, "auto", None),
    ],
)
def test_gpus_that_are_not_there_are_told(monkeypatch, there, asked, wanted):
    monkeypatch.setattr(targets, "gpu_count", lambda: there)  # the edge of the machine
    found = told(f"trainer.gpus={asked}")
    assert len(found) == (wanted is not None)
    assert wanted is None or wanted in next(iter(found.values()))
    assert wanted is None or next(iter(found)).startswith("trainer.gpus=")
