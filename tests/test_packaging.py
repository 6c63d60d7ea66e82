"""What an installation gets: exactly the package and its plugin, found by Twisted from anywhere.

Nothing is downloaded. The wheel is built from a copy of the checkout by the setuptools of this
environment, and the fresh environments borrow this one's dependencies through a .pth file; that
file is read without the .pth files beside them, so our own checkout stays out of sight.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import txsmtpconn

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = "twisted/plugins/txsmtpconn_plugins.py"
DIST_INFO = {
    "METADATA",
    "RECORD",
    "WHEEL",
    "entry_points.txt",
    "licenses/LICENSE",
    "top_level.txt",
}

LIST_PLUGINS = """
import sys
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
print(*sorted(maker.tapname for maker in getPlugins(IServiceMaker) if "smtp" in maker.tapname))
print(*sorted(name for name in sys.modules if name.startswith("txsmtpconn")))
"""

USES_CAPTURE = """
import smtplib
import txsmtpconn

def test(capture_process, request):
    assert request.config.pluginmanager.has_plugin("txsmtpconn")
    with smtplib.SMTP(capture_process.host, capture_process.port, timeout=10) as client:
        client.sendmail("a@a.test", ["b@b.test"], "Subject: x\\n\\nhello\\n")
    assert capture_process.wait_for(1)[0].subject == "x"
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with none of this process's Python settings; it must succeed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what a build reads, with the litter that a checkout in use has."""
    source = tmp_path_factory.mktemp("source")
    litter = shutil.ignore_patterns("__pycache__", "*.pyc", "node_modules", "dropin.cache")
    for name in ("txsmtpconn", "twisted", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=litter)
    for name in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "twisted" / "plugins" / "dropin.cache").write_bytes(b"stale")
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    dist = tmp_path_factory.mktemp("dist")
    script = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    run(sys.executable, "-c", script, dist, cwd=source)
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(
    request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Install into a fresh environment, either way; return its folder of programs."""
    home = tmp_path_factory.mktemp(request.param)
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-c", ask, cwd=home).stdout.strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    wanted = (
        [request.getfixturevalue("wheel")]
        if request.param == "wheel"
        else ["--no-build-isolation", "--editable", source]
    )
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", *wanted, cwd=home)
    return home / "bin"


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Every module, page, py.typed and the plugin: no tests, no cache, no twisted/__init__."""
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("txsmtpconn/**/static/*")}
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("txsmtpconn/**/*.py")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    assert names - metadata == modules | pages | {PLUGIN, "txsmtpconn/py.typed"}
    assert {name.partition("/")[2] for name in metadata} == DIST_INFO


def test_no_package_named_twisted() -> None:
    """An ``__init__.py`` of ours under twisted/ would hide Twisted itself from the checkout."""
    assert not list((ROOT / "twisted").rglob("__init__.py"))


def test_plugins_are_found_and_import_nothing(installed: Path, tmp_path: Path) -> None:
    """From any directory Twisted lists our services, and listing them loads none of our code."""
    found, loaded = run(installed / "python", "-c", LIST_PLUGINS, cwd=tmp_path).stdout.split("\n")[
        :2
    ]
    assert found.split() == ["smtprelay", "smtpsink"]
    assert loaded == ""


@pytest.mark.parametrize("program", ["twist", "twistd"])
def test_twist_and_twistd_offer_the_services(program: str, installed: Path, tmp_path: Path) -> None:
    """``twist --help`` and ``twistd --help`` name the relay and the sink, without a traceback."""
    module = {"twist": "twisted.application.twist._twist", "twistd": "twisted.scripts.twistd"}
    call = {"twist": "Twist.main()", "twistd": "run()"}[program]
    name = call.partition(".")[0].removesuffix("()")
    script = f"import sys; from {module[program]} import {name}; sys.argv[0] = 'x'; {call}"
    done = run(installed / "python", "-c", script, "--help", cwd=tmp_path)
    assert {"smtprelay", "smtpsink"} <= set(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr


def test_installed_package_is_typed_and_versioned(installed: Path, tmp_path: Path) -> None:
    """The version asked of the metadata is the package's own, and py.typed lies beside it."""
    script = (
        "import importlib.metadata, pathlib, txsmtpconn\n"
        "assert importlib.metadata.version('txsmtpconn') == txsmtpconn.__version__\n"
        "assert pathlib.Path(txsmtpconn.__file__).with_name('py.typed').exists()\n"
    )
    run(installed / "python", "-c", script, cwd=tmp_path)


def test_pytest_finds_the_fixtures(installed: Path, tmp_path: Path) -> None:
    """Anybody's tests may ask for a capture server, in a project that has no pytest-twisted."""
    blocked = "import sys; sys.modules['pytest_twisted'] = None\n"
    (tmp_path / "conftest.py").write_text(blocked, "utf-8")
    (tmp_path / "test_theirs.py").write_text(USES_CAPTURE, "utf-8")
    alone = ("-p", "no:twisted", "-p", "no:cacheprovider", "-W", "error")
    done = run(installed / "python", "-m", "pytest", "-q", *alone, cwd=tmp_path)
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("service", ["smtprelay", "smtpsink"])
def test_services_load(service: str, installed: Path, tmp_path: Path) -> None:
    """Each service that the plugin names is there, and explains its options."""
    script = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'x'; run()"
    done = run(installed / "python", "-c", script, service, "--help", cwd=tmp_path)
    assert "--listen" in done.stdout


def test_command_runs(installed: Path, tmp_path: Path) -> None:
    """The ``smtpconn`` command of the environment runs from anywhere."""
    done = run(installed / "smtpconn", "--version", cwd=tmp_path)
    assert done.stdout.split() == ["smtpconn", txsmtpconn.__version__]
