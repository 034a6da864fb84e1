"""Types and ranges of a composed configuration, and pydantic's errors in plain words."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from medai_lab.config.problems import Problem, shown, unknown_key
from medai_lab.config.schema import Config, UndecidedConfig

WRONG = "has a wrong type or value."


def value_problems(plain: dict[str, Any]) -> list[Problem]:
    """Return every unknown or missing key and every value of a wrong type or range.

    Args:
        plain: the composed configuration as plain dictionaries; the model may still be open (`model=auto`).
    """
    model = plain.get("model")
    schema = UndecidedConfig if isinstance(model, dict) and "net" not in model else Config
    try:
        schema.model_validate(plain)
    except ValidationError as error:
        return problems_of(error, schema, plain)
    return []


def problems_of(error: ValidationError, schema: type[BaseModel], plain: dict[str, Any]) -> list[Problem]:
    """Return one problem a setting; the several errors of a value that may be of several types become one."""
    problems: dict[str, Problem] = {}
    for details in error.errors(include_url=False):
        problem = _problem(details, schema, plain)
        if problem.key not in problems or problems[problem.key].message == WRONG:
            problems[problem.key] = problem  # a reason says more than that some other type did not fit
    return list(problems.values())


def known_keys(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of all settings, of those of nested nodes too."""
    for name, field in schema.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        if (node := _node(field)) is not None and _named_nodes(field) is None:
            yield from known_keys(node, f"{key}.")


def _problem(details: ErrorDetails, schema: type[BaseModel], plain: dict[str, Any]) -> Problem:
    location = [str(part) for part in details["loc"]]
    location += [details["ctx"]["key"]] if "key" in details.get("ctx", {}) else []
    path, siblings, field = _follow(location, schema)
    key, given = ".".join(path), _value_at(plain, path)
    if details["type"] == "extra_forbidden":
        beside = [".".join([*path[:-1], name]) for name in siblings]
        return unknown_key(key, beside, known_keys(schema), None if isinstance(given, dict) else shown(given))
    if details["type"] == "missing":
        return Problem(key, "is missing.", None, _allowed(field))
    reason = {"value_error": details["msg"].removeprefix("Value error, "), "rule": details["msg"]}.get(details["type"])
    return Problem(key, f"{reason}." if reason else WRONG, shown(given), _allowed(field))


def _follow(location: list[str], schema: type[BaseModel]) -> tuple[list[str], list[str], FieldInfo | None]:
    """Walk down the schema as far as it names settings; what follows says only which type pydantic tried.

    Returns:
        The path of the setting, the names of it and its siblings, and its field where it is one.
    """
    path: list[str] = []
    names: list[str] = []
    field: FieldInfo | None = None
    node: type[BaseModel] | None = schema
    named_nodes: type[BaseModel] | None = None
    for part in location:
        if named_nodes is not None:  # the part is a name that the user chose
            node, named_nodes, field = named_nodes, None, None
            path.append(part)
            continue
        if node is None:
            break
        path.append(part)
        fields = {f.alias or n: f for n, f in node.model_fields.items()}
        names, field = list(fields), fields.get(part)
        named_nodes = _named_nodes(field)
        node = None if named_nodes else _node(field)
    return path, names, field


def _allowed(field: FieldInfo | None) -> str:
    return field.description if field is not None and field.description else "a node with keys of its own"


def _node(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model of a field that is a node, also where it may be null."""
    candidates = [field.annotation, *get_args(field.annotation)] if field is not None else []
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _named_nodes(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model of the nodes in a field that maps names to nodes."""
    arguments = get_args(field.annotation) if field is not None else ()
    value = arguments[1] if len(arguments) == 2 and arguments[0] is str else None
    return value if isinstance(value, type) and issubclass(value, BaseModel) else None


def _value_at(plain: Any, path: list[str]) -> Any:
    for part in path:
        plain = plain.get(part) if isinstance(plain, dict) else None
    return plain
