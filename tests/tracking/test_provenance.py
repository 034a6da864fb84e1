"""Where a run came from: complete, torch-free and without names and places."""

import getpass
import hashlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medai_lab.tracking import provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--initial-branch=trunk")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_collect_is_json_ready_and_says_what_matters() -> None:
    found = provenance.collect(["task=mri_cls", "optim.lr=1e-3"], seed=7)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["command"] == "python -m medai_lab task=mri_cls optim.lr=1e-3"
    assert found["seed"] == 7
    assert found["started"].endswith("+00:00")
    assert {"torch", "mlflow", "pytorch-lightning", "pandas", "numpy"} <= set(found["versions"])
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory_gib"] > 0.1


def test_collect_names_neither_user_nor_host_nor_home() -> None:
    text = json.dumps(provenance.collect([f"data.root={Path.home()}/scans"], seed=0))
    assert str(Path.home()) not in text
    assert f'"{getpass.getuser()}"' not in text
    assert socket.gethostname() not in text


@pytest.mark.parametrize(
    ("given_override", "kept"),
    [
        ("data.root=/home/anna/trial 7/x", "data.root=<path>"),
        ("data.root='/srv/a b',seed=1", "data.root='<path>',seed=1"),
        ("data.files=[/srv/a.csv,b.csv]", "data.files=[<path>,b.csv]"),
        ("data={root:/srv/a,seed:1}", "data={root:<path>,seed:1}"),
        ("data.root=~/scans", "data.root=<path>"),
        (r"data.root=C:\patients\anna", "data.root=<path>"),
        (r"data.root=\\server\share", "data.root=<path>"),
        ("tracking.uri=sqlite:////srv/anna/mlflow.db", "tracking.uri=sqlite:///<path>"),
        ("tracking.uri=sqlite:///outputs/mlflow.db", "tracking.uri=sqlite:///outputs/mlflow.db"),
        ("tracking.uri=https://anna:secret@mlflow.example.org/a", "tracking.uri=https://mlflow.example.org/a"),
        ("run=models:/mri@champion", "run=models:/mri@champion"),
        ("~callbacks.early_stopping", "~callbacks.early_stopping"),
        ("data.root=../scans", "data.root=../scans"),
        ("optim.lr=1e-3,3e-4", "optim.lr=1e-3,3e-4"),
    ],
)
def test_paths_and_credentials_are_hidden_and_the_rest_is_kept(given_override: str, kept: str) -> None:
    assert provenance._without_places(given_override) == kept


@given(
    parts=st.lists(st.from_regex(r"Q[a-z0-9 ._-]{2,8}Q", fullmatch=True), min_size=1, max_size=4),
    frame=st.sampled_from(["data.root={}", "data.root='{}'", "a=[x,{}]", "a={{b:{},c:1}}", "{}", "uri=file://{}"]),
)
def test_no_part_of_an_absolute_path_is_left(parts: list[str], frame: str) -> None:
    hidden = provenance._without_places(frame.format("/" + "/".join(parts)))
    assert "Q" not in hidden


def test_git_state_of_a_clean_and_of_a_changed_tree(repository: Path) -> None:
    clean = provenance.git_state(repository)
    assert clean is not None
    assert clean["commit"] == git(repository, "rev-parse", "HEAD").strip()
    assert (clean["branch"], clean["dirty"], clean["diff_sha256"]) == ("trunk", False, None)

    (repository / "code.py").write_text("a = 2\n")
    changed = provenance.git_state(repository)
    diff = git(repository, "diff", "HEAD", "--binary", "--no-color").encode()
    assert changed is not None
    assert changed["dirty"]
    assert changed["diff_sha256"] == hashlib.sha256(diff).hexdigest()


def test_an_untracked_file_makes_the_tree_dirty_and_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--detach")
    (repository / "new.py").write_text("b = 1\n")
    state = provenance.git_state(repository)
    assert state is not None
    assert (state["branch"], state["dirty"], state["diff_sha256"]) == (None, True, None)


def test_no_repository_no_commit_and_no_git_give_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    assert provenance.git_state(tmp_path / "plain") is None
    git(tmp_path, "init")
    assert provenance.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state(tmp_path) is None
    assert provenance.collect([], 0)["git"] is None


def test_mlflow_tags_are_texts_and_leave_out_what_is_unknown() -> None:
    found = provenance.collect(["task=x"], seed=3)
    tags = provenance.mlflow_tags(found)
    assert all(isinstance(value, str) and value for value in tags.values())
    assert (tags["medai.seed"], tags["medai.command"]) == ("3", "python -m medai_lab task=x")
    bare = provenance.mlflow_tags({**found, "git": None})
    assert not [name for name in bare if "git" in name]
    with_gpus = {**found, "machine": {**found["machine"], "gpus": ["A", "B"]}}
    assert provenance.mlflow_tags(with_gpus)["medai.gpus"] == "A, B"


def test_collect_imports_no_heavy_package_and_then_knows_no_gpus() -> None:
    code = (
        "import sys; from medai_lab.tracking.provenance import collect; print(collect([], 0)['machine']['gpus']);"
        "print([m for m in ('torch', 'mlflow', 'pandas', 'numpy', 'pytorch_lightning') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["None", "[]"]


def test_an_imported_torch_is_asked_for_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    assert provenance.collect([], 0)["machine"]["gpus"] == names
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    machine = provenance.collect([], 0)["machine"]
    assert (machine["gpus"], machine["cuda"]) == (["GPU 0", "GPU 1"], torch.version.cuda)
