"""Scans as batches, and what happens to scans that are no use."""

import gzip

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.target import TargetSpec
from medai_lab.config.schema import Config
from medai_lab.config.search import conf_folder
from medai_lab.errors import UserError
from medai_lab.mri.datamodule import MriDataModule


def settings(tmp_path, *overrides: str):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        composed = compose(
            "config", ["model=small_cnn_3d", f"data.cache={tmp_path / 'cache'}", "data.size=12", *overrides]
        )
    return Config.from_plain(OmegaConf.to_container(composed, resolve=True)).data


def scan(path, seed=0, spacing=2.0, fill=None):
    data = np.random.default_rng(seed).normal(100, 20, (14, 14, 14)).astype(np.float32)
    data[:2] = 0
    if fill is not None:
        data = fill(data)
    nib.Nifti1Image(data, np.diag([spacing, spacing, spacing, 1.0])).to_filename(path)
    return str(path)


def cohort_of(sources) -> Cohort:
    n = len(sources)
    table = pd.DataFrame({"record_id": [f"r{i}" for i in range(n)], "patient_id": [f"p{i}" for i in range(n)]})
    table = table.assign(input_T1w=sources, group=["ab"[i % 2] for i in range(n)], split="train")
    return Cohort(table, ("T1w",), TargetSpec("binary", ("group",), ("a", "b")), "made")


def datamodule(cohort, data) -> MriDataModule:
    return MriDataModule(cohort, MriDataModule.fit(cohort, data), data, seed=0)


def with_nan(data):
    data[3, 3, 3] = np.nan
    return data


@pytest.fixture
def mixed(tmp_path):
    """Two good scans and one of every kind that cannot be used; the reasons to expect."""
    good = [scan(tmp_path / f"good{i}.nii.gz", i) for i in range(2)]
    whole = (tmp_path / "good0.nii.gz").read_bytes()
    (tmp_path / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "nogzip.nii.gz").write_bytes(b"no gzip at all")
    (tmp_path / "short.nii").write_bytes(gzip.decompress(whole)[:2000])
    bad = {
        str(tmp_path / "truncated.nii.gz"): "truncated.nii.gz",
        str(tmp_path / "nogzip.nii.gz"): "nogzip.nii.gz",
        str(tmp_path / "short.nii"): "short.nii",
        str(tmp_path / "absent.nii.gz"): "absent.nii.gz",
        scan(tmp_path / "nan.nii.gz", fill=with_nan): "nan.nii.gz",
        scan(tmp_path / "constant.nii.gz", fill=lambda d: d * 0 + 3): "constant.nii.gz",
        scan(tmp_path / "fourd.nii.gz", fill=lambda d: np.stack([d, d], -1)): "4",
    }
    return [*good, *bad], list(bad.values())


def test_useless_scans_are_set_aside_with_their_reasons(mixed, tmp_path):
    sources, words = mixed
    data = datamodule(cohort_of(sources), settings(tmp_path))
    excluded = data.prepare()
    assert data.cohort.table["record_id"].tolist() == ["r0", "r1"]
    assert excluded["record_id"].tolist() == [f"r{i}" for i in range(2, 9)]
    assert all(word in reason for word, reason in zip(words, excluded["reason"], strict=True)), list(excluded["reason"])
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2
    assert list((tmp_path / "cache").rglob("*.tmp")) == []


def test_on_error_raise_stops_and_names_the_record(mixed, tmp_path):
    with pytest.raises(UserError, match="Record 'r2'.*truncated"):
        datamodule(cohort_of(mixed[0]), settings(tmp_path, "data.on_error=raise")).prepare()


def test_nothing_but_useless_scans_is_an_error(mixed, tmp_path):
    with pytest.raises(UserError, match="None of the 3 records"):
        datamodule(cohort_of(mixed[0][2:5]), settings(tmp_path)).prepare()


def test_a_changed_file_or_setting_never_meets_an_old_entry(tmp_path):
    cohort = cohort_of([scan(tmp_path / "a.nii.gz", 0), scan(tmp_path / "b.nii.gz", 1)])

    def entries(*overrides):
        data = datamodule(cohort, settings(tmp_path, *overrides))
        data.prepare()
        return {record: entry.path for record, entry in data.entries.items()}

    first = entries()
    assert entries() == first
    assert set(entries("data.size=10").values()).isdisjoint(first.values())
    scan(tmp_path / "a.nii.gz", 5)
    changed = entries()
    assert changed["r0"] != first["r0"]
    assert changed["r1"] == first["r1"]


def test_equal_voxels_have_equal_content_whatever_the_file(tmp_path):
    one = scan(tmp_path / "a.nii.gz", 0)
    two = scan(tmp_path / "b.nii", 0)
    data = datamodule(cohort_of([one, two]), settings(tmp_path))
    data.prepare()
    assert data.cohort.table["content"].nunique() == 1


def test_automatic_spacing_is_the_training_median(tmp_path):
    spacings = (1.0, 2.0, 4.0)
    cohort = cohort_of([scan(tmp_path / f"{s}.nii.gz", spacing=s) for s in spacings])
    assert MriDataModule.fit(cohort, settings(tmp_path, "data.spacing=auto"))["spacing"] == [2.0, 2.0, 2.0]


def test_batches_hold_inputs_target_and_ids(tmp_path):
    cohort = cohort_of([scan(tmp_path / f"{i}.nii.gz", i) for i in range(5)])
    data = datamodule(cohort, settings(tmp_path, "data.batch_size=2"))
    data.prepare()
    batches = list(data.train_dataloader())
    assert [len(b["record_id"]) for b in batches] == [2, 2, 1]
    assert batches[0]["inputs"]["image"].shape == (2, 1, 12, 12, 12)
    assert batches[0]["target"].shape == (2, 1)
    assert data.example(3)["image"].shape == (3, 1, 12, 12, 12)
    truth = {r: float(t) for b in batches for r, t in zip(b["record_id"], b["target"], strict=True)}
    assert truth == {"r0": 0.0, "r1": 1.0, "r2": 0.0, "r3": 1.0, "r4": 0.0}


def test_a_picture_is_an_image(tmp_path):
    data = datamodule(cohort_of([scan(tmp_path / "a.nii.gz"), scan(tmp_path / "b.nii.gz", 1)]), settings(tmp_path))
    data.prepare()
    picture = data.picture("r0")
    assert picture.ndim == 2
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert isinstance(data.to_compute({"image": torch.zeros(1, dtype=torch.float16)})["image"], torch.FloatTensor)
