"""Types of single settings. Each carries, as its description, the words that a user reads about it.

The whole schema is strict: a number in quotes is no number and 1.5 is no count.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

FRACTION_TOLERANCE = 1e-6
SMALLEST_GRID = 8  # voxels an axis
LARGEST_SEED = 2**32 - 1  # what numpy takes

OPERATING_POINT = re.compile(
    r"youden|f1|accuracy|fixed:(?P<fixed>[0-9.eE+-]+)|(sensitivity|specificity)\s*>=\s*(?P<least>[0-9.eE+-]+)"
)


def _number_as_text(value: object) -> object:
    # An MLflow id can consist of digits alone, and then the command line reads it as a number.
    return str(value) if type(value) is int else value


def _sums_to_one(fractions: list[float]) -> list[float]:
    if abs(sum(fractions) - 1) > FRACTION_TOLERANCE:
        raise ValueError("they do not sum to 1")
    return fractions


def _different(items: list[int]) -> list[int]:
    if len(set(items)) < len(items):
        raise ValueError("an entry stands twice")
    return items


def _operating_point(rule: str) -> str:
    match = OPERATING_POINT.fullmatch(rule.strip())
    number = match and (match["fixed"] or match["least"])
    if match is None or (number and not 0 <= float(number) <= 1):
        raise ValueError("no such rule")
    return rule


def _channels(channels: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
    if not channels or len(set(channels)) < len(channels):
        raise ValueError("empty, or a name stands twice")
    return channels


Text = Annotated[str, Field(min_length=1, description="a text")]
MaybeText = Annotated[str | None, Field(description="a text, or null")]
Name = Annotated[str | None, BeforeValidator(_number_as_text), Field(description="a text, or null")]
DottedPath = Annotated[
    str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", description="a dotted path such as my_package.MyClass")
]
Flag = Annotated[bool, Field(description="true or false")]

Count = Annotated[int, Field(ge=1, description="a whole number, 1 or more")]
MaybeCount = Annotated[Count | None, Field(description="a whole number, 1 or more, or null")]
CountOrZero = Annotated[int, Field(ge=0, description="a whole number, 0 or more")]
CountOrAuto = Annotated[Literal["auto"] | Count, Field(description="auto, or a whole number, 1 or more")]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED, description=f"a whole number, 0 to {LARGEST_SEED}")]

Positive = Annotated[float, Field(gt=0, description="a number above 0")]
MaybePositive = Annotated[Positive | None, Field(description="a number above 0, or null")]
NotNegative = Annotated[float, Field(ge=0, description="a number, 0 or more")]
Probability = Annotated[float, Field(ge=0, le=1, description="a number, 0 to 1")]
BelowOne = Annotated[float, Field(ge=0, lt=1, description="a number, 0 or more and below 1")]
Fractions = Annotated[
    list[Positive],
    Field(min_length=3, max_length=3, description="three numbers above 0 that sum to 1: train, validation, test"),
    AfterValidator(_sums_to_one),
]

Gpus = Annotated[
    Literal["auto"] | CountOrZero | Annotated[list[CountOrZero], Field(min_length=1), AfterValidator(_different)],
    Field(description="auto, a number of GPUs (0 is the CPU), or a list of GPU ids such as [0,2]"),
]
Precision = Annotated[
    Literal["auto", "32-true", "16-mixed", "bf16-mixed"], Field(description="auto, 32-true, 16-mixed or bf16-mixed")
]
FlagOrAuto = Annotated[Literal["auto"] | bool, Field(description="auto, true or false")]

Voxels = Annotated[int, Field(ge=SMALLEST_GRID)]
GridSize = Annotated[
    Voxels | Annotated[list[Voxels], Field(min_length=3, max_length=3)],
    Field(description=f"a whole number of voxels, {SMALLEST_GRID} or more, or a list of three"),
]
Spacing = Annotated[
    Literal["auto", "fit", "native"] | Positive | Annotated[list[Positive], Field(min_length=3, max_length=3)],
    Field(description="auto, fit, native, a number of millimetres above 0, or a list of three"),
]
Axes = Annotated[
    list[Annotated[int, Field(ge=0, le=2)]],
    AfterValidator(_different),
    Field(description="a list of axes out of 0 (left-right), 1 (back-front) and 2 (down-up)"),
]
Channels = Annotated[
    list[str] | dict[str, str],
    AfterValidator(_channels),
    Field(description="a list of sequences such as [T1w,FLAIR], or their columns such as {T1w:t1_path}"),
]
ClassName = Annotated[str | int | float | None, Field(description="the name of a class, or null")]

OperatingPoint = Annotated[
    str,
    AfterValidator(_operating_point),
    Field(
        description="youden, f1, accuracy, fixed:0.5, sensitivity>=0.9 or specificity>=0.9 "
        "(any number 0 to 1; quote it for the shell)"
    ),
]
Monitor = Annotated[str, Field(pattern=r"^(auto|val_\w+)$", description="auto, or a validation value such as val_loss")]
