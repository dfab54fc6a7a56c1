"""Fixtures for authors of stages, wherever pytest and nstflow are installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
    """A function that runs a small recipe: `nstflow_run(losses={"mine": {"use": "mine"}})`."""
    from nstflow.testing import run_tiny

    return partial(run_tiny, tmp_path)
