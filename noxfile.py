"""The Makefile's checks on other Pythons and Twisteds, each in an environment of its own.

``nox -l`` lists the sessions. The Makefile runs the same tools in ``.venv``, where they start
faster.
"""

from __future__ import annotations

from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
# Lowest: what setup.cfg allows. Latest: what an installation of today gets.
TWISTEDS = {"lowest": "twisted[tls]==24.11.0", "latest": "twisted[tls]"}

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typing", "coverage", "docs", "changelog", "tests", "packaging"]


@nox.session(python=PYTHONS)
@nox.parametrize("twisted", list(TWISTEDS))
def tests(session: nox.Session, twisted: str) -> None:
    """Run the tests; arguments after ``--`` go to pytest."""
    session.install("--editable", ".[test]", TWISTEDS[twisted])
    session.run("pytest", "-q", "--numprocesses=auto", "--dist=loadfile", *session.posargs)


@nox.session
def packaging(session: nox.Session) -> None:
    """Build the wheel and the source distribution in isolation, and check their metadata."""
    session.install("build", "twine")
    dist = Path(session.create_tmp(), "dist")
    session.run("python", "-m", "build", "--outdir", str(dist))
    session.run("python", "-m", "twine", "check", "--strict", *map(str, sorted(dist.iterdir())))


def _make(session: nox.Session, target: str) -> None:
    """Run a target of the Makefile in the session's environment."""
    session.install("--editable", ".[dev]")
    session.run("make", target, f"BIN={session.bin}", "-o", ".venv/.dev", external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    _make(session, "lint")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types, as we do and as our users do."""
    _make(session, "typing")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests, demand every branch of the core's lower floors."""
    _make(session, "coverage")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, run its examples."""
    _make(session, "docs")


@nox.session
def changelog(session: nox.Session) -> None:
    """Check the news fragments."""
    _make(session, "changelog")
