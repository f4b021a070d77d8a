"""The command line of cnnviz."""

from .process import run

__all__ = ["run"]
