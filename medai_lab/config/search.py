"""Where configuration files are, and composing them.

The one module that touches Hydra's internals (`hydra._internal`, pinned below 1.4): its public `compose` can
neither list the options of a group nor take `--config-dir`, both of which the messages to a user need.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.default_element import ConfigDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf

HYDRA_VERSION_BASE = "1.3"
CONFIG_NAME = "config"


def conf_folder() -> Path:
    """Return the folder of our configuration files: inside the installed package, else beside it in the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


class _Loader(ConfigLoaderImpl):
    """Hydra's loader, listing options from one repository; Hydra itself copies all of it for each group it lists."""

    files: CachingConfigRepository

    def read_files(self, config_name: str, overrides: Sequence[str]) -> None:
        """Open the search path, as these overrides extend it."""
        _, self.files = self._parse_overrides_and_create_caching_repo(config_name, list(overrides))

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """Return the names of a group's options or groups."""
        return self.files.get_group_options(group_name, results_filter)


class Composer:
    """Composes configurations from the search path of one command line.

    Args:
        config_path: the folder of the primary configuration, or `pkg://` and a package.
        config_name: its name without ending.
        config_dir: a further folder of options, as given with `--config-dir`.
        search_overrides: the `hydra.searchpath=[...]` overrides of the command line.

    Raises:
        Exception: whatever Hydra and YAML raise for a search path or primary configuration that cannot be read.
    """

    def __init__(
        self,
        config_path: str,
        config_name: str = CONFIG_NAME,
        config_dir: str | None = None,
        search_overrides: Sequence[str] = (),
    ) -> None:
        setbase(HYDRA_VERSION_BASE)
        setup_globals()
        JobRuntime.instance().set("name", "medai_lab")
        search_path = create_config_search_path(config_path)
        if config_dir is not None:
            # as Hydra does it: behind our own files, so that an own option adds to them and never hides one
            search_path.prepend(
                "command-line", f"file://{Path(config_dir).absolute()}", SearchPathQuery(provider="schema")
            )
        self.config_name = config_name
        self.loader = _Loader(search_path)
        self.loader.read_files(config_name, search_overrides)
        self._search_overrides = list(search_overrides)
        self._files = self.loader.files

    def missing_sources(self) -> list[str]:
        """Return the further folders and packages of the search path that do not exist."""
        return [s.path for s in self._files.get_sources() if s.provider != "main" and not s.available()]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration with these overrides, the `hydra` node included, interpolations open."""
        return self.loader.load_configuration(self.config_name, [*self._search_overrides, *overrides], RunMode.RUN)

    def print_help(self, overrides: Sequence[str], resolve: bool) -> None:
        """Print Hydra's help of this application."""
        arguments = Namespace(overrides=list(overrides), resolve=resolve)
        Hydra("medai_lab", self.loader).app_help(self.config_name, get_args_parser(), arguments)

    def is_group(self, name: str) -> bool:
        """Tell whether a folder of this name is on the search path."""
        return self._files.group_exists(name)

    def options(self, group: str) -> list[str]:
        """Return the names of a group's options."""
        return self._files.get_group_options(group, ObjectType.CONFIG)

    def groups(self) -> list[str]:
        """Return the names of the top-level groups, Hydra's own left out."""
        return [g for g in self._files.get_group_options("", ObjectType.GROUP) if g != "hydra"]

    def value_of_option(self, group: str, option: str, key: str) -> str | None:
        """Return a text that stands in an option's file or in one it builds on; None where it does not."""
        loaded = self._files.load_config(f"{group}/{option}")
        if loaded is None:
            return None
        value = OmegaConf.select(loaded.config, key, throw_on_missing=False)
        if isinstance(value, str):
            return value
        bases = (d.path for d in loaded.defaults_list or [] if isinstance(d, ConfigDefault) and d.path != "_self_")
        return next((v for base in bases if base and (v := self.value_of_option(group, base, key))), None)

    def files(self) -> Iterator[Path]:
        """Yield every YAML file on the search path, Hydra's own left out."""
        for source in self._files.get_sources():
            if source.scheme() == "file":
                yield from sorted(Path(source.path).rglob("*.yaml"))

    def unreadable_file(self) -> Path | None:
        """Return the first file that is no configuration at all; None where each can be read."""
        for file in self.files():
            try:
                OmegaConf.load(file)
            except Exception:  # YAML and OmegaConf have many errors for this
                return file
        return None

    def option_file(self, group: str, option: str) -> Path | None:
        """Return the file of an option; None where it is not a plain file."""
        return next((f for f in self.files() if f.parts[-2:] == (group, f"{option}.yaml")), None)


def flag_parser() -> ArgumentParser:
    """Return the parser of Hydra's flags."""
    return get_args_parser()


def parse_override(text: str) -> Override:
    """Parse one override of the command line.

    Raises:
        hydra.errors.HydraException: it cannot be read.
    """
    return OverridesParser.create().parse_override(text)


def apply_override(override: Override, config: DictConfig) -> None:
    """Change a composed configuration in place as the command line would.

    Raises:
        hydra.errors.HydraException: it does not fit.
    """
    ConfigLoaderImpl._apply_overrides_to_config([override], config)
