"""From dotted paths to objects, and the border around configurations that come from a file."""

import functools

import pytest

from medai_lab.config.instantiate import import_target, instantiate, targets_in
from medai_lab.config.schema import OptimConfig, TargetNode
from medai_lab.errors import UserError


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A package of the user's, in the current folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "nets.py").write_text(
        "from os import system\nclass Net:\n    def __init__(self, *args, **kwargs):\n"
        "        self.args, self.kwargs = args, kwargs\n    class Inner:\n        pass\nSIZE = 3\n"
    )
    (tmp_path / "mine" / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "mine" / "wrong.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_nested_targets_are_built_first_and_partials_are_not_called(mine):
    net = instantiate(
        {
            "_target_": "mine.nets.Net",
            "inner": {"_target_": "mine.nets.Net", "depth": 1},
            "several": [{"_target_": "mine.nets.Net"}, {"plain": 2}],
            "later": {"_target_": "mine.nets.Net", "_partial_": True, "depth": 2},
        },
        "first",
        trusted=True,
        extra=5,
    )
    assert net.args == ("first",)
    assert net.kwargs["inner"].kwargs == {"depth": 1}
    assert net.kwargs["several"][0].kwargs == {}
    assert net.kwargs["several"][1] == {"plain": 2}
    assert isinstance(net.kwargs["later"], functools.partial)
    assert net.kwargs["later"]().kwargs == {"depth": 2}
    assert net.kwargs["extra"] == 5


def test_typed_nodes_are_instantiated_too(mine):
    node = TargetNode.model_validate({"_target_": "mine.nets.Net", "width": 3, "depth": 1})
    assert instantiate(node, trusted=True, depth=2).kwargs == {"width": 3, "depth": 2}
    optim = OptimConfig.model_validate(
        {"_target_": "mine.nets.Net", "lr": 0.1, "schedule": {"_target_": "mine.nets.Net"}}
    )
    assert instantiate(optim, "weights", trusted=True).kwargs == {"lr": 0.1}
    assert import_target("mine.nets.Net.Inner", trusted=True)().__class__.__name__ == "Inner"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nobody.Net", "there is no module 'nobody', neither installed nor in the current folder"),
        ("mine.nts.Net", "there is no module 'mine.nts'|mine has no 'nts'"),
        ("mine.nets.Nett", "mine.nets has no 'Nett'. Did you mean 'Net'"),
        ("mine.broken.Net", "importing mine.broken failed, as there is no module 'nothing_of_this_name'"),
        ("mine.wrong.Net", "importing mine.wrong failed with ZeroDivisionError"),
        ("mine.nets.SIZE", "neither a class nor a function"),
        ("mine", "is no dotted path"),
    ],
)
def test_what_cannot_be_imported_says_which_part_failed(mine, path, reason):
    with pytest.raises(UserError, match=reason):
        import_target(path, trusted=True)


def test_arguments_that_are_refused_are_the_users_mistake():
    with pytest.raises(UserError, match=r"collections.Counter cannot be made: .*not iterable"):
        instantiate({"_target_": "collections.Counter"}, 3, trusted=True)


def test_a_users_mistake_inside_is_told_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "reads.py").write_text(
        "from medai_lab.errors import ScanError\ndef scan():\n    raise ScanError('scan.nii is empty')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="^scan.nii is empty$"):
        instantiate({"_target_": "reads.scan"}, trusted=True)


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.hub.load",
        "medai_labx.Net",
        "mine.nets.Net",
        "medai_lab.files.os.system",  # reached through an allowed module, defined elsewhere
        "medai_lab.errors.get_close_matches",
        "monai.networks.utils.convert_to_onnx",
    ],
)
def test_a_configuration_from_a_file_names_allowed_packages_only(mine, path):
    with pytest.raises(UserError, match=r"(?s)is outside the packages that a run's configuration may name.*trust="):
        instantiate({"_target_": path}, trusted=False)


def test_nested_targets_of_a_file_are_checked_too(mine):
    node = {"_target_": "medai_lab.errors.UserError", "args": [{"inner": {"_target_": "os.getcwd"}}]}
    with pytest.raises(UserError, match="os.getcwd is outside"):
        instantiate(node, trusted=False)


def test_a_package_that_the_user_names_is_allowed_and_no_more(mine):
    assert instantiate({"_target_": "mine.nets.Net"}, trusted=False, allow=["mine"]).kwargs == {}
    with pytest.raises(UserError, match="mine.nets.system, defined in posix"):
        import_target("mine.nets.system", trusted=False, allow=["mine"])
    with pytest.raises(UserError, match="is outside"):
        import_target("mine.nets.Net", trusted=False, allow=["min"])


def test_targets_are_found_at_any_depth():
    plain = {"a": {"_target_": "x.A", "b": [{"_target_": "x.B"}]}, "c": {"_target_": 3}}
    assert list(targets_in(plain)) == [("a._target_", "x.A"), ("a.b.0._target_", "x.B")]
