"""Where a run came from: code, versions, machine and command, with no names and no places of data in it."""

import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import medai_lab

GIT_SECONDS = 10
TORCH_STACK = ("torch", "torchvision", "torchmetrics", "lightning-utilities", "safetensors", "triton")
ABSOLUTE_PATH = re.compile(
    r"""
    (?: (?<![^=,\[{'"\s]) (?: /+ | ~\w*/ | [A-Za-z]:[\\/] | \\\\ )  # where a value begins: /, ~/, ~name/, C:/, UNC
      | (?<=:) (?<!=models:) (?<!=runs:) /(?!/)  # a value in a mapping, but not MLflow's names of models and runs
      | (?<=file://) / | (?<=sqlite:///) /  # in a URI; a path after only three slashes of sqlite is relative
    )
    [^'",\[\]{}]*  # to the end of the value, blanks and all
    """,
    re.VERBOSE,
)


def collect(overrides: list[str], seed: int) -> dict[str, Any]:
    """Describe this process, ready for JSON.

    Left out on purpose are user and host names and environment variables; absolute paths in the overrides become
    `<path>`, because a folder's name may hold a patient's or an employee's, and credentials in a URL are dropped.

    Args:
        overrides: the command-line overrides, e.g. `["task=mri_cls", "optim.lr=1e-3"]`.
        seed: the run's seed.

    Returns:
        `command`, `started` (UTC, ISO 8601), `seed`, `medai_lab` (version), `python`, `versions` (distribution to
        version), `machine` (`os`, `cpu`, `cores`, `memory_gib`, `gpus`, `cuda`) and `git` (see `git_state`).
        `gpus` and `cuda` are None where torch was not imported before.
    """
    return {
        "command": shlex.join(["python", "-m", "medai_lab", *map(_without_places, overrides)]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "medai_lab": medai_lab.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": _versions(),
        "machine": {
            "os": platform.platform(),
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_gib": _memory_gib(),
            **_accelerators(),
        },
        "git": git_state(_code_folder()),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Describe the git work tree that holds `folder`; None without git, a repository or a first commit.

    Returns:
        `commit`, `branch` (None on a detached head), `dirty` (changed or untracked files) and `diff_sha256`, the
        SHA-256 of `git diff HEAD` over tracked files (None where that is empty).
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    status = _git(folder, "status", "--porcelain")
    diff = _git(folder, "diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv")
    if commit is None or status is None or diff is None:
        return None
    branch = _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD")
    return {
        "commit": commit.decode().strip(),
        "branch": branch.decode(errors="replace").strip() if branch else None,
        "dirty": bool(status.strip()),
        "diff_sha256": hashlib.sha256(diff).hexdigest() if diff else None,
    }


def mlflow_tags(provenance: dict[str, Any]) -> dict[str, str]:
    """Return the tags by which runs are found and told apart in MLflow; what is unknown has no tag."""
    git, machine = provenance["git"] or {}, provenance["machine"]
    tags = {
        "mlflow.source.name": "medai_lab",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git.get("commit"),
        "mlflow.source.git.branch": git.get("branch"),
        "medai.git_dirty": str(git["dirty"]).lower() if git else None,
        "medai.git_diff_sha256": git.get("diff_sha256"),
        "medai.command": provenance["command"],
        "medai.seed": str(provenance["seed"]),
        "medai.version": provenance["medai_lab"],
        "medai.python": provenance["python"],
        "medai.torch": provenance["versions"].get("torch"),
        "medai.cpu": machine["cpu"],
        "medai.gpus": ", ".join(machine["gpus"]) if machine["gpus"] else None,
    }
    return {name: value for name, value in tags.items() if value is not None}


def _without_places(override: str) -> str:
    """`override` without absolute paths and without credentials in URLs."""
    return ABSOLUTE_PATH.sub("<path>", re.sub(r"(?<=://)[^/@\s]+@", "", override))


def _versions() -> dict[str, str]:
    """Versions of medai_lab's direct dependencies and of the torch stack, as far as installed."""
    try:
        requirements = metadata.requires("medai-lab") or []
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        requirements = []
    direct = (re.split(r"[^\w.\-]", requirement, maxsplit=1)[0] for requirement in requirements)
    names = sorted({*direct, *TORCH_STACK}, key=str.lower)
    return {name: version for name in names if (version := _version(name)) is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _accelerators() -> dict[str, Any]:
    """Names of the GPUs and the CUDA version, asked only of a torch that is imported already."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {"gpus": None, "cuda": None}
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {"gpus": [torch.cuda.get_device_name(index) for index in range(count)], "cuda": torch.version.cuda}


def _code_folder() -> Path:
    """The package's folder if git tracks it, as in a checkout; else the working directory with the user's own code."""
    package = Path(medai_lab.__file__).parent
    return package if _git(package, "ls-files", "--error-unmatch", "__init__.py") else Path.cwd()


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Output of a git command that changes nothing and starts no program named by the repository; None if it fails."""
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
