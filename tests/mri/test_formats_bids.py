"""BIDS folders become cohorts; mistakes are explained."""

import logging

import pytest

from medai_lab.errors import UserError
from medai_lab.mri.formats import bids
from tests.mri.files import write_nifti


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join("\t".join(row.split()) for row in rows) + "\n")


def scan(root, name):
    """Write the scan of that BIDS name where it belongs."""
    sub, ses = name.split("_")[0], next((p for p in name.split("_") if p.startswith("ses-")), "")
    return write_nifti(root / sub / ses / "anat" / f"{name}.nii.gz")


def refused(*args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        bids(*args, **kwargs)
    return str(caught.value)


@pytest.fixture
def study(tmp_path):
    """Two plain subjects and one with two sessions."""
    for name in ("sub-01_T1w", "sub-02_T1w", "sub-03_ses-1_T1w", "sub-03_ses-2_T1w", "sub-03_ses-2_FLAIR"):
        scan(tmp_path, name)
    write(
        tmp_path / "participants.tsv",
        "participant_id age gender group centre",
        "sub-01 30 m CN X",
        "02 41.5 f AD Y",
        "sub-03 60 n/a CN n/a",
        "sub-04 70 f AD X",
    )
    write(tmp_path / "sub-03" / "sub-03_sessions.tsv", "session_id age group", "ses-1 60 CN", "ses-2 62 AD")
    return tmp_path


def test_subjects_and_sessions_are_records(study):
    cohort = bids(str(study), "group", ["T1w", "FLAIR"], positive="AD")
    table = cohort.table.set_index("record_id")
    assert list(table.index) == ["sub-01", "sub-02", "sub-03_ses-1", "sub-03_ses-2", "sub-04"]
    assert table["patient_id"].tolist() == ["sub-01", "sub-02", "sub-03", "sub-03", "sub-04"]
    assert cohort.target.classes == ("CN", "AD")
    assert table["group"].tolist() == ["CN", "AD", "CN", "AD", "AD"]
    assert table["age"].tolist() == [30, 41.5, 60, 62, 70]
    assert table["sex"].fillna("?").tolist() == ["M", "F", "?", "?", "F"] and "gender" in table
    assert table["site"].fillna("?").tolist() == ["X", "Y", "?", "?", "X"]
    assert table["input_T1w"].isna().tolist() == [False, False, False, False, True]
    assert table["input_FLAIR"].notna().tolist() == [False, False, False, True, False]
    assert table.loc["sub-03_ses-2", "input_FLAIR"].endswith("sub-03_ses-2_FLAIR.nii.gz")


def test_a_column_only_of_the_session_tables_can_be_the_target(study):
    write(study / "sub-03" / "sub-03_sessions.tsv", "session_id dx", "1 good", "ses-2 bad")
    (study / "participants.tsv").unlink()
    table = bids(str(study), "dx").table.set_index("record_id")
    assert table.loc["sub-03_ses-1", "dx"] == "good" and table["dx"].isna().sum() == 2


def test_a_label_table_of_its_own_wins(study):
    write(study / "phenotype" / "dx.tsv", "participant_id session_id group", "01 n/a AD", "sub-03 1 AD", "03 2 CN")
    table = bids(str(study), "group", label_table="phenotype/dx.tsv").table
    assert table["group"].tolist() == ["AD", "AD", "AD", "CN", "AD"]


def test_scans_without_a_table_can_be_predicted(study):
    (study / "participants.tsv").unlink()
    cohort = bids(str(study), None)
    assert cohort.target is None and len(cohort) == 4


def test_the_lowest_run_is_taken(tmp_path):
    for name in ("sub-01_run-10_T1w", "sub-01_run-2_T1w"):
        scan(tmp_path, name)
    assert bids(str(tmp_path), None).table["input_T1w"].iloc[0].endswith("run-2_T1w.nii.gz")


def test_of_several_acquisitions_the_first_is_taken_with_a_warning_unless_one_is_named(tmp_path, caplog):
    for name in ("sub-01_acq-space_run-1_T1w", "sub-01_acq-mprage_run-2_T1w", "sub-01_acq-mprage_run-1_T1w"):
        scan(tmp_path, name)
    with caplog.at_level(logging.WARNING):
        table = bids(str(tmp_path), None).table
    assert table["input_T1w"].iloc[0].endswith("acq-mprage_run-1_T1w.nii.gz")
    assert "1 records have several kinds of T1w" in caplog.text
    caplog.clear()
    named = bids(str(tmp_path), None, ["acq-space_T1w"]).table
    assert named["input_acq-space_T1w"].iloc[0].endswith("acq-space_run-1_T1w.nii.gz")
    assert not caplog.text


def test_uncompressed_scans_and_other_datatype_folders_are_found(tmp_path):
    write_nifti(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii")
    write_nifti(tmp_path / "sub-01" / "perf" / "sub-01_asl.nii.gz")
    assert bids(str(tmp_path), None, ["T1w", "asl"]).table.notna().all(axis=None)


def test_home_folder_is_expanded(study, monkeypatch):
    monkeypatch.setenv("HOME", str(study.parent))
    assert len(bids(f"~/{study.name}", "group")) == 5


def test_mistakes_are_explained(study):
    assert "no such folder" in refused(str(study / "none"), "group")
    assert "expected folders named sub-XX" in refused(str(study / "sub-01"), "group")
    assert "Did you mean 'group'" in refused(str(study), "groop")
    message = refused(str(study), "group", ["T1"])
    assert "sub-*_T1.nii[.gz]" in message and "['FLAIR', 'T1w']" in message and "Did you mean 'T1w'" in message
    assert "no such file" in refused(str(study), "group", label_table="none.tsv")
    write(study / "participants.tsv", "participant_id group", "sub-01 CN", "01 AD")
    assert "'sub-01' stands there more than once" in refused(str(study), "group")
    write(study / "participants.tsv", "subject group", "sub-01 CN")
    assert "no column 'participant_id'" in refused(str(study), "group")
    (study / "participants.tsv").unlink()
    (study / "sub-03" / "sub-03_sessions.tsv").unlink()
    assert "no participants.tsv" in refused(str(study), "group")


def test_content_that_was_not_fetched_is_pointed_out(tmp_path):
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz").symlink_to(tmp_path / ".git" / "annex" / "x")
    assert "datalad get" in refused(str(tmp_path), None)


@pytest.mark.realdata
def test_real_bids(shared_data):
    cohort = bids(str(shared_data / "brain_mri_bids"), "group", positive="depr")
    table = cohort.table
    assert len(cohort) == 24 and cohort.target.classes == ("control", "depr")
    assert table["group"].value_counts().to_dict() == {"control": 12, "depr": 12}
    assert table["sex"].value_counts().to_dict() == {"F": 14, "M": 10} and "gender" in table
    assert table["age"].between(18, 80).all() and table["input_T1w"].notna().all()
    assert bids(str(shared_data / "brain_mri_bids"), "age").target.kind == "regression"
