"""How fast training on brain scans is, as ratios measured in one run on one machine.

    uv run python scripts/bench_mri.py                 # all parts, on synthetic heads of 128^3 voxels
    uv run python scripts/bench_mri.py --root DIR      # on the T1w scans of a BIDS folder
    uv run python scripts/bench_mri.py --only data step
    uv run python scripts/bench_mri.py --gpu           # throughput on the first GPU, bf16 against fp32

Each part alternates the two sides it compares and takes medians, because machines are noisy.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from medai_lab.files import write_text

SIZE = 96
ROOT = Path(__file__).resolve().parents[1]
SCANS = 12


class StepTimes(pl.Callback):
    """Seconds from the end of one training step to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.epoch_start = 0.0

    def on_train_epoch_start(self, *args: Any) -> None:
        """Note the time of the (last) epoch's start."""
        self.epoch_start = time.perf_counter()

    def on_train_batch_end(self, *args: Any) -> None:
        """Note the time."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        """All steps but the first two, which warm up."""
        return list(np.diff(self.ends))[1:]


class FirstStep(pl.Callback):
    """Write the time of the first training step's start to a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_batch_start(self, *args: Any) -> None:
        """Note the time once."""
        if not Path(self.path).exists():
            write_text(Path(self.path), str(time.time()))


def synthetic_scans(folder: Path, count: int) -> list[str]:
    """Write heads of 128^3 int16 voxels at 1.5 mm."""
    import nibabel as nib

    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 128)] * 3, indexing="ij"))
    paths = []
    for i in range(count):
        radii = generator.uniform(0.6, 0.85, 3).reshape(3, 1, 1, 1)
        head = ((grid / radii) ** 2).sum(axis=0) < 1
        data = head * generator.normal(600, 60, head.shape) + np.abs(generator.normal(0, 12, head.shape))
        path = folder / f"scan{i:02d}.nii.gz"
        nib.save(nib.Nifti1Image(data.astype(np.int16), np.diag([-1.5, 1.5, 1.5, 1])), path)
        paths.append(str(path))
    return paths


def real_scans(root: Path, count: int) -> list[str]:
    """Return the T1w scans of a BIDS folder."""
    return [str(p) for p in sorted(root.glob("sub-*/**/*_T1w.nii.gz"))[:count]]


def datamodule(scans: list[str], folder: Path, batch_size: int, augment: bool) -> Any:
    """Return our datamodule over the scans, prepared."""
    import pandas as pd

    from medai_lab.cohort.cohort import Cohort
    from medai_lab.cohort.target import TargetSpec
    from medai_lab.config.schema import AugmentConfig
    from medai_lab.mri.datamodule import MriDataModule

    labels = ["ab"[i % 2] for i in range(len(scans))]
    ids = [f"r{i}" for i in range(len(scans))]
    table = pd.DataFrame({"record_id": ids, "patient_id": ids, "input_T1w": scans, "group": labels, "split": "train"})
    table.loc[table.index[-2:], "split"] = "val"
    cohort = Cohort(table, ("T1w",), TargetSpec.of_classes("group", table["group"]), "bench")
    config = composed(
        f"data.size={SIZE}", f"data.batch_size={batch_size}", f"data.cache={folder / 'cache'}", "data.spacing=fit"
    ).data
    if not augment:
        still = AugmentConfig(flip=[], affine=0, degrees=0, scale=0, shift=0, gain=0, offset=0, noise=0)
        config = config.model_copy(update={"augment": still})
    data = MriDataModule(cohort, MriDataModule.fit(cohort, config), config, seed=0)
    data.prepare()
    return data


def composed(*overrides: str) -> Any:
    """Return the checked configuration that the overrides mean."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from medai_lab.config.schema import Config
    from medai_lab.config.search import conf_folder

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        plain: Any = OmegaConf.to_container(compose("config", ["model=small_cnn_3d", *overrides]), resolve=True)
    return Config.from_plain(plain)


def monai_transforms() -> Any:
    """Return the same preparation as ours in MONAI's dictionary transforms."""
    from monai import transforms as mt

    return mt.Compose(
        [
            mt.LoadImaged("image"),
            mt.EnsureChannelFirstd("image"),
            mt.Orientationd("image", axcodes="RAS", labels=None),
            mt.CropForegroundd("image", "image", allow_smaller=True),
            mt.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            mt.Resized("image", (SIZE,) * 3, anti_aliasing=True),
        ]
    )


