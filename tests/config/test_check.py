"""What a user reads about a wrong command line, before anything heavy is imported."""

import pytest

MRI_MODELS = "auto, densenet121_3d, efficientnet_b0_3d, resnet10_3d, resnet18_3d, resnet50_3d, small_cnn_3d"


def test_the_default_has_no_mistakes(mistakes):
    assert mistakes() == ""
    assert (
        mistakes("data.channels.0=FLAIR", "trainer={max_epochs: 3}", "callbacks=none", "+callbacks.x._target_=a.B")
        == ""
    )
    assert (
        mistakes(
            "task=mri_cls", "trainer.gpus=1", "optim=sgd", "debug=fast", "+model.net.act=relu", "model=resnet10_3d"
        )
        == ""
    )


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("trainer.gpus=[0", ["trainer.gpus=[0", "cannot be read"]),
        ("task.operating_point=sensitivity>=0.9", ["quote it: 'task.operating_point=\"sensitivity>=0.9\"'"]),
        ("trainer.gpus", ["is no setting", "write key=value"]),
        ("model=resnet18", ["unknown option of 'model'", "Did you mean 'resnet18_3d'?", f"allowed: {MRI_MODELS}"]),
        ("model=5", ["model=5", f"allowed: {MRI_MODELS}"]),
        ("experiment=null", ["null is no option", "~experiment", "allowed: adrenalmnist3d"]),
        ("+optim=sgd", ["write optim=sgd without the +"]),
        ("++optim=sgd", ["write optim=sgd"]),
        ("hydra/launcher=joblib", ["unknown option of 'hydra/launcher'", "allowed: basic"]),
        ("model@net=auto", ["model@net=auto", "Could not override 'model@net'"]),
        ("=", ["=\n  is no setting"]),
        ("trainer={max_epoch: 5}", ["trainer.max_epoch\n", "Did you mean 'trainer.max_epochs'?"]),
        ("data.channels.1=T2w", ["data.channels.1=T2w"]),
        ("foo@bar=1", ["there is no group 'foo'"]),
        ("trainr.gpus=1", ["unknown key. Did you mean 'trainer.gpus'?"]),
        ("modle=auto", ["unknown key. Did you mean 'model'?"]),
        ("gpus=1", ["Did you mean 'trainer.gpus'?", "allowed: callbacks, ckpt, data"]),
        ("gpu=1", ["Did you mean 'trainer.gpus'?"]),
        ("lr=0.1", ["Did you mean 'optim.lr'?"]),
        ("+lr=0.1", ["lr=0.1", "Did you mean 'optim.lr'?"]),
        ("trainer.max_epoch=5", ["trainer.max_epoch=5", "Did you mean 'trainer.max_epochs'?", "allowed: accumulate, "]),
        ("+trainer.max_epoch=5", ["unknown key. Did you mean 'trainer.max_epochs'?"]),
        ("++trainer.max_epoch=5", ["unknown key. Did you mean 'trainer.max_epochs'?"]),
        ("+trainer.gpus=1", ["is there already: write trainer.gpus=1 without the +"]),
        ("~trainer.max_epoch", ["unknown key. Did you mean 'trainer.max_epochs'?"]),
        ("~trainer.max_epochs", ["trainer.max_epochs", "is missing"]),
        ("trainer.gpus.first=1", ["'trainer.gpus' is a value and has no keys below it"]),
        ("optim.momentum=0.9", ["added with +optim.momentum=0.9"]),
        ("+job.folds=5", ["job.folds=5", "allowed: _target_, replicates"]),
        ("hydra.run.dri=x", ["Did you mean 'hydra.run.dir'?"]),
        ("model.net.width=8", ["name the model", "allowed: densenet121_3d, "]),
        ("model.cpu=small_cnn", ["Did you mean 'small_cnn_3d'?"]),
        ("trainer.gpus=1,2", ["several values: add -m", "[a,b]"]),
        ("data.root=${data.rot}", ["there is no key 'data.rot'. Did you mean 'data.root'?", "on the command line"]),
        ("name=${oc.env:NO_SUCH_NAME}", ["Environment variable 'NO_SUCH_NAME' not found", "on the command line"]),
        ("ckpt.init=weights.ckpt", ["ckpt.init=weights.ckpt", "no such file"]),
        ("run=last", ["job=evaluate and job=predict", "resume="]),
        ("output=table.xlsx", ["allowed: .csv or .parquet"]),
        ("paths.outputs=/dev/null/x", ["nothing can be written there: /dev/null is a file"]),
        ("hydra.searchpath=[file:///no/such/folder]", ["hydra.searchpath=/no/such/folder", "no such folder"]),
    ],
)  # fmt: skip
def test_one_wrong_override_is_told(mistakes, override, wanted):
    told = mistakes(override)
    assert told.startswith("1 mistake in the configuration:\n"), told
    assert [w for w in wanted if w not in told] == [], told


