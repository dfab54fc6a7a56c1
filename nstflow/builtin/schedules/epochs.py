"""Epochs of equal length at full size."""

from typing import Literal

from pydantic import Field

from nstflow import Phase, Schedule, Size


class Epochs(Schedule):
    """Take `epochs` times `steps_per_epoch` steps at full size, the size after `preprocess`.

    An epoch only groups steps for the display: the picture depends on the product alone.
    """

    use: Literal["epochs"] = "epochs"
    epochs: int = Field(10, ge=1, le=1_000_000, description="Number of epochs.")
    steps_per_epoch: int = Field(100, ge=1, le=1_000_000, description="Steps in each epoch.")

    def phases(self, size: Size) -> list[Phase]:  # noqa: ARG002 - the contract
        """Return the one phase."""
        return [Phase(self.epochs * self.steps_per_epoch, self.steps_per_epoch)]
