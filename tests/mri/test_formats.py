"""Folders in the layouts in which MRI data come become cohorts; mistakes are explained."""

import logging
from pathlib import Path

import numpy as np
import pytest

from medai_lab.errors import UserError
from medai_lab.mri.formats import csv, dicom, folders, medmnist
from medai_lab.mri.formats_tables import read_table
from medai_lab.mri.volumes import read_volume
from tests.mri.files import some_volume, write_nifti, write_series


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def refused(reader, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        reader(*args, **kwargs)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------- tables


def test_tables_of_every_separator_and_encoding_are_read(tmp_path):
    expected = {"id": "1", "group": "älter", "score": "0.5"}
    for name, text, encoding in [
        ("comma.csv", "id,group,score\n1,älter,0.5\n", "utf-8-sig"),
        ("semicolon.csv", "id;group;score\r\n1; älter ;0,5\r\n", "cp1252"),
        ("tab.tsv", "id\tgroup\tscore\n1\tälter\t0.5\n", "utf-8"),
        ("excel.csv", "id\tgroup\tscore\n1\tälter\t0.5\n", "utf-16"),
        ("quoted.csv", '"id","group","score"\n\n1,"älter",0.5,,\n\n', "utf-8"),
    ]:
        table = read_table(write(tmp_path / name, text, encoding))
        assert table.to_dict("records") == [expected], name


@pytest.mark.parametrize("cell", ["", " ", "n/a", "N/A", "NA", "nan", "NaN"])
def test_missing_values_are_recognised(tmp_path, cell):
    table = read_table(write(tmp_path / "x.csv", f"a,b\n{cell},1\n"))
    assert table["a"].isna().all() and table["b"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a,b,a\n1,2,3\n", "['a'] stand more than once"), ("", "empty"), ("a,b\n1,2,3\n", "record 1 has 3 values for 2")],
)
def test_ambiguous_tables_are_refused(tmp_path, text, reason):
    assert reason in refused(read_table, write(tmp_path / "x.csv", text))


def test_missing_tables_and_excel_files_are_refused(tmp_path):
    assert "no such file" in refused(read_table, tmp_path / "x.csv")
    assert "save the sheet as CSV" in refused(read_table, write(tmp_path / "x.xlsx", "PK"))


# ------------------------------------------------------------------------------------------------- csv


@pytest.fixture
def scans(tmp_path):
    """A table of 12 scans of 6 patients, with the files, beside it."""
    rows = ["scan_id,Subject ID,path,flair,dx,Age,PTGENDER,Site,split,score,grade"]
    for i in range(12):
        write_nifti(tmp_path / "nii" / f"{i}.nii.gz")
        dx = "AD" if i % 3 else "CN"
        split = "Training" if i < 8 else "test"
        rows.append(f"s{i},p{i // 2},nii/{i}.nii.gz,nii/{i}.nii.gz,{dx},{50 + i},Female,A,{split},{i / 2},{i % 2}.0")
    write(tmp_path / "scans.csv", "\n".join(rows))
    return tmp_path


def test_csv_picks_up_columns_by_name(scans):
    cohort = csv(str(scans), "scans.csv", {"T1w": "path", "FLAIR": "flair"}, "dx", positive="AD")
    assert cohort.inputs == ("T1w", "FLAIR")
    assert cohort.target.classes == ("CN", "AD")
    first = cohort.table.iloc[0]
    assert (first["record_id"], first["patient_id"], first["split"], first["sex"]) == ("s0", "p0", "train", "F")
    assert first["age"] == 50.0 and first["site"] == "A" and first["PTGENDER"] == "Female"
    assert read_volume(first["input_FLAIR"]).data.shape == (6, 5, 4)


@pytest.mark.parametrize(
    ("target", "kind", "expected"),
    [
        ("score", "auto", "regression"),
        ("score", "classes", "multiclass"),
        ("grade", "auto", "binary"),
        ("grade", "regression", "regression"),
    ],
)
def test_kind_of_target(scans, target, kind, expected):
    cohort = csv(str(scans), "scans.csv", ["path"], target, target_kind=kind)
    assert cohort.target.kind == expected
    if expected == "regression":
        assert cohort.table[target].dtype == np.float64
    elif target == "grade":
        assert cohort.target.classes == ("0", "1")


def test_csv_without_target_reads_new_scans(scans):
    assert csv(str(scans), "scans.csv", ["path"], None).target is None


def test_csv_mistakes_are_explained(scans):
    where = str(scans), "scans.csv"
    assert "Did you mean 'dx'" in refused(csv, *where, ["path"], "dxx")
    assert "Did you mean 'path'" in refused(csv, *where, ["paht"], "dx")
    assert "Did you mean 'scan_id'" in refused(csv, *where, ["path"], "dx", record="scanid")
    assert "no column 'who'" in refused(csv, *where, ["path"], "dx", patient="who")
    assert "Did you mean 'regression'" in refused(csv, *where, ["path"], "dx", target_kind="regresion")
    assert "record 's0' has 'CN'" in refused(csv, *where, ["path"], "dx", target_kind="regression")
    assert "no meaning for the quantity" in refused(csv, *where, ["path"], "score", positive="3")
    assert "['AD', 'CN']" in refused(csv, *where, ["path"], "dx", positive="MCI")
    assert "each only once" in refused(csv, *where, ["path", "path"], "dx")
    assert "no such file" in refused(csv, str(scans), "other.csv", ["path"], "dx")
    assert f"data.root={scans}/none: no such folder" in refused(csv, f"{scans}/none", "scans.csv", ["path"], "dx")


def test_missing_labels_and_files_are_kept_for_a_later_step(tmp_path, caplog):
    write_nifti(tmp_path / "a.nii")
    write(
        tmp_path / "x.csv", "id,record,path,dx\n1,r1,a.nii,AD\n2,r2,b.nii,CN\n3,r3,,AD\n4,r4,a.nii,n/a\n5,r5,a.nii,CN\n"
    )
    with caplog.at_level(logging.WARNING):
        table = csv(str(tmp_path), "x.csv", ["path"], "dx").table
    assert table["input_path"].isna().tolist() == [False, True, True, False, False]
    assert table["dx"].isna().tolist() == [False, False, False, True, False]
    assert "1 of 5 files of column 'path' are not there" in caplog.text
    assert "splits will be by record" in caplog.text


def test_records_without_a_name_are_called_by_their_path(tmp_path):
    write_nifti(tmp_path / "sub" / "a.nii.gz")
    write(tmp_path / "x.csv", "path,dx\nsub/a.nii.gz,AD\n,CN\n")
    assert csv(str(tmp_path), "x.csv", ["path"], "dx").table["record_id"].tolist() == ["sub/a", "row_2"]


def test_paths_are_looked_for_beside_the_table_then_in_the_root(tmp_path):
    write_nifti(tmp_path / "scans" / "a.nii")
    (tmp_path / "tables").mkdir()
    np.savez(tmp_path / "tables" / "b.npz", x=np.stack([some_volume()]))
    absolute = write_nifti(tmp_path / "else" / "c.nii")
    write(tmp_path / "tables" / "x.csv", f"record,path,dx\n1,scans/a.nii,A\n2,b.npz#x/0,B\n3,{absolute},B\n")
    table = csv(str(tmp_path), "tables/x.csv", ["path"], "dx").table
    assert [read_volume(s).data.shape for s in table["input_path"]] == [(6, 5, 4)] * 3


def test_a_column_of_paths_that_all_lead_nowhere_is_refused(tmp_path):
    write(tmp_path / "x.csv", "record,path,dx\n1,a.nii,A\n2,b.nii,B\n")
    assert "the first, 'a.nii', is not there" in refused(csv, str(tmp_path), "x.csv", ["path"], "dx")


@pytest.mark.parametrize(
    ("written", "years"), [("63", 63), ("63.5", 63.5), ("063Y", 63), ("018M", 1.5), ("90+", 90), ("old", None)]
)
def test_ages_are_read_as_tables_and_dicom_write_them(tmp_path, written, years):
    write_nifti(tmp_path / "a.nii")
    write(tmp_path / "x.csv", f"record,path,age\n1,a.nii,{written}\n")
    age = csv(str(tmp_path), "x.csv", ["path"], None).table["age"].iloc[0]
    assert np.isnan(age) if years is None else age == years


def test_sex_is_brought_to_f_and_m_unless_it_is_the_target(tmp_path):
    write_nifti(tmp_path / "a.nii")
    write(tmp_path / "x.csv", "record,path,sex\n1,a.nii,male\n2,a.nii,Female\n3,a.nii,unknown\n")
    table = csv(str(tmp_path), "x.csv", ["path"], None).table
    assert table["sex"].fillna("?").tolist() == ["M", "F", "?"]
    assert csv(str(tmp_path), "x.csv", ["path"], "sex").target.classes == ("Female", "male", "unknown")


# --------------------------------------------------------------------------------------------- folders


def test_folders_of_classes_with_nifti_and_dicom(tmp_path, caplog):
    write_nifti(tmp_path / "AD" / "sub-01_ses-1_T1w.nii.gz")
    write_nifti(tmp_path / "AD" / "sub-01_ses-2_T1w.nii.gz")
    write_nifti(tmp_path / "CN" / "x.nii")
    write_series(tmp_path / "CN" / "case7" / "scan1", PatientID="P7")
    (tmp_path / ".cache").mkdir()
    table = folders(str(tmp_path), positive="AD").table.set_index("record_id")
    assert table["patient_id"].to_dict() == {
        "AD/sub-01_ses-1_T1w": "sub-01",
        "AD/sub-01_ses-2_T1w": "sub-01",
        "CN/x": "CN/x",
        "CN/case7/scan1": "P7",
    }
    assert table.loc["CN/case7/scan1", "class"] == "CN"
    assert all(read_volume(s).data.shape == (6, 5, 4) for s in table["input_image"])
    assert folders(str(tmp_path), positive="AD").target.classes == ("CN", "AD")


def test_folders_mistakes_are_explained(tmp_path):
    assert "no such folder" in refused(folders, str(tmp_path / "none"))
    assert "no scan was found in 0 folder(s)" in refused(folders, str(tmp_path))
    write_nifti(tmp_path / "AD" / "x.nii")
    assert "holds 1 class(es) ['AD']" in refused(folders, str(tmp_path))
    write_series(tmp_path / "CN")
    assert "put each series in a folder" in refused(folders, str(tmp_path))


# ----------------------------------------------------------------------------------------------- dicom


@pytest.fixture
def tree(tmp_path):
    """Three patients with a series in a folder of its own each, the second with two series in one folder."""
    write_series(tmp_path / "a", PatientID="01", StudyInstanceUID="1.1", SeriesInstanceUID="1.1.1", PatientSex="F")
    write_series(tmp_path / "b", PatientID="02", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1", PatientAge="042Y")
    write_series(tmp_path / "b" / "more", PatientID="02", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.2")
    write_series(tmp_path / "c" / "d", PatientID="03", StudyInstanceUID="1.3", SeriesInstanceUID="1.3.1")
    write(tmp_path / "c" / "README", "no image")
    return tmp_path


def test_dicom_tree_is_one_record_a_series(tree):
    table = dicom(str(tree), None, None).table.set_index("record_id")
    assert table["patient_id"].to_dict() == {"1.1.1": "01", "1.2.1": "02", "1.2.2": "02", "1.3.1": "03"}
    assert table.loc["1.2.1", "input_image"] == f"{tree / 'b'}#1.2.1"
    assert table.loc["1.2.2", "input_image"] == str(tree / "b" / "more")
    assert table.loc["1.2.1", "age"] == 42.0 and table.loc["1.1.1", "sex"] == "F"
    assert all(read_volume(s).data.shape == (6, 5, 4) for s in table["input_image"])


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        ("PatientID", ["01", "02", "03"], ["A", "B", "B", "C"]),
        ("patient_id", ["01", "02", "03"], ["A", "B", "B", "C"]),
        ("Study Instance UID", ["1.1", "1.2", "1.3"], ["A", "B", "B", "C"]),
        ("SeriesInstanceUID", ["1.1.1", "1.2.1", "1.3.1"], ["A", "B", None, "C"]),
    ],
)
def test_labels_are_joined_by_whichever_key_the_table_has(tree, header, rows, expected):
    text = "\n".join([f"{header},dx", *(f"{k},{v}" for k, v in zip(rows, "ABC", strict=True))])
    write(tree / "labels.csv", text)
    table = dicom(str(tree), "labels.csv", "dx").table
    assert [None if v != v else v for v in table["dx"]] == expected
    assert table["patient_id"].tolist() == ["01", "02", "02", "03"]


def test_the_label_table_wins_over_the_headers(tree):
    write(tree / "labels.csv", "PatientID,dx,Sex,age\n01,A,M,50\n02,B,F,60\n03,A,M,70\n")
    table = dicom(str(tree), "labels.csv", "dx").table
    assert table["sex"].tolist() == ["M", "F", "F", "M"] and table["age"].tolist() == [50, 60, 60, 70]


def test_dicom_label_mistakes_are_explained(tree):
    write(tree / "labels.csv", "PatientID,dx\n07,A\n08,B\n")
    message = refused(dicom, str(tree), "labels.csv", "dx")
    assert "['PatientID'] belongs to any of the 4 series" in message and "07" not in message
    assert "allowed are auto" in refused(dicom, str(tree), "labels.csv", "dx", key="Patient")
    assert "no column 'SeriesInstanceUID'" in refused(dicom, str(tree), "labels.csv", "dx", key="SeriesInstanceUID")
    write(tree / "labels.csv", "who,dx\n01,A\n")
    assert "must have one of" in refused(dicom, str(tree), "labels.csv", "dx")
    write(tree / "labels.csv", "PatientID,dx\n01,A\n02,B\n01,B\n")
    assert "record 3 repeats the PatientID" in refused(dicom, str(tree), "labels.csv", "dx")
    write(tree / "labels.csv", "PatientID,dx\n01,A\n02,B\n")
    assert "Did you mean 'dx'" in refused(dicom, str(tree), "labels.csv", "dxx")
    assert "no such file" in refused(dicom, str(tree), "label.csv", "dx")
    assert "needs labels" in refused(dicom, str(tree), None, "dx")
    (tree / "empty").mkdir()
    assert "no DICOM image among 0 files" in refused(dicom, str(tree / "empty"), None, None)


def test_a_damaged_file_leaves_the_rest_of_the_tree_readable(tree, caplog):
    write(tree / "b" / "broken.dcm", "not dicom")
    with caplog.at_level(logging.WARNING):
        assert len(dicom(str(tree), None, None)) == 4
    assert "1 DICOM files cannot be read" in caplog.text


def test_a_blanked_patient_id_is_pointed_out_without_showing_it(tmp_path, caplog):
    for i in range(3):
        write_series(tmp_path / str(i), PatientID="ANON", StudyInstanceUID=f"1.{i}", SeriesInstanceUID=f"1.{i}.1")
    with caplog.at_level(logging.WARNING):
        dicom(str(tmp_path), None, None)
    assert "all 3 series carry the same PatientID" in caplog.text and "ANON" not in caplog.text


# -------------------------------------------------------------------------------------------- medmnist


def write_medmnist(path: Path, shape=(4, 4, 4), classes=2, **changed) -> Path:
    arrays = {}
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = np.zeros((count, *shape), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % classes)[:, None].astype(np.uint8)
    np.savez_compressed(path, **(arrays | changed))
    return path


def test_medmnist_keeps_the_official_split_and_the_order_of_classes(tmp_path):
    write_medmnist(tmp_path / "adrenalmnist3d_64.npz")
    cohort = medmnist(str(tmp_path), "adrenalmnist3d_64")
    assert cohort.table["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 3}
    assert cohort.target.classes == ("normal", "hyperplasia")
    assert cohort.table["record_id"].iloc[7] == "val_00001"
    assert cohort.table["input_image"].iloc[7] == f"{tmp_path / 'adrenalmnist3d_64.npz'}#val_images/1"
    assert medmnist(str(tmp_path), "adrenalmnist3d_64", positive="normal").target.classes == ("hyperplasia", "normal")


def test_medmnist_sets_without_known_names_have_numbered_classes(tmp_path):
    write_medmnist(tmp_path / "newmnist3d.npz")
    assert medmnist(str(tmp_path), "newmnist3d").target.classes == ("0", "1")
    write_medmnist(tmp_path / "fracturemnist3d.npz", classes=3)
    assert medmnist(str(tmp_path), "fracturemnist3d").target.classes[0] == "buckle rib fracture"


def test_medmnist_mistakes_are_explained(tmp_path):
    write_medmnist(tmp_path / "pathmnist.npz", shape=(28, 28, 3))
    message = refused(medmnist, str(tmp_path), "pathmnist")
    assert message == "pathmnist holds 2D images of 28x28; task=cxr_cls reads those (data=medmnist)."
    assert "Did you mean 'pathmnist'" in refused(medmnist, str(tmp_path), "pathmnst")
    write_medmnist(tmp_path / "x.npz", val_labels=np.zeros((5, 1)))
    assert "do not fit" in refused(medmnist, str(tmp_path), "x")
    np.savez(tmp_path / "y.npz", train_images=np.zeros((2, 4, 4, 4)))
    assert "train_labels" in refused(medmnist, str(tmp_path), "y")
    write(tmp_path / "z.npz", "no archive")
    assert "not a readable NumPy archive" in refused(medmnist, str(tmp_path), "z")


# ----------------------------------------------------------------------------------------------- real


@pytest.mark.realdata
def test_real_medmnist(shared_data):
    cohort = medmnist(str(shared_data / "medmnist"), "adrenalmnist3d")
    assert cohort.table["split"].value_counts().to_dict() == {"train": 1188, "val": 98, "test": 298}
    assert read_volume(cohort.table["input_image"].iloc[-1]).data.shape == (28, 28, 28)
    message = refused(medmnist, str(shared_data / "medmnist"), "pneumoniamnist")
    assert "pneumoniamnist holds 2D images of 28x28; task=cxr_cls" in message


@pytest.mark.realdata
def test_real_dicom_series(shared_data):
    table = dicom(str(shared_data / "mr_dicom_series"), None, None).table
    assert len(table) == 1 and table["patient_id"].iloc[0] == "02" and table["sex"].iloc[0] == "F"
