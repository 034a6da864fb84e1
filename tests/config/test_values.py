"""Types and ranges of the settings, and how a wrong one is worded."""

import copy
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from medai_lab.config import schema
from medai_lab.config.resolving import resolve
from medai_lab.config.schema import Config, TargetNode
from medai_lab.config.search import Composer, conf_folder
from medai_lab.config.values import known_keys, value_problems
from medai_lab.errors import UserError


@pytest.fixture(scope="module")
def default() -> dict:
    return resolve(Composer(str(conf_folder())).compose(["model=small_cnn_3d"])).plain


@pytest.fixture
def plain(default) -> dict:
    return copy.deepcopy(default)


def put(plain: dict, key: str, value: object) -> dict:
    *path, last = key.split(".")
    node = plain
    for part in path:
        node = node[part]
    node[last] = value
    return plain


GOOD = [
    ("trainer.gpus", ["auto", 0, 4, [0], [1, 3]]),
    ("trainer.precision", ["auto", "32-true", "16-mixed", "bf16-mixed"]),
    ("trainer.threads", ["auto", 1]),
    ("trainer.max_minutes", [None, 5, 0.5]),
    ("trainer.grad_clip", [None, 1]),
    ("trainer.channels_last", ["auto", True, False]),
    ("data.size", [8, 96, [64, 64, 32]]),
    ("data.spacing", ["auto", "fit", "native", 1, 0.5, [1, 1, 2.5]]),
    ("data.channels", [["T1w"], {"T1w": "t1_path"}]),
    ("data.positive", [None, "lesion", 1]),
    ("data.split.fractions", [[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]]),
    ("data.augment.flip", [[], [0], [0, 1, 2]]),
    ("task.operating_point", ["youden", "f1", "accuracy", "fixed:0.5", "sensitivity>=0.95", "specificity >= 0.9"]),
    ("task.monitor", ["auto", "val_loss"]),
    ("task.loss", [None, {"_target_": "torch.nn.BCEWithLogitsLoss", "pos_weight": None}]),
    ("optim.lr", [1, 1e-5]),
    ("optim.schedule", [None]),
    ("callbacks", [{}]),
    ("run", [None, "last", 12345678901234567890123456789012]),
    ("seed", [0, 2**32 - 1]),
]
BAD = [
    ("trainer.max_epochs", ["abc", 1.5, 0, None, True, "3"], "a whole number, 1 or more"),
    ("trainer.gpus", [-1, 1.0, "all", [], [0, 0], [-1], True, None], "a number of GPUs (0 is the CPU)"),
    ("trainer.precision", [16, "bf16", None], "auto, 32-true, 16-mixed or bf16-mixed"),
    ("trainer.threads", [0, "many"], "auto, or a whole number, 1 or more"),
    ("trainer.max_minutes", [0, -1, "5", float("nan"), float("inf")], "a number above 0, or null"),
    ("trainer.progress", [1, "yes", None], "true or false"),
    ("trainer.overfit_batches", [-1, 0.5], "a whole number, 0 or more"),
    ("data.size", [7, 96.0, [64, 64], [64, 64, 4], "96"], "a list of three"),
    ("data.spacing", [0, -1, "isotropic", [1, 1], [1, 1, 0]], "auto, fit, native"),
    ("data.channels", [[], ["T1w", "T1w"], "T1w", {}], "a list of sequences such as [T1w,FLAIR]"),
    ("data.split.fractions", [[0.5, 0.5, 0.5], [1, 0, 0], [0.8, 0.2], 0.7], "three numbers above 0 that sum to 1"),
    ("data.augment.flip", [[3], [0, 0], 0], "a list of axes out of 0"),
    ("data.augment.affine", [1.5, -0.1, "half"], "a number, 0 to 1"),
    ("data.augment.scale", [1, -0.1], "below 1"),
    ("data.missing", ["zero", None], "error or zeros"),
    ("data.on_error", ["skip"], "quarantine or raise"),
    ("data.sampler", ["random"], "shuffle or balanced"),
    ("data.target_kind", ["binary"], "auto, classes or regression"),
    ("data.root", ["", None, 3], "a text"),
    ("task.class_weights", ["balance"], "none or balanced"),
    ("task.operating_point", ["best", "fixed:2", "fixed:", "sensitivity>=1.1", "f1>=0.5", 0.5], "specificity>=0.9"),
    ("task.monitor", ["loss", ""], "auto, or a validation value such as val_loss"),
    ("task.datamodule", ["MriDataModule", "a b.c", ""], "a dotted path"),
    ("strategy.name", ["fsdp"], "auto or ddp"),
    ("optim.lr", ["abc", 0, -1, None], "a number above 0"),
    ("seed", [-1, 2**32, 0.5, "0"], "a whole number, 0 to 4294967295"),
    ("callbacks", [None, []], "names, each with a _target_"),
    ("trust", ["my_package"], "a list of packages"),
]  # fmt: skip


