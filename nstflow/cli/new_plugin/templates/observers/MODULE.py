"""NAME: prints the progress of nstflow's runs."""

from nstflow import Progress, Result, hookimpl


@hookimpl
def nstflow_progress(progress: Progress) -> None:
    """Print which loss is the largest, at the end of each epoch."""
    if progress.ends_epoch:
        name = max(progress.losses, key=lambda name: progress.losses[name][-1])
        print(f"USE: after epoch {progress.epoch}, '{name}' is the largest loss")


@hookimpl
def nstflow_run_finished(result: Result) -> None:
    """Print where the picture is."""
    print(f"USE: {result.folder} holds {', '.join(file.name for file in result.files)}")
