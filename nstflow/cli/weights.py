"""The weights of the networks."""

import typer

from nstflow.cli.console import output as console
from nstflow.errors import NstflowError, Problem

app = typer.Typer(help="The weights of the networks.", no_args_is_help=True)


@app.command("list")
def weights_list() -> None:
    """List the weights that recipes can name."""
    from nstflow.cli.console.plan_view import show_weights
    from nstflow.engine.weights import named_assets

    show_weights(named_assets())


@app.command("fetch")
def weights_fetch() -> None:
    """Fetch the ImageNet weights before the first run; replace them if they are damaged."""
    from nstflow.engine.weights import imagenet

    console.fetch_assets([imagenet.asset()])
    console.show_ok(str(imagenet.path()), "complete")


@app.command("verify")
def weights_verify() -> None:
    """Check the fetched weights against their sha256."""
    from nstflow.engine.weights import imagenet

    state = imagenet.state()
    if state == "missing":
        hint = "`nstflow weights fetch` fetches them, and so does the first run."
        raise NstflowError(
            Problem(str(imagenet.path()), "", "the weights are not fetched yet.", hint)
        )
    if state == "damaged":
        raise NstflowError(imagenet.damage())
    console.show_ok(str(imagenet.path()), "complete")