def test_all_mistakes_are_told_at_once(mistakes):
    told = mistakes(
        "trainer.max_epochs=1.5", "trainer.gpus=-1", "model=resnet", "data=bids", "data.root=/no/such/folder", "+foo=1",
        "a=[", "seed=${sed}", "ckpt.init=no.ckpt",
    )  # fmt: skip
    assert told.startswith("9 mistakes in the configuration:\n"), told
    keys = (
        "trainer.max_epochs=1.5", "trainer.gpus=-1", "model=resnet", "data.root=/no/such/folder", "foo=1", "a=[",
        "seed=${sed}", "ckpt.init=no.ckpt", "data.target",
    )  # fmt: skip
    for key in keys:
        assert f"\n{key}\n" in told, (key, told)
    assert max(len(block.split("\n  ")) for block in told.split("\n")) <= 3


def test_the_rest_is_checked_against_the_nearest_option_of_a_misspelt_one(mistakes):
    told = mistakes("data=csvv", "data.root=.", "data.target=label", "data.reader.tabel=x.csv")
    assert "Did you mean 'csv'?" in told
    assert "Did you mean 'data.reader.table'?" in told


def test_mandatory_values_come_with_the_command_that_gives_them(mistakes):
    told = mistakes("data=csv", "data.root=.")
    assert told.count("is needed and not given") == 2  # not again for what points to them
    assert "data.target\n" in told
    assert (
        "data.reader.table\n  is needed and not given. For example: python -m medai_lab task=mri_cls data=csv" in told
    )


def test_a_missing_data_folder_is_told_with_its_neighbour(mistakes, tmp_path):
    (tmp_path / "heads").mkdir()
    told = mistakes("data=folders", "data.root=haeds")
    assert "data.root=haeds\n  no such folder. Did you mean 'heads'?" in told
    assert "The first part that is missing is" in mistakes("data=folders", "data.root=nowhere/at/all")
    assert mistakes("data=folders", "data.root=heads") == ""
    (tmp_path / "scan.nii").touch()
    assert "is a file, a folder is needed" in mistakes("data=folders", "data.root=scan.nii")


def test_a_broken_interpolation_names_its_file(mistakes, write_conf):
    folder = write_conf("trainer", "mine", "defaults: [default]\nmax_epochs: ${task.epochs}\n")
    told = mistakes(f"--config-dir={folder}", "trainer=mine")
    assert f"trainer.max_epochs=${{task.epochs}}\n  cannot be resolved, in {folder}/trainer/mine.yaml: " in told
    assert "there is no key 'task.epochs'" in told


def test_a_file_that_is_no_yaml_is_named(mistakes, write_conf):
    for text in ("gpus: [0\n", "gpus: ${task\n"):
        folder = write_conf("trainer", "mine", text)
        told = mistakes(f"--config-dir={folder}", "trainer=mine")
        assert told.startswith("1 mistake in the configuration:\ntrainer=mine\n"), told
        assert f"{folder}/trainer/mine.yaml" in told


def test_an_option_that_builds_on_what_is_not_there_is_told(mistakes, write_conf):
    folder = write_conf("experiment", "mine", "# @package _global_\ndefaults: [{override /model: resnet}]\n")
    told = mistakes(f"--config-dir={folder}", "experiment=mine")
    assert "Could not find 'model/resnet'" in told
    assert "resnet18_3d" in told
    assert "Cannot find primary config 'other'" in mistakes("--config-name=other")


def test_a_model_or_data_set_of_another_modality_is_refused(mistakes, write_conf):
    net = "net: {_target_: torch.nn.Linear}\nsizes: {outputs: out_features}\n"
    folder = write_conf("model", "xray", f"modality: cxr\n{net}")
    told = mistakes(f"--config-dir={folder}", "model=xray")
    assert f"model=xray\n  is for cxr; task=mri_cls needs a model for mri.\n  allowed: {MRI_MODELS}" in told
    told = mistakes("data.modality=cxr")
    assert "is for cxr; task=mri_cls needs a data for mri" in told
    assert "bids, csv, dicom, folders, medmnist, mri_base, mri_phantom" in told


