"""The weights of the networks."""

from __future__ import annotations

import typer

from nstflow.cli.app import app
from nstflow.errors import NstflowError, Problem

weights_app = typer.Typer(help="The weights of the networks.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


@weights_app.command("list")
def weights_list() -> None:
    """List the weights that recipes can name."""
    from nstflow.listings import show_weights
    from nstflow.weights import named_assets

    show_weights(named_assets())


@weights_app.command("fetch")
def weights_fetch() -> None:
    """Fetch the ImageNet weights ahead of the first run; replace them if they are damaged."""
    from nstflow import console
    from nstflow.weights import imagenet

    console.fetch([imagenet.asset(replace_damaged=True)])
    console.show_sound(str(imagenet.path), "whole")


@weights_app.command("verify")
def weights_verify() -> None:
    """Check the fetched weights against their sha256."""
    from nstflow import console
    from nstflow.weights import imagenet

    state = imagenet.state()
    if state == "missing":
        hint = "`nstflow weights fetch` fetches them; so does the first run."
        raise NstflowError(Problem(str(imagenet.path), "", "the weights are not here yet.", hint))
    if state == "damaged":
        raise NstflowError(imagenet.damage())
    console.show_sound(str(imagenet.path), "whole")
