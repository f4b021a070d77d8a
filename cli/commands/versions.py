"""`cnnviz versions`: what is installed, for reports of problems."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from ..signature import command

_PACKAGES = ("tensorflow", "keras", "tf-keras", "numpy", "matplotlib", "pillow", "h5py")


@command("cnnviz versions")
def versions() -> None:
    """Print the versions of cnnviz, Python and the packages that cnnviz stands on."""
    from cnnviz import __version__

    print(f"cnnviz {__version__}")
    print(f"python {platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES:
        try:
            print(package, version(package))
        except PackageNotFoundError:
            print(package, "is not installed")
