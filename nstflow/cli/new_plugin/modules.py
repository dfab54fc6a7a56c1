"""What a new package's module begins as: less than 40 lines that work, for each kind."""

from __future__ import annotations

OBSERVERS = "observers"

LOSS = '''\
"""NAME: a loss for nstflow."""

from typing import Literal

from pydantic import Field

from nstflow import StatisticTerm, Tensor, hookimpl, tf


class CLASS(StatisticTerm):
    """Match the mean and the spread of every feature, wherever it occurs.

    The mean of (s(canvas) - s(image))², where s are Σ w x and Σ w x² of each feature x.
    """

    use: Literal["USE"] = "USE"
    spread: float = Field(1.0, ge=0, description="How much the spread counts beside the mean.")

    def summarize(self, points: Tensor, weights: Tensor) -> Tensor:
        """Return `(2, c)` of points `(n, c)` that count by weights `(n, 1)`, which sum to 1."""
        mean = tf.reduce_sum(weights * points, axis=0)
        square = tf.reduce_sum(weights * points**2, axis=0)
        return tf.stack([mean, self.spread * square])

    def distance(self, summary: Tensor, target: Tensor) -> Tensor:
        """Return how far the canvas's summary is from the image's."""
        return tf.reduce_mean(tf.square(summary - target))


@hookimpl
def nstflow_stages():
    return [CLASS]
'''

PREPROCESSOR = '''\
"""NAME: a preprocessor for nstflow."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Preprocessor, hookimpl

LUMA = (0.299, 0.587, 0.114)


class CLASS(Preprocessor):
    """Fade the colours of images towards gray."""

    use: Literal["USE"] = "USE"
    amount: float = Field(0.5, ge=0, le=1, description="0 leaves the colours, 1 is gray.")

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size that an image of a size has afterwards."""
        return size

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the faded image."""
        gray = (image.pixels * LUMA).sum(axis=-1, keepdims=True)
        faded = (1 - self.amount) * image.pixels + self.amount * gray
        return Image(faded.clip(0, 1).astype("float32"), image.alpha)


@hookimpl
def nstflow_stages():
    return [CLASS]
'''

POSTPROCESSOR = '''\
"""NAME: a postprocessor for nstflow."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Postprocessor, hookimpl


class CLASS(Postprocessor):
    """Reduce the finished picture to a few tones, as a poster is printed."""

    use: Literal["USE"] = "USE"
    tones: int = Field(6, ge=2, le=256, description="Tones of each colour channel.")

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the picture in few tones; `images` are the prepared references."""
        steps = self.tones - 1
        return Image((image.pixels * steps).round() / steps, image.alpha)


@hookimpl
def nstflow_stages():
    return [CLASS]
'''

OBSERVER = '''\
"""NAME: tells of nstflow's runs while they last."""

from nstflow import Progress, Result, hookimpl


@hookimpl
def nstflow_progress(progress: Progress) -> None:
    """Print which loss is the largest, at the end of each epoch."""
    if progress.ends_epoch:
        name = max(progress.losses, key=lambda name: progress.losses[name][-1])
        print(f"USE: after epoch {progress.epoch}, '{name}' is the largest loss")


@hookimpl
def nstflow_run_finished(result: Result) -> None:
    """Say where the picture is."""
    print(f"USE: {result.folder} holds {', '.join(file.name for file in result.files)}")
'''

SLOTS = {"losses": LOSS, "preprocess": PREPROCESSOR, "postprocess": POSTPROCESSOR}
