"""From a `_target_` to the class or function it names, and to what that returns.

A configuration of the command line may name anything, as it is the user's own. One that comes out of a run folder
may have been made by someone else: there the target, and the module in which it was really defined, must lie in an
allowed package, because a dotted path reaches everything that a module happens to import.
"""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from medai_lab.config.schema import TargetNode
from medai_lab.errors import UserError, nearest

ALLOWED = (
    "medai_lab.",
    "monai.networks.blocks.",
    "monai.networks.layers.",
    "monai.networks.nets.",
    "monai.losses.",
    "torch.nn.",
    "torch.optim.",
    "pytorch_lightning.callbacks.",
)
TARGET, PARTIAL = "_target_", "_partial_"


def import_target(path: str, trusted: bool, allow: Sequence[str] = ()) -> Callable[..., Any]:
    """Import the class or function that a dotted path names.

    Args:
        path: such as `monai.networks.nets.DenseNet121`.
        trusted: True where the path comes from the command line, False where it comes from a run or a file.
        allow: further packages that an untrusted path may name.

    Raises:
        UserError: it cannot be imported, cannot be called, or is not allowed.
    """
    prefixes = (*ALLOWED, *(f"{package.rstrip('.')}." for package in allow))
    if not trusted and not path.startswith(prefixes):
        raise UserError(_not_allowed(path))
    found: Callable[..., Any] = _locate(path)
    if not callable(found):
        raise UserError(f"{path} is neither a class nor a function.")
    if not trusted and not f"{getattr(found, '__module__', None)}.".startswith(prefixes):
        raise UserError(_not_allowed(f"{path}, defined in {getattr(found, '__module__', None)},"))
    return found


def instantiate(
    node: TargetNode | Mapping[str, Any], *args: Any, trusted: bool, allow: Sequence[str] = (), **extra: Any
) -> Any:
    """Call what a node's `_target_` names with the node's arguments.

    Nested nodes with a `_target_` are instantiated first. With `_partial_: true` the call is left to the caller.

    Args:
        node: a node of the configuration, or plain values.
        *args: positional arguments before the node's own.
        trusted: as for `import_target`, for nested targets too.
        allow: as for `import_target`.
        **extra: further arguments; they win over the node's own.

    Raises:
        UserError: a target cannot be imported or is not allowed, or refuses its arguments.
    """
    if isinstance(node, TargetNode):
        path, given = node.target, node.arguments()
    else:
        path, given = str(node[TARGET]), {key: value for key, value in node.items() if key != TARGET}
    partial = given.pop(PARTIAL, False)
    function = import_target(path, trusted, allow)
    arguments = {key: _build(value, trusted, allow) for key, value in given.items() if key not in extra}
    if partial:
        return functools.partial(function, *args, **arguments, **extra)
    try:
        return function(*args, **arguments, **extra)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be made: {error}") from error


def targets_in(plain: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the path of every `_target_` in plain values."""
    if isinstance(plain, Mapping):
        if isinstance(plain.get(TARGET), str):
            yield f"{key}.{TARGET}".lstrip("."), plain[TARGET]
        for name, value in plain.items():
            yield from targets_in(value, f"{key}.{name}".lstrip("."))
    elif isinstance(plain, list | tuple):
        for position, value in enumerate(plain):
            yield from targets_in(value, f"{key}.{position}")


def _build(value: Any, trusted: bool, allow: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        if TARGET in value:
            return instantiate(value, trusted=trusted, allow=allow)
        return {key: _build(item, trusted, allow) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_build(item, trusted, allow) for item in value]
    return value


def _locate(path: str) -> Any:
    """Import the longest part of the path that is a module and take the rest from it."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if length > 1 and error.name is not None and f"{module}.".startswith(f"{error.name}."):
                continue  # a shorter part may be the module
            raise UserError(_no_module(path, module, error)) from error
        except Exception as error:  # a module can raise anything while it is imported
            raise UserError(f"{path}: importing {module} failed with {type(error).__name__}: {error}") from error
        for part in parts[length:]:
            if not hasattr(found, part):
                name = getattr(found, "__name__", module)
                raise UserError(f"{path}: {name} has no '{part}'.{nearest(part, dir(found))}")
            found = getattr(found, part)
        return found
    raise UserError(f"{path} is no dotted path such as my_package.MyClass.")


def _no_module(path: str, module: str, error: ModuleNotFoundError) -> str:
    missing = error.name or module
    if not f"{module}.".startswith(f"{missing}."):
        return f"{path}: importing {module} failed, as there is no module '{missing}'."
    return f"{path}: there is no module '{missing}', neither installed nor in the current folder."


def _not_allowed(what: str) -> str:
    return (
        f"{what} is outside the packages that a run's configuration may name ({', '.join(ALLOWED)}). "
        "If it is your own code, name its package: trust=[my_package]"
    )
