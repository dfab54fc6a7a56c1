"""For authors of stages: whether a stage keeps to its contract, and small things to run it on.

    from nstflow.testing import check_stage

    def test_my_term():
        check_stage(MyTerm)

`check_stage` makes the stage with its defaults, or with settings that are given, and raises an
`AssertionError` that says what is wrong and what to do. The pytest fixtures `nstflow_tiny_images`
and `nstflow_run` are there wherever nstflow is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nstflow import (
    Executor,
    Extractor,
    Loader,
    LossTerm,
    Optimizer,
    Output,
    Postprocessor,
    Preprocessor,
    Schedule,
    Stage,
    Start,
)
from nstflow.errors import describe_exception, source_path_of
from nstflow.testing import class_checks, loss_checks, stage_checks
from nstflow.testing.tiny import run_tiny, tiny_images

__all__ = ["check_stage", "run_tiny", "tiny_images"]

_CHECKS: dict[type[Stage], Callable[[Any], None]] = {
    LossTerm: loss_checks.check,
    Loader: stage_checks.check_loader,
    Preprocessor: stage_checks.check_preprocessor,
    Start: stage_checks.check_start,
    Optimizer: stage_checks.check_optimizer,
    Schedule: stage_checks.check_schedule,
    Postprocessor: stage_checks.check_postprocessor,
    Output: stage_checks.check_output,
    Extractor: stage_checks.check_extractor,
    Executor: stage_checks.check_executor,
}


_ASKED: dict[type[Stage], str] = {
    LossTerm: "score, or distance, gives a scalar tensor, made by TensorFlow",
    Loader: "load gives an Image: float32 (h, w, 3) in [0, 1]",
    Preprocessor: "apply gives an Image: float32 (h, w, 3) in [0, 1]",
    Start: "paint gives an Image: float32 (h, w, 3) in [0, 1]",
    Optimizer: "start gives the state, step canvas, state and losses; the canvas in [0, 1]",
    Schedule: "phases gives a list of Phase",
    Postprocessor: "apply gives an Image: float32 (h, w, 3) in [0, 1]",
    Output: "write gives the path of a file in the folder it is handed",
    Extractor: "build gives a function: canvas -> layer -> feature map",
    Executor: "run yields a JobResult for each job",
}


def check_stage(stage: type[Stage], **settings: Any) -> None:
    """Check that a stage keeps to the contract of its slot.

    Args:
        stage: The class.
        settings: What a recipe would write; needed where a setting has no default.

    Raises:
        AssertionError: It does not; the text says how, and what to do.
    """
    if class_checks.is_asked_by_itself():
        return
    class_checks.check_class(stage)
    made = class_checks.make(stage, settings)
    class_checks.check_round_trip(made)
    class_checks.check_example(stage)
    class_checks.check_import(stage)
    for base, check in _CHECKS.items():
        if isinstance(made, base):
            _ask(base, check, made)


def _ask(base: type[Stage], check: Callable[[Any], None], stage: Stage) -> None:
    """Let a check speak of whatever the stage raises."""
    try:
        check(stage)
    except (AssertionError, KeyboardInterrupt):
        raise
    except BaseException as error:
        title, told = type(stage).__name__, describe_exception(error, source_path_of(type(stage)))
        raise AssertionError(
            f"{title} can't do what its slot asks ({_ASKED[base]}); it ended in {told}"
        ) from error
