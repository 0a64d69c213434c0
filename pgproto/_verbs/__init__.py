"""The verbs of sessions, once for all event loops and once for plain threads."""

from __future__ import annotations