def test_the_default_is_valid_and_comes_back_unchanged(default):
    config = Config.from_plain(default)
    assert config.to_plain() == default
    assert Config.from_plain(config.to_plain()) == config
    assert config.job.target == "medai_lab.jobs.train.run"
    assert config.model.net.arguments()["width"] == default["model"]["net"]["width"]
    assert "schedule" not in config.optim.arguments()


@pytest.mark.parametrize(("key", "values"), GOOD)
def test_allowed_values_pass(plain, key, values):
    for value in values:
        assert value_problems(put(plain, key, value)) == [], value


@pytest.mark.parametrize(("key", "values", "allowed"), BAD)
def test_a_wrong_value_is_one_problem_that_says_what_is_allowed(plain, key, values, allowed):
    for value in values:
        problems = value_problems(put(plain, key, value))
        assert [p.key for p in problems] == [key], (value, problems)
        assert allowed in problems[0].allowed, value
        assert problems[0].given is not None, value


@pytest.mark.parametrize("key", ["data.augment.flp", "model.net_", "task.los", "tracking.urll", "strategy.nme", "x"])
def test_an_unknown_key_is_told_with_its_neighbours(plain, key):
    (problem,) = value_problems(put(plain, key, 1))
    assert problem.key == key
    assert "unknown key" in problem.message
    assert problem.allowed


def test_nodes_with_a_target_take_further_arguments_but_need_the_target(plain):
    put(plain, "model.net.more", {"deep": [1]})
    assert value_problems(plain) == []
    del plain["model"]["net"]["_target_"]
    plain["callbacks"]["mine"] = {"patience": 3}
    problems = value_problems(plain)
    assert [p.key for p in problems] == ["model.net._target_", "callbacks.mine._target_"]
    assert all("is missing" in p.message for p in problems)


def test_a_callback_that_is_no_node_is_told_by_its_name(plain):
    (problem,) = value_problems(put(plain, "callbacks.mine", 3))
    assert (problem.key, problem.given) == ("callbacks.mine", "3")


def test_options_of_our_own_jobs_are_known_and_those_of_others_are_free(plain):
    put(plain, "job.folds", 5)
    (problem,) = value_problems(plain)
    assert problem.key == "job.folds"
    put(plain, "job._target_", "my_package.jobs.mine")
    assert value_problems(plain) == []


def test_devices_are_counted_on_the_cpu_only(plain):
    plain["trainer"] |= {"devices": 2, "gpus": 0}
    assert value_problems(plain) == []
    plain["trainer"]["gpus"] = 2
    (problem,) = value_problems(plain)
    assert (problem.key, problem.given) == ("trainer.devices", "2")
    assert "trainer.gpus=0" in problem.message


def test_a_model_that_is_still_open_is_checked_too(plain):
    plain["model"] = {"modality": "mri", "gpu": "densenet121_3d", "cpu": "small_cnn_3d"}
    assert value_problems(plain) == []
    plain["model"]["tpu"] = "x"
    assert [p.key for p in value_problems(plain)] == ["model.tpu"]


def test_from_plain_tells_every_mistake_in_one_message(plain):
    put(put(plain, "trainer.gpus", "x"), "seed", -1)
    with pytest.raises(UserError, match=r"(?s)2 mistakes.*trainer.gpus=x.*seed=-1"):
        Config.from_plain(plain)


def _settings(model: type[BaseModel]) -> Iterator[tuple[str, object]]:
    for name, item in model.model_fields.items():
        yield f"{model.__name__}.{name}", item


def test_every_setting_says_in_words_what_it_takes():
    models = [m for m in vars(schema).values() if isinstance(m, type) and issubclass(m, schema.Node)]
    silent = [
        name
        for model in models
        for name, item in _settings(model)
        if not item.description and not (isinstance(item.annotation, type) and issubclass(item.annotation, BaseModel))
    ]
    assert silent == []


def test_known_keys_are_those_of_the_configuration(default):
    keys = set(known_keys(Config))
    assert {"trainer.gpus", "data.augment.flip", "model.net._target_", "optim.schedule._target_", "task.loss"} <= keys
    assert not any(key.startswith("callbacks.") for key in keys)
    assert {f"trainer.{name}" for name in default["trainer"]} == {k for k in keys if k.startswith("trainer.")}


def test_nothing_changes_after_validation(default):
    config = Config.from_plain(default)
    with pytest.raises(ValueError, match="frozen"):
        config.trainer.gpus = 3
    assert isinstance(config.data.reader, TargetNode)
