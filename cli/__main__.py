"""`python -m cnnviz_cli` is `cnnviz`."""

from .process import run

run()
