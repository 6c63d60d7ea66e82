"""What a peer needs, and what becomes of its tests where that is missing.

A missing peer skips its tests and says what it needs; with TXSMTPCONN_PEERS=required, as in
`.ci/run`, it fails them.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

_DIRECTORIES = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


def peers_directory() -> Path:
    """Return where `.ci/peers` puts what it does not install as a package."""
    return Path(os.environ.get("TXSMTPCONN_PEERS_DIR", "/opt/txsmtpconn-peers"))


def missing(what: str) -> NoReturn:
    """Skip the test for want of something, or fail it where peers are required."""
    if os.environ.get("TXSMTPCONN_PEERS") == "required":
        pytest.fail(f"required here, and missing: {what}", pytrace=False)
    pytest.skip(f"needs {what}")


def program(name: str, package: str | None = None) -> str:
    """Return the path of a program."""
    search = os.environ.get("PATH", "") + ":" + _DIRECTORIES
    found = shutil.which(name, path=search)
    if found is None:
        missing(f"{name} (Debian package {package or name})")
    return found


def unpacked(path: str) -> Path:
    """Return something that `.ci/peers` put into its directory."""
    found = peers_directory() / path
    if not found.exists():
        missing(f"{found} (made by .ci/peers)")
    return found


def root(why: str) -> None:
    """Ask for root."""
    if os.geteuid() != 0:
        missing(f"root, as {why}")


def python_package(name: str, requirement: str) -> None:
    """Ask for a Python package that not every machine can build."""
    if find_spec(name) is None:
        missing(f"the Python package {name} (pip install {requirement!r})")
