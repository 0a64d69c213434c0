"""The version of the distribution, in the one place the build reads it from."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
