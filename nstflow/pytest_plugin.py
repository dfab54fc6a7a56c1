"""Fixtures for authors of stages, wherever pytest and nstflow are installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nstflow import Image, Result


@pytest.fixture
def nstflow_tiny_images() -> dict[str, Image]:
    """Two small images, `content` and `style`."""
    from nstflow.testing import tiny_images

    return tiny_images()


@pytest.fixture
def nstflow_run(tmp_path: Path) -> Callable[..., Result]:
    """A function that runs a small recipe: `nstflow_run(losses={"mine": {"use": "mine"}})`.

    Each call has its own folder.
    """
    from nstflow.testing import run_tiny

    numbers = itertools.count(1)

    def run(**slots: Any) -> Result:
        folder = tmp_path / f"nstflow-{next(numbers)}"
        folder.mkdir()
        return run_tiny(folder, **slots)

    return run
