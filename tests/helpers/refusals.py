"""The problems of the error that a call must raise."""

from collections.abc import Callable
from typing import Any

import pytest

from nstflow.errors import NstflowError, Problem


def problems_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(NstflowError) as caught:
        call(*arguments, **options)
    return caught.value.problems


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> Problem:
    (problem,) = problems_of(call, *arguments, **options)
    return problem
