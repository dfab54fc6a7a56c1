"""For authors of stages: check that a stage meets its slot's contract; small inputs to run it on.

    from nstflow.testing import check_stage

    def test_my_term():
        check_stage(MyTerm)

`check_stage` makes the stage with its defaults, or with the given settings, and raises an
`AssertionError` that says what is wrong and how to fix it. The pytest fixtures
`nstflow_tiny_images` and `nstflow_run` are available wherever nstflow is installed.
"""

from collections.abc import Callable
from typing import Any

from nstflow import Stage
from nstflow.errors import describe_exception, source_path_of
from nstflow.testing import class_checks, loss_checks, stage_checks
from nstflow.testing.tiny import run_tiny, tiny_images

__all__ = ["check_stage", "run_tiny", "tiny_images"]

_IMAGE = "gives an Image: float32 (h, w, 3) in [0, 1]"

_CHECKS: dict[str, tuple[Callable[[Any], None], str]] = {
    "images": (stage_checks.check_loader, f"load {_IMAGE}"),
    "preprocess": (stage_checks.check_preprocessor, f"apply {_IMAGE}"),
    "extractor": (
        stage_checks.check_extractor,
        "build gives a function: canvas -> layer -> feature map",
    ),
    "start": (stage_checks.check_start, f"paint {_IMAGE}"),
    "losses": (
        loss_checks.check,
        "score, or distance, gives a scalar tensor, made by TensorFlow",
    ),
    "optimizer": (
        stage_checks.check_optimizer,
        "start gives the state, step canvas, state and losses; the canvas in [0, 1]",
    ),
    "schedule": (stage_checks.check_schedule, "phases gives a list of Phase"),
    "postprocess": (stage_checks.check_postprocessor, f"apply {_IMAGE}"),
    "outputs": (stage_checks.check_output, "write gives the path of a file in the given folder"),
    "executor": (stage_checks.check_executor, "run yields a JobResult for each job"),
}
"""Slot → the check of its stages, and what its contract requires."""


def check_stage(stage: type[Stage], **settings: Any) -> None:
    """Check that a stage meets the contract of its slot.

    Args:
        stage: The class.
        settings: What a recipe would write; needed where a setting has no default.

    Raises:
        AssertionError: It does not; the text says why, and how to fix it.
    """
    slot = class_checks.check_class(stage)
    made = class_checks.make(stage, settings)
    class_checks.check_round_trip(made)
    class_checks.check_example(stage, slot)
    class_checks.check_import(stage)
    check, contract = _CHECKS[slot.name]
    try:
        check(made)
    except (AssertionError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise AssertionError(
            f"{stage.__name__} does not do what its slot requires ({contract}); it raised"
            f" {describe_exception(error, source_path_of(stage))}"
        ) from error
