"""The built-in stages: a plugin like any other, written with nstflow's public names alone."""

from pathlib import Path

from nstflow import Stage, hookimpl
from nstflow.builtin.executors.dask import Dask
from nstflow.builtin.executors.processes import Processes
from nstflow.builtin.executors.serial import Serial
from nstflow.builtin.extractors.keras import KerasNetwork
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.builtin.loaders.file import File
from nstflow.builtin.loaders.mask import Mask
from nstflow.builtin.loaders.noise import NoiseImage
from nstflow.builtin.losses.content import Content
from nstflow.builtin.losses.gram import Gram
from nstflow.builtin.losses.mean_std import MeanStd
from nstflow.builtin.losses.total_variation import TotalVariation
from nstflow.builtin.losses.wasserstein import Wasserstein
from nstflow.builtin.optimizers.adam import Adam
from nstflow.builtin.optimizers.lbfgs import Lbfgs
from nstflow.builtin.outputs.jpeg import Jpeg
from nstflow.builtin.outputs.png import Png
from nstflow.builtin.outputs.tiff import Tiff
from nstflow.builtin.outputs.webp import Webp
from nstflow.builtin.postprocessors.keep_color import KeepColor, OnlyColor
from nstflow.builtin.postprocessors.match_color import MatchResult
from nstflow.builtin.postprocessors.resize import ResizeResult
from nstflow.builtin.preprocessors.crop import Crop
from nstflow.builtin.preprocessors.luminance import Luminance
from nstflow.builtin.preprocessors.match_color import MatchColor
from nstflow.builtin.preprocessors.resize import Resize
from nstflow.builtin.schedules.epochs import Epochs
from nstflow.builtin.schedules.scales import Scales
from nstflow.builtin.starts.blend import Blend
from nstflow.builtin.starts.image import FromImage
from nstflow.builtin.starts.low_pass import LowPass
from nstflow.builtin.starts.noise import FromNoise
from nstflow.builtin.starts.style_statistics import FromStyleStatistics


@hookimpl
def nstflow_stages() -> list[type[Stage]]:
    """Offer every built-in stage."""
    stages: list[type[Stage]] = [File, Mask, NoiseImage, Resize, Crop, MatchColor, Luminance]
    stages += [VGG19, KerasNetwork, FromImage, FromNoise, Blend, LowPass, FromStyleStatistics]
    stages += [Content, Gram, MeanStd, TotalVariation, Wasserstein]
    stages += [Adam, Lbfgs, Epochs, Scales]
    stages += [KeepColor, OnlyColor, MatchResult, ResizeResult]
    return [*stages, Png, Tiff, Jpeg, Webp, Serial, Processes, Dask]


@hookimpl
def nstflow_recipes() -> list[Path]:
    """Offer the recipes and layers that ship: a copy in the wheel, the folder in a clone."""
    package = Path(__file__).parents[1]
    copy = package / "_recipes"
    folder = copy if copy.is_dir() else package.parent / "recipes"
    return [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("layers/*.yaml"))]
