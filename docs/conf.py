"""Sphinx configuration. The build reads no network, so that it is the same everywhere."""

from __future__ import annotations

import sys
from pathlib import Path

import txsmtpconn

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "txsmtpconn"
author = "The txsmtpconn authors"
project_copyright = f"2026 {author}"
version = release = txsmtpconn.__version__

extensions = [
    "command_help",
    "sasl_mechanisms",
    "session_tables",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.extlinks",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "decisions/template.rst"]

html_theme = "furo"
html_title = f"txsmtpconn {release}"
html_copy_source = False

# :rfc:`5321#section-4.2` is Sphinx's own; this one is for our issues.
extlinks = {"issue": ("https://github.com/txsmtpconn/txsmtpconn/issues/%s", "#%s")}

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False
# "Attributes:" as a list under the class, so that autodoc may list the same fields itself.
napoleon_use_ivar = True

# What a Deferred fails with.
napoleon_custom_sections = [("Errbacks", "params_style")]

doctest_test_doctest_blocks = "default"

# Names that annotations and docstrings mention and that no page of ours describes: those of the
# standard library and of Twisted (there is no intersphinx), and those inside our rooms.
nitpick_ignore_regex = [
    ("py:.*", r"(twisted|zope|OpenSSL|cryptography|idna|service_identity|collections|email)\b.*"),
    ("py:.*", r"(typing|abc|enum|pathlib|ssl|os|io|types|datetime|sqlite3)\b.*"),
    ("py:.*", r"txsmtpconn\.(wire|sasl|session|net|client|server|transport|relay|sink)\..*"),
    ("py:.*", r"txsmtpconn\.testing\..*"),
    ("py:class", r"<InterfaceClass .*"),
    ("py:class", r"[A-Za-z_]*"),
    ("py:exc", r"[A-Za-z_]*"),
]
