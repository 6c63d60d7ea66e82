"""The sink's page: what an application has sent, for its developer to read."""

from __future__ import annotations
