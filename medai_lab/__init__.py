"""medai_lab: a config-driven experiment framework for medical AI."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("medai-lab")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
