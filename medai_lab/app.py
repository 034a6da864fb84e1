"""From a command line to a job: read, check, compose, run.

Nothing heavy is imported before the configuration is known to be good, and nothing at all for `--help` or `--cfg`.

Exit codes: 0; 1 where a job failed; 2 where the user can mend it; 130 and 143 where it was stopped.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medai_lab import __version__
from medai_lab.config.arguments import Arguments, read
from medai_lab.config.overrides import parse
from medai_lab.config.problems import Problem, is_below, listing
from medai_lab.config.search import CONFIG_NAME, HYDRA_VERSION_BASE, conf_folder
from medai_lab.errors import UserError
from medai_lab.logs import FILE_ONLY, process_number, start_logging, stop_logging

if TYPE_CHECKING:
    from medai_lab.config.schema import Config

log = logging.getLogger(__name__)

FAILED, USERS_MISTAKE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        argv: the arguments; those of the process unless given.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if given == ["--version"]:
        sys.stdout.write(f"medai_lab {__version__}\n")
        return 0
    _make_current_folder_importable()
    try:
        arguments, problems = read(given)
        if arguments.displays:
            return _display(arguments, problems)
        if process_number() == 0:  # the first process has checked for the others of its run
            problems += _check(arguments)
        return _tell(listing(problems)) if problems else _launch(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else FAILED
    finally:
        stop_logging()


def run_job(composed: DictConfig) -> int:
    """Run the composed configuration's job in this process and return the exit code.

    Args:
        composed: the configuration without Hydra's node, inside a task function of Hydra.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    resumed = composed.get("resume") is not None
    if process_number() == 0 and not resumed and (folder / "config.yaml").exists():
        return _tell(f"{folder} already holds a run. Start again for a folder of its own, or resume={folder}")
    start_logging(folder)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves a hospital unasked
    # OpenMP's threads spin while they wait for one another. Beside other busy processes long spinning turns a second of
    # training into ten; a thirtieth of GNU's default costs nothing alone. It must be set before torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        config = _decide(composed)
        if process_number() == 0:
            _show(config, folder)
            _refuse_bad_targets(config, resumed)
        _job(config, resumed)(config)
    except UserError as error:
        log.error("%s", error, exc_info=error.__cause__, extra=FILE_ONLY)
        return _tell(str(error))
    except Exception:  # the last place that can still log it
        log.exception("The job failed. Its log is %s", folder / "run.log")
        return FAILED
    return 0


def _launch(arguments: Arguments) -> int:
    """Let Hydra compose and start the one job, or the jobs of a sweep."""
    if arguments.multirun:
        from medai_lab.jobs.multirun import Sweep

        sweep = Sweep(arguments.search_flags())
        try:
            _hydra(sweep.run_job, arguments)
        finally:
            code = sweep.finish()
        return code
    codes: list[int] = []
    _hydra(lambda composed: codes.append(run_job(composed)), arguments)
    return codes[0] if codes else FAILED


def _display(arguments: Arguments, problems: list[Problem]) -> int:
    """Let Hydra show help or configuration; look for the reason only where it cannot, as looking takes time.

    Settings are the exception: Hydra would show wrong ones as they are.
    """
    completes = "shell_completion" in arguments.flags  # its arguments are no overrides
    if not completes and any("=" in o and not _is_choice(o) for o in arguments.overrides):
        problems += _check(arguments)
    if problems:
        return _tell(listing(problems))
    shown, said = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            _show_help(arguments) if "help" in arguments.flags else _hydra(lambda composed: None, arguments)
        failed = False
    except SystemExit as exit_:
        failed = exit_.code not in (0, None)
    except Exception as error:  # Hydra prints only some of its own errors
        failed = said.write(str(error)) >= 0
    if not failed:
        sys.stdout.write(shown.getvalue())
        sys.stdout.flush()
        sys.stderr.write(said.getvalue())
        return 0
    problems = [] if completes else _check(arguments)
    return _tell(listing(problems) if problems else said.getvalue().strip())


def _hydra(task: Callable[[DictConfig], Any], arguments: Arguments) -> None:
    """Call Hydra with the expanded command line; the processes that Lightning starts are given the same."""
    before = sys.argv
    sys.argv = [before[0], *arguments.to_argv()]
    try:
        hydra.main(config_path=str(conf_folder()), config_name=CONFIG_NAME, version_base=HYDRA_VERSION_BASE)(task)()
    finally:
        sys.argv = before


def _show_help(arguments: Arguments) -> None:
    overrides, _ = parse(arguments.overrides)
    arguments.composer(overrides).print_help(arguments.overrides, "resolve" in arguments.flags)


def _check(arguments: Arguments) -> list[Problem]:
    from medai_lab.config.check import check

    return check(arguments)


def _decide(composed: DictConfig) -> "Config":
    """Return the typed configuration; with model=auto, with the network that fits the devices of this machine."""
    from medai_lab.config.schema import Config

    if "net" not in composed.model:
        composed = _with_model(_uses_gpu(composed.trainer.gpus), composed)
    plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return Config.from_plain({str(key): value for key, value in plain.items()})


def _uses_gpu(gpus: Any) -> bool:
    from medai_lab.config.targets import gpu_count

    return gpu_count() > 0 if gpus == "auto" else gpus != 0


def _with_model(gpu: bool, composed: DictConfig) -> DictConfig:
    option = composed.model.gpu if gpu else composed.model.cpu
    given = HydraConfig.get()
    search = [line for line in given.overrides.hydra if line.startswith("hydra.searchpath=")]
    kept = [line for line in given.overrides.task if not is_below(line.lstrip("+~").partition("=")[0], ["model"])]
    log.info("Model: %s, chosen for %s.", option, "the GPU" if gpu else "a machine without GPU")
    return hydra.compose(given.job.config_name, [*search, *kept, f"model={option}"])


def _show(config: "Config", folder: Path) -> None:
    from rich.console import Console

    from medai_lab.config.printing import print_config

    print_config(config, Console(stderr=True))
    log.info("Run folder: %s", folder)


def _refuse_bad_targets(config: "Config", resumed: bool) -> None:
    from medai_lab.config.targets import check_targets

    if problems := check_targets(config, trusted=not resumed):
        raise UserError(listing(problems))


def _job(config: "Config", resumed: bool) -> Callable[["Config"], Any]:
    from medai_lab.config.instantiate import import_target

    return import_target(config.job.target, trusted=not resumed, allow=config.trust)


def _is_choice(text: str) -> bool:
    """Whether an override chooses an option of one of our groups, going by its folder."""
    return (conf_folder() / text.lstrip("+~").partition("=")[0]).is_dir()


def _make_current_folder_importable() -> None:
    """Find a user's own classes beside their files; `python -m` does that, a console script does not."""
    here = str(Path.cwd())
    if not {"", here} & set(sys.path):
        sys.path.append(here)


def _tell(message: str) -> int:
    if process_number() == 0:
        sys.stderr.write(f"{message}\n")
    return USERS_MISTAKE