def bench_data(scans: list[str], folder: Path) -> dict[str, float]:
    """An epoch's data time against reading and preparing every epoch."""
    from monai.data import DataLoader, Dataset

    data = datamodule(scans, folder, 2, augment=False)
    data.setup("fit")
    monai = DataLoader(Dataset([{"image": s} for s in scans], monai_transforms()), batch_size=2)
    ours, theirs = [], []
    for _ in range(3):
        ours.append(seconds(lambda: [b["inputs"]["image"].float() for b in data.eval_dataloader(data.cohort)]))
        theirs.append(seconds(lambda: [b["image"] for b in monai]))
    row = {"ours_s": statistics.median(ours), "monai_dataset_s": statistics.median(theirs)}
    return row | {"times_faster": row["monai_dataset_s"] / row["ours_s"]}


def seconds(work: Callable[[], Any]) -> float:
    """Return how long it took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def our_steps(net: nn.Module, data: Any, precision: str, folder: Path, epochs: int) -> StepTimes:
    """Times of our trainer with history, MLflow and progress bar."""
    from pytorch_lightning.callbacks import TQDMProgressBar

    from medai_lab.learning.hardware import lay_out
    from medai_lab.learning.module import MedModule
    from medai_lab.learning.targets import target_type
    from medai_lab.learning.trainer import build_trainer
    from medai_lab.tracking.history import MetricHistory
    from medai_lab.tracking.logger import RunLogger
    from medai_lab.tracking.mlflow_sink import MlflowSink

    spec = data.cohort.target
    target = target_type(spec)(spec)
    module = MedModule(lay_out(net, True), target, target.loss(None, 0.0), lambda g: torch.optim.AdamW(g, lr=1e-4))
    sink = MlflowSink(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"), "bench", "bench", {})
    sink.start()
    _ = sink.run_id
    times = StepTimes()
    config = composed("trainer.gpus=auto", f"trainer.max_epochs={epochs}", "trainer.log_every=1").trainer
    logger = RunLogger(MetricHistory(folder / "history.csv"), sink)
    trainer = build_trainer(config, "auto", precision, folder, "val_loss", False, logger, [times])
    trainer.callbacks = [c for c in trainer.callbacks if c.__class__.__name__ not in ("Checkpoints", "EpochLog")]
    if not any(isinstance(c, TQDMProgressBar) for c in trainer.callbacks):
        trainer.callbacks.append(TQDMProgressBar())
    trainer.limit_val_batches = 0
    trainer.fit(module, data)
    sink.finish("FINISHED")
    return times


def bare_steps(net: nn.Module, data: Any, precision: str, epochs: int, augment: bool) -> list[float]:
    """Step times of a plain loop over the same batches held in memory on the device."""
    from medai_lab.learning.hardware import autocast, lay_out

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = lay_out(net.to(device).train(), True)
    batches = [(b["inputs"]["image"].float().to(device), b["target"].to(device)) for b in data.train_dataloader()]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    ends = []
    for epoch in range(epochs):
        for i, (image, truth) in enumerate(batches):
            inputs = data.augment({"image": image}, epoch * 1000 + i)["image"] if augment else image
            with autocast(precision, device):
                logits = net(inputs)
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), truth)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            ends.append(time.perf_counter())
    return list(np.diff(ends))[1:]


def networks() -> dict[str, Callable[[], nn.Module]]:
    """The two default networks."""
    from monai.networks.nets import DenseNet121

    from medai_lab.mri.nets import SmallCNN

    return {"small_cnn_3d": lambda: SmallCNN(1, 1), "densenet121_3d": lambda: DenseNet121(3, 1, 1)}


def bench_step(scans: list[str], folder: Path) -> dict[str, float]:
    """A training step of ours against a bare loop with the tensors in memory."""
    rows = {}
    for name, make in networks().items():
        epochs = 6 if name == "small_cnn_3d" else 2
        data = datamodule(scans, folder, 2, augment=True)
        ours, bare = [], []
        for round_ in range(3):
            place = folder / f"step-{name}-{round_}"
            place.mkdir()
            ours += our_steps(make(), data, "bf16-mixed", place, epochs).seconds
            bare += bare_steps(make(), data, "bf16-mixed", epochs, augment=True)
        rows |= {f"{name}_ours_s": statistics.median(ours), f"{name}_bare_s": statistics.median(bare)}
        rows[f"{name}_ratio"] = rows[f"{name}_ours_s"] / rows[f"{name}_bare_s"]
    return rows


def tutorial_epoch(scans: list[str]) -> Callable[[], None]:
    """The usual tutorial loop: dictionary transforms every epoch, fp32, batch of two."""
    from monai import transforms as mt
    from monai.data import DataLoader, Dataset
    from monai.networks.nets import DenseNet121

    chain = mt.Compose(
        [
            mt.LoadImaged("image"),
            mt.EnsureChannelFirstd("image"),
            mt.ScaleIntensityd("image"),
            mt.RandRotated("image", range_x=0.2, prob=0.2),
            mt.RandFlipd("image", prob=0.5),
            mt.Resized("image", (SIZE,) * 3),
        ]
    )
    loader = DataLoader(
        Dataset([{"image": s, "label": i % 2} for i, s in enumerate(scans)], chain), batch_size=2, shuffle=True
    )
    net = DenseNet121(3, 1, 2).train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)

    def epoch() -> None:
        for batch in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(batch["image"].as_tensor()), batch["label"])
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def bench_epoch(scans: list[str], folder: Path) -> dict[str, float]:
    """A whole epoch of DenseNet121 at 96^3 against tutorial code on the same scans."""
    from monai.networks.nets import DenseNet121

    data, tutorial = datamodule(scans + scans[:2], folder, 2, augment=True), tutorial_epoch(scans)
    ours, theirs = [], []
    for round_ in range(3):
        place = folder / f"epoch-{round_}"
        place.mkdir()
        times = our_steps(DenseNet121(3, 1, 1), data, "bf16-mixed", place, 1)
        ours.append(times.ends[-1] - times.epoch_start)
        theirs.append(seconds(tutorial))
    row = {"ours_s": statistics.median(ours), "tutorial_s": statistics.median(theirs)}
    return row | {"times_faster": row["tutorial_s"] / row["ours_s"]}


BARE_SCRIPT = """
import time, sys
import hydra, mlflow, monai.networks.nets, nibabel, numpy, pandas, torch
import pytorch_lightning as pl
sys.path.insert(0, {scripts!r})
from bench_mri import FirstStep
class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = monai.networks.nets.resnet10(spatial_dims=3, n_input_channels=1, num_classes=1)
    def training_step(self, batch, i):
        return self.net(batch[0]).mean()
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters())
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(8, 1, 48, 48, 48)), batch_size=8)
trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                     enable_progress_bar=False, enable_model_summary=False, callbacks=[FirstStep({out!r})])
trainer.fit(Module(), data)
"""


def bench_start(folder: Path) -> dict[str, float]:
    """From the command to the first training step, against a bare Lightning script with the same imports."""
    overrides = [
        "task=mri_cls", "trainer.gpus=0", "trainer.limit_batches=1", "trainer.max_epochs=1", "job.replicates=10",
        f"paths.outputs={folder / 'start'}", "data.size=48", "model=resnet10_3d", "trainer.precision=32-true",
        "trainer.channels_last=false",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "CUDA_VISIBLE_DEVICES": ""}

    def first_step(command: list[str], out: Path) -> float:
        start = time.time()
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=quiet, stderr=quiet)
        while process.poll() is None and not out.exists():
            time.sleep(0.05)
        process.kill()
        process.wait()
        return float(out.read_text()) - start

    ours, bare = [], []
    for i in range(3):
        out = folder / f"ours-{i}"
        node = f"+callbacks.first_step={{_target_: bench_mri.FirstStep, path: '{out}'}}"
        name = [f"hydra.run.dir={folder / 'start' / str(i)}"]
        ours.append(first_step([sys.executable, "-m", "medai_lab", *overrides, node, *name], out))
        out = folder / f"bare-{i}"
        bare.append(
            first_step([sys.executable, "-c", BARE_SCRIPT.format(scripts=str(ROOT / "scripts"), out=str(out))], out)
        )
    row = {
        "ours_s": statistics.median(ours[1:]),
        "bare_lightning_s": statistics.median(bare[1:]),
    }  # the first writes the data
    return row | {"ratio": row["ours_s"] / row["bare_lightning_s"]}


def bench_memory(scans: list[str], folder: Path) -> dict[str, float]:
    """Peak memory that the data add while an epoch is read, against holding the cohort in RAM."""
    datamodule(scans, folder, 2, augment=False)
    script = "import sys; sys.path.insert(0, {s!r}); import bench_mri as b; b.memory_probe({m!r}, {scans!r}, {f!r})"
    found = {}
    for mode in ("ours", "ram"):
        code = script.format(s=str(ROOT / "scripts"), m=mode, scans=scans * 20, f=str(folder))
        printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        found[f"{mode}_MiB"] = float(printed.splitlines()[-1])
    return found | {"share": found["ours_MiB"] / found["ram_MiB"]}


def memory_probe(mode: str, scans: list[str], folder: str) -> None:
    """Print by how many MiB the peak of resident memory, less file pages, grows over an epoch."""
    data = datamodule(scans, Path(folder), 2, augment=False)
    loader = data.eval_dataloader(data.cohort)
    next(iter(loader))
    before = anonymous_peak()
    held = []
    for batch in loader:
        image = batch["inputs"]["image"].float()
        if mode == "ram":
            held.append(image)
    print(max(1.0, anonymous_peak() - before))


def anonymous_peak() -> float:
    """Return the memory of this process that is not page cache, in MiB; its peak where the two are not told apart."""
    status = Path("/proc/self/status")
    if status.exists():
        rows = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return float(rows["RssAnon"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bench_gpu(scans: list[str], folder: Path) -> dict[str, float]:
    """Samples a second on the first GPU, as a share of the bare loop, and bf16 against fp32."""
    from monai.networks.nets import DenseNet121

    row = {}
    data = datamodule(scans * 8, folder, 8, augment=True)
    for precision in ("32-true", "bf16-mixed"):
        ours, bare = [], []
        for round_ in range(3):
            place = folder / f"gpu-{precision}-{round_}"
            place.mkdir()
            ours += our_steps(DenseNet121(3, 1, 1), data, precision, place, 4).seconds
            bare += bare_steps(DenseNet121(3, 1, 1), data, precision, 4, augment=True)
        row[f"{precision}_samples_per_s"] = 8 / statistics.median(ours)
        row[f"{precision}_share_of_bare"] = statistics.median(bare) / statistics.median(ours)
    return row | {"bf16_over_fp32": row["bf16-mixed_samples_per_s"] / row["32-true_samples_per_s"]}


def main() -> None:
    """Run the parts and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a BIDS folder with T1w scans")
    parser.add_argument("--only", nargs="+", choices=["data", "step", "epoch", "start", "memory"])
    parser.add_argument("--gpu", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scans = real_scans(arguments.root, SCANS) if arguments.root else synthetic_scans(folder, SCANS)
        parts: dict[str, Callable[[], dict[str, float]]] = {
            "data": lambda: bench_data(scans, folder),
            "step": lambda: bench_step(scans, folder),
            "epoch": lambda: bench_epoch(scans, folder),
            "start": lambda: bench_start(folder),
            "memory": lambda: bench_memory(scans, folder),
        }
        chosen = {"gpu": lambda: bench_gpu(scans, folder)} if arguments.gpu else parts
        for name, part in chosen.items():
            if arguments.only is None or name in arguments.only:
                print(json.dumps({"part": name, **{k: round(v, 4) for k, v in part().items()}}), flush=True)


if __name__ == "__main__":
    main()
