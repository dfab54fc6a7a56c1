"""How a property is tried: on how many examples, from which seed, for how long."""

import contextlib
import random
import re
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as some
from hypothesis.strategies import SearchStrategy

from nstflow.errors import NstflowError, NstflowWarning, printable
from nstflow.plan import make_plans
from nstflow.recipe.reader import ReadOptions, read

LIMITS = {signal.SIGPROF: (signal.ITIMER_PROF, 10), signal.SIGALRM: (signal.ITIMER_REAL, 60)}
"""What an example may take: 10 s of the processor, and 60 s by the clock of a busy machine."""

ODD = [(1 << n) + k for n in (0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64) for k in (-1, 0)]
"""Numbers at the limits of what files count with."""

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@contextlib.contextmanager
def limited() -> Iterator[None]:
    def late(number: int, _frame: object) -> None:
        pytest.fail(f"an example took longer than {LIMITS[signal.Signals(number)][1]} s")

    before = {number: signal.signal(number, late) for number in LIMITS}
    for timer, seconds in LIMITS.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in LIMITS.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@pytest.fixture(scope="session")
def tried(pytestconfig: pytest.Config) -> Callable[..., Counter[str]]:
    """Try a property on examples; return how often each of its outcomes came.

    The examples are few, and the same every time. With `-m fuzz` they are many, and others every
    time: a failure shows the seed.
    """
    many = pytestconfig.getoption("markexpr") == "fuzz"
    start = pytestconfig.getoption("--hypothesis-seed") or (random.getrandbits(32) if many else 0)

    def tried(
        outcome_of: Callable[[Any], str], examples: SearchStrategy[Any], count: int
    ) -> Counter[str]:
        outcomes: Counter[str] = Counter()

        @seed(f"{outcome_of.__name__} {start}")
        @settings(
            max_examples=count * 30 if many else count,
            deadline=None,  # `limited` has one
            database=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(example=examples)
        def attempt(example: Any) -> None:
            with limited():
                outcomes[outcome_of(example)] += 1

        try:
            attempt()
        except BaseException as error:
            error.add_note(f"The same examples again: --hypothesis-seed={start}")
            raise
        return outcomes

    return tried


@pytest.fixture(scope="session")
def edited_bytes() -> Callable[[list[bytes]], SearchStrategy[bytes]]:
    """Return whole files with a few numbers changed, parts lost, or parts of another file."""

    @some.composite
    def edited_bytes(draw: Any, files: list[bytes]) -> bytes:
        data = draw(some.sampled_from(files))
        for _ in range(draw(some.integers(0, 4))):
            near = draw(some.sampled_from([64, 300, len(data)]))  # to the start, or to the end
            at = draw(some.integers(0, min(len(data), near)))
            at = len(data) - at if draw(some.sampled_from([False, False, False, True])) else at
            match draw(some.sampled_from(["poke", "poke", "poke", "put", "cut", "drop", "splice"])):
                case "poke":
                    width = draw(some.sampled_from([1, 1, 2, 4, 8]))
                    number = draw(some.sampled_from(ODD)) % (1 << 8 * width)
                    order: Any = draw(some.sampled_from(["little", "big"]))
                    data = data[:at] + number.to_bytes(width, order) + data[at + width :]
                case "put":
                    put = draw(some.binary(min_size=1, max_size=8))
                    data = data[:at] + put + data[at + len(put) :]
                case "cut":
                    data = data[: draw(some.integers(0, len(data)))]
                case "drop":
                    data = data[:at] + data[at + draw(some.integers(1, 12)) :]
                case "splice":
                    other = draw(some.sampled_from(files))
                    data = data[:at] + other[draw(some.integers(0, len(other))) :]
        return data

    return edited_bytes


@pytest.fixture(scope="session")
def planned_or_refused() -> Iterator[Callable[[bytes | str], str]]:
    """Say what became of a recipe, and of settings; what is neither a plan nor words escapes."""

    def planned_or_refused(text: bytes | str, *settings: str) -> str:
        path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
        refused = None
        with warnings.catch_warnings(action="ignore", category=NstflowWarning):
            try:
                (plan,) = make_plans([read(path, ReadOptions(tuple(settings)), single=True)[0]])
            except NstflowError as error:
                refused = error
        if refused:
            assert refused.problems
            assert all(problem.where and problem.got for problem in refused.problems)
            assert settings or not CONTROL.search(str(refused))
            assert printable(str(refused), lines=True).encode()
            return "refused"
        assert min(plan.canvas) >= 1
        assert plan.epochs >= 1
        assert plan.memory is None or plan.memory > 0
        assert not CONTROL.search(plan.recipe.summary)
        return "planned"

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        for home in ("NSTFLOW_CACHE", "KERAS_HOME"):
            patch.setenv(home, str(Path(name, "cache")))  # whose weights would be hashed each time
        path = Path(name, "r.yaml")
        PIL.Image.new("RGB", (60, 40), "teal").save(path.with_name("photo.png"))
        PIL.Image.new("L", (30, 50), 90).save(path.with_name("style.jpg"))
        yield planned_or_refused
