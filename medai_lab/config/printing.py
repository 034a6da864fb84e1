"""A configuration as a tree on the terminal."""

import re
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from medai_lab.config.problems import shown
from medai_lab.config.schema import Config

PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]+@")


def print_config(config: Config, console: Console) -> None:
    """Print every setting, one branch a group, passwords in addresses hidden."""
    tree = Tree("configuration", guide_style="dim")
    _grow(tree, config.to_plain())
    console.print(tree, soft_wrap=True)


def without_password(text: str) -> str:
    """Return a text with the password of every address `scheme://user:password@host` hidden."""
    return PASSWORD.sub(r"\1:***@", text)


def _grow(tree: Tree, plain: dict[str, Any]) -> None:
    for name, value in plain.items():
        if isinstance(value, dict) and value:
            _grow(tree.add(f"[bold]{escape(name)}[/]"), value)
        else:
            tree.add(f"{escape(name)}: {escape(without_password(shown(value)))}")