@pytest.mark.parametrize("job", ["evaluate", "predict"])
def test_jobs_on_a_run_take_network_and_task_from_it(mistakes, write_run, job):
    run = write_run("one")
    (run.parent / "scan.nii").touch()
    more = ["input=outputs/mri_cls/scan.nii"] if job == "predict" else []
    assert mistakes(f"job={job}", f"run={run}", *more) == ""
    told = mistakes(f"job={job}", f"run={run}", "model=resnet10_3d", "optim.lr=1", "task.monitor=val_loss", *more)
    assert told.startswith("3 mistakes")
    assert told.count(f"comes from the run: leave it out with job={job}") == 3
    assert f"job={job} needs a run" in mistakes(f"job={job}", *more)


def test_predict_needs_an_input_that_is_there(mistakes, write_run):
    run = write_run("one")
    assert "job=predict needs scans" in mistakes("job=predict", f"run={run}")
    assert "input=nowhere\n  no such file or folder" in mistakes("job=predict", f"run={run}", "input=nowhere")


@pytest.mark.parametrize(
    ("run", "reason"), [("nowhere", "no such folder"), (".", "has no config.yaml"), ("last", "no finished run")]
)
def test_a_run_that_is_not_there_is_told_with_what_may_be_given(mistakes, run, reason):
    told = mistakes("job=evaluate", f"run={run}")
    assert f"run={run}\n  " in told
    assert reason in told
    assert "allowed: a run folder, last, an MLflow run id or models:/NAME@ALIAS" in told


@pytest.mark.parametrize(
    "run", ["0123456789abcdef0123456789abcdef", "models:/heads@champion", "models:/heads/3", "1" * 32]
)
def test_runs_known_to_mlflow_are_left_to_the_job(mistakes, run):
    assert mistakes("job=evaluate", f"run={run}") == ""


def test_every_value_of_a_sweep_is_checked(mistakes):
    assert mistakes("-m", "model=resnet10_3d,resnet18_3d", "optim.lr=1e-3,1e-4", "seed=range(3)", "optim=glob(*)") == ""
    told = mistakes(
        "-m", "model=resnet10_3d,resnet19_3d", "optim.lr=1e-3,0", "seed=range(-1,3)", "trainer.gpus=choice(0,x)"
    )
    assert told.startswith("4 mistakes"), told
    for given in ("model=resnet19_3d", "optim.lr=0", "seed=-1", "trainer.gpus=x"):
        assert f"\n{given}\n" in told
    assert "an interval has no end of values" in mistakes("-m", "optim.lr=interval(0.1,1)")
    assert "Hydra's own settings take one value" in mistakes("-m", "hydra.run.dir=a,b")
    assert "stands for no value at all" in mistakes("-m", "seed=range(3,1)")
    assert "stands for no values: range() arg 3 must not be zero" in mistakes("-m", "seed=range(1,2,0)")


def test_display_asks_for_no_value_and_no_folder(mistakes):
    assert mistakes("--cfg=job", "data=bids", "data.root=/no/such/folder") == ""
    assert "wrong type" in mistakes("--cfg=job", "trainer.gpus=x")


def test_a_users_own_options_and_classes_are_found(mistakes, write_conf):
    folder = write_conf(
        "model", "mine", "modality: mri\nnet: {_target_: my_package.MyNet, depth: 3}\nsizes: {outputs: n_classes}\n"
    )
    assert mistakes(f"--config-dir={folder}", "model=mine", "model.net.depth=4") == ""
    assert mistakes(f"hydra.searchpath=[file://{folder}]", "model=mine") == ""
    assert mistakes("hydra.searchpath=[file://./my_conf]", "model=mine") == ""
    assert "Did you mean 'mine'?" in mistakes(f"--config-dir={folder}", "model=mne")
    assert "--config-dir=nowhere\n  no such folder" in mistakes("--config-dir=nowhere", "model=mine")


def test_a_new_group_is_added_with_a_plus(mistakes, write_conf):
    folder = write_conf("extra", "long", "# @package trainer\nmax_epochs: 500\n")
    assert "add it with +extra=long" in mistakes(f"--config-dir={folder}", "extra=long")
    assert mistakes(f"--config-dir={folder}", "+extra=long") == ""


def test_flags_that_are_no_flags_are_told(mistakes):
    told = mistakes("--trainer.gpus=1", "--gpus", "2", "trainer.gpu=1")
    assert "Settings are written without dashes, such as trainer.gpus=1" in told
    assert "--gpus\n  unknown flag" in told
    assert "Did you mean 'trainer.gpus'?" in told
    assert "it would load a pickle" in mistakes("--experimental-rerun=x.pickle")
