"""A plugin that offers one loss, `grey`."""

GREY = """
from typing import Literal
from pydantic import Field
from nstflow import LossTerm, hookimpl, tf


class Grey(LossTerm):
    \"\"\"Draw the canvas to [grey].\"\"\"

    use: Literal["grey"] = "grey"
    level: float = Field(0.5, description="The grey, in [0, 1].")

    def score(self, features, target):
        return tf.reduce_mean(features["image"]) - self.level


@hookimpl
def nstflow_stages():
    return [Grey]
"""
