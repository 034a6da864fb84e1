"""Which part of the package may import which."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "medai_lab"
BASE = {"errors", "files"}
ALLOWED = {
    "cohort": BASE,
    "evaluation": BASE | {"cohort"},
    "config": BASE,
    "tracking": BASE | {"cohort"},
    "learning": BASE | {"cohort", "evaluation", "config"},
    "mri": BASE | {"cohort", "learning", "config"},
    "reporting": BASE | {"cohort", "evaluation"},
    "deployment": BASE | {"cohort", "evaluation", "config", "learning", "tracking"},
}
LIBRARIES = {"numpy", "pandas", "scipy", "matplotlib"}  # matplotlib for figures, inside functions


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {
                f"{node.module}.{alias.name}" if node.module == "medai_lab" else node.module for alias in node.names
            }
    return names


def files_of(room: str) -> list[Path]:
    found = sorted((PACKAGE / room).rglob("*.py"))
    assert found, room
    return found


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_stands_on_its_floors_only(room):
    for path in files_of(room):
        used = {name.split(".")[1] for name in imports(path) if name.startswith("medai_lab.")}
        assert used <= ALLOWED[room] | {room}, (
            f"{path.relative_to(PACKAGE)} imports {sorted(used - ALLOWED[room] - {room})}"
        )


@pytest.mark.parametrize("room", ["cohort", "evaluation"])
def test_cohort_and_evaluation_stand_on_numpy_pandas_and_scipy(room):
    import sys

    for path in files_of(room):
        outside = {n.split(".")[0] for n in imports(path)} - set(sys.stdlib_module_names) - {"medai_lab"}
        assert outside <= LIBRARIES, f"{path.relative_to(PACKAGE)} imports {sorted(outside - LIBRARIES)}"


def test_nobody_imports_jobs_but_the_entrypoint():
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "jobs" and path.name != "app.py":
            assert not any(name.startswith("medai_lab.jobs") for name in imports(path)), path


def test_no_file_is_longer_than_350_lines():
    assert {p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 350} == {}
