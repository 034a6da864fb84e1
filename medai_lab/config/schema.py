"""What a configuration may hold: one model a node that we own, its fields named as the keys of conf/.

Unknown keys are refused. A node with a `_target_` also takes the arguments of what it names; those are checked
against its signature in `medai_lab.config.targets`. How mistakes are worded is in `medai_lab.config.values`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from medai_lab.config.value_types import (
    Axes,
    BelowOne,
    Channels,
    ClassName,
    Count,
    CountOrAuto,
    CountOrZero,
    DottedPath,
    Flag,
    FlagOrAuto,
    Fractions,
    Gpus,
    GridSize,
    MaybeCount,
    MaybePositive,
    MaybeText,
    Monitor,
    Name,
    NotNegative,
    OperatingPoint,
    Precision,
    Probability,
    Seed,
    Spacing,
    Text,
)
from medai_lab.errors import UserError


class Node(BaseModel):
    """A node whose keys are all known. Nothing is converted and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def to_plain(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, texts and numbers under the keys of the YAML."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class TargetNode(Node):
    """A class or function by its dotted path, and its arguments.

    Attributes:
        target: the dotted path, `_target_` in the YAML.
    """

    model_config = ConfigDict(extra="allow")

    target: DottedPath = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        """Return the plain keyword arguments, those of nested targets included."""
        return {key: value for key, value in self.to_plain().items() if key != "_target_"}


class JobConfig(TargetNode):
    """What to do.

    Attributes:
        replicates: of the bootstrap behind every interval.
    """

    replicates: Count = 1000

    @model_validator(mode="after")
    def _only_known_options_of_our_jobs(self) -> Self:
        if self.target.startswith("medai_lab.jobs.") and self.model_extra:
            raise PydanticCustomError("extra_forbidden", "unknown key", {"key": next(iter(self.model_extra))})
        return self


class SplitConfig(Node):
    """How records are shared out among train, validation and test."""

    fractions: Fractions
    seed: Seed


class AugmentConfig(Node):
    """Random changes of training scans; the units stand in conf/data/mri_base.yaml."""

    flip: Axes
    affine: Probability
    degrees: NotNegative
    scale: BelowOne
    shift: Probability
    gain: NotNegative
    offset: NotNegative
    noise: NotNegative


class DataConfig(Node):
    """A data set of brain scans: where it is, what is predicted, how scans are prepared."""

    modality: Text
    root: Text
    target: Text
    positive: ClassName
    target_kind: Annotated[Literal["auto", "classes", "regression"], Field(description="auto, classes or regression")]
    channels: Channels
    split: SplitConfig
    spacing: Spacing
    size: GridSize
    missing: Annotated[Literal["error", "zeros"], Field(description="error or zeros")]
    sequence_dropout: Probability
    on_error: Annotated[Literal["quarantine", "raise"], Field(description="quarantine or raise")]
    cache: Text
    batch_size: Count
    sampler: Annotated[Literal["shuffle", "balanced"], Field(description="shuffle or balanced")]
    workers: CountOrAuto
    augment: AugmentConfig
    reader: TargetNode


class ModelConfig(Node):
    """A network and the arguments of it that take their value from the data.

    Attributes:
        sizes: what the data knows (`channels`, `outputs`) to the name of the network's argument.
    """

    modality: Text
    net: TargetNode
    sizes: Annotated[dict[str, str], Field(description="the network's arguments, such as {outputs: num_classes}")]


class ModelChoice(Node):
    """model=auto: the option for a machine with a GPU and that for one without."""

    modality: Text
    gpu: Text
    cpu: Text


class OptimConfig(TargetNode):
    """An optimiser, called with the parameters and the arguments given here, and a schedule over its steps."""

    lr: Annotated[float, Field(gt=0, description="a number above 0")] = 1e-3
    weight_decay: NotNegative = 0.0
    schedule: Annotated[TargetNode | None, Field(description="a node with a _target_, or null")] = None

    def arguments(self) -> dict[str, Any]:
        """Return the optimiser's own keyword arguments."""
        return {key: value for key, value in super().arguments().items() if key != "schedule"}


class TrainerConfig(Node):
    """How training runs; the units stand in conf/trainer/default.yaml."""

    gpus: Gpus
    devices: Count
    precision: Precision
    channels_last: FlagOrAuto
    threads: CountOrAuto
    max_epochs: Count
    max_minutes: MaybePositive
    grad_clip: MaybePositive
    accumulate: Count
    early_stopping: MaybeCount
    deterministic: Flag
    log_every: Count
    progress: Flag
    limit_batches: MaybeCount
    overfit_batches: CountOrZero

    @model_validator(mode="after")
    def _devices_are_cpu_processes(self) -> Self:
        if self.devices > 1 and self.gpus not in ("auto", 0):
            rule = "counts processes on the CPU, so more than one goes with trainer.gpus=0 only"
            raise PydanticCustomError("rule", rule, {"key": "devices"})
        return self


class StrategyConfig(Node):
    """How several devices work together."""

    name: Annotated[Literal["auto", "ddp"], Field(description="auto or ddp")]


class TrackingConfig(Node):
    """Where MLflow keeps its copy of the run; without a `uri` there is none."""

    uri: MaybeText
    artifacts: MaybeText
    experiment: Text
    parent: MaybeText


class PathsConfig(Node):
    """Folders."""

    outputs: Text
    cache: Text
    data: Text


class TaskConfig(Node):
    """What is learnt, and by which classes."""

    name: Text
    modality: Text
    datamodule: DottedPath
    module: DottedPath
    loss: Annotated[TargetNode | None, Field(description="a node with a _target_, or null")]
    class_weights: Annotated[Literal["none", "balanced"], Field(description="none or balanced")]
    label_smoothing: BelowOne
    monitor: Monitor
    operating_point: OperatingPoint
    test_time_flips: Axes

    def module_options(self) -> dict[str, Any]:
        """Return the options that the task's module takes besides the built objects."""
        return {"test_time_flips": tuple(self.test_time_flips)}


class CheckpointConfig(Node):
    """Weights that a new run starts from."""

    init: MaybeText


class Config(Node):
    """Every choice of a run: what a job is called with."""

    job: JobConfig
    data: DataConfig
    model: ModelConfig
    optim: OptimConfig
    trainer: TrainerConfig
    strategy: StrategyConfig
    callbacks: Annotated[dict[str, TargetNode], Field(description="names, each with a _target_")]
    tracking: TrackingConfig
    paths: PathsConfig
    task: TaskConfig
    seed: Seed
    name: Name
    run: Name
    resume: MaybeText
    input: MaybeText
    output: MaybeText
    trust: Annotated[list[Text], Field(description="a list of packages such as [my_package]")]
    ckpt: CheckpointConfig

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Undo `to_plain`.

        Raises:
            UserError: a key is unknown or missing, or a value is of the wrong type; all of them are named.
        """
        from medai_lab.config.problems import listing
        from medai_lab.config.values import problems_of

        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            raise UserError(listing(problems_of(error, cls, plain))) from None


class UndecidedConfig(Config):
    """A configuration whose network is chosen once the machine's devices are known."""

    model: ModelChoice  # type: ignore[assignment]
