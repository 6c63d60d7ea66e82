"""Benchmarks: this project beside its peers, the same work in one run.

``python -m bench --help`` tells how to run them, ``bench/README.md`` what is measured and how.
"""
