"""The wheel that users install."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_carries_its_configuration_and_works_from_anywhere(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    unpacked = tmp_path / "installed"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
    ours = {p.relative_to(ROOT) for p in (ROOT / "conf").rglob("*.yaml") if "local" not in p.parts}
    assert {p.relative_to(unpacked / "medai_lab") for p in unpacked.rglob("*.yaml")} == ours
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = "import medai_lab.__main__ as m, sys; print(m.__file__); sys.exit(m.main(['task=mri_cls', '--cfg', 'job']))"
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    shown = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(str(unpacked))
    assert "name: mri_cls" in shown.stdout
