"""What commands print is readable on any terminal: narrow, dumb, without colours, without UTF-8."""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nstflow import cli
from nstflow.cli.console.output import show_line, stdout, without_output

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text()
BAD = TINY.replace("use: gram", "use: gramm").replace("weight: 10", "wieght: 10")


@pytest.fixture
def printed(terminal: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Run a command on a terminal of so many columns."""
    monkeypatch.chdir(tmp_path)

    def printed(width: int, *words: object, **environment: str) -> Any:
        screen = terminal(width)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["nstflow", *map(str, words)])
        with contextlib.suppress(SystemExit):
            cli.main()
        return screen

    return printed


def words_of(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (
            ["plan", "recipe.yaml"],
            TINY.replace("name: tiny", f"name: tiny\nsummary: {'a b ' * 20}"),
        ),
        (["validate", "recipe.yaml"], BAD),
        (["stages"], ""),
        (["plugins"], ""),
        (["run", "recipe.yaml", "--out", "."], TINY),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_narrow_terminal_breaks_and_cuts_no_word(
    command: list[str], text: str, printed: Any, write: Any
) -> None:
    write(text)
    wide, narrow = printed(1000, *command).text, printed(40, *command).text
    assert words_of(narrow) == words_of(wide)
    assert len(narrow.splitlines()) > len(wide.splitlines())
    for line in narrow.splitlines():
        assert len(line) <= 40 or len(words_of(line)) <= 2, line


def test_recipes_on_a_narrow_terminal(printed: Any) -> None:
    shown = printed(40, "recipes").text
    assert max(map(len, shown.splitlines())) <= 40
    assert "…" not in shown
    assert re.search(r"^quickstart\n  A cat [^(]*\(384×255", shown, re.MULTILINE)


def test_settings_on_a_narrow_terminal(printed: Any) -> None:
    shown = " ".join(words_of(printed(40, "stages", "losses", "gram").text))
    assert "image The image whose statistics to match. (text, needed)" in shown
    assert "mean | sum | gatys | gatys_2017, default mean)" in shown
    assert "…" not in shown


def test_the_live_display_on_a_narrow_terminal(printed: Any, write: Any) -> None:
    screen = printed(40, "run", write(TINY)).text
    assert "step 6/6" in screen
    assert "epoch 2/2 step 6 loss " in screen
    assert "…" not in screen
    losses = re.findall(r"^total .*\n.*", screen, re.MULTILINE)
    assert losses
    assert all(len(words_of(line)) % 2 == 0 for text in losses for line in text.splitlines()[:1])


def test_a_dumb_terminal_gets_plain_lines(printed: Any, write: Any) -> None:
    screen = printed(80, "run", write(TINY), TERM="dumb").getvalue()
    assert "\x1b" not in screen
    assert len(re.findall(r"^epoch", screen, re.MULTILINE)) == 2
    assert "step 6/6" not in screen  # a bar would leave a line each time it moves


def test_no_colours(printed: Any, write: Any) -> None:
    recipe = write(BAD)
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    assert colour.search(printed(80, "validate", recipe).getvalue())
    assert not colour.search(printed(80, "validate", recipe, NO_COLOR="1").getvalue())


class Old(io.TextIOWrapper):
    """A terminal without UTF-8."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_without_utf_8(
    printed: Any, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write(TINY.replace("name: tiny", "name: tiny\nsummary: Smör — 猫."))
    printed(80)
    data = io.BytesIO()
    screen = Old(data, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    stdout.cache_clear()
    monkeypatch.setattr(sys, "argv", ["nstflow", "plan", str(recipe)])
    with pytest.raises(SystemExit):
        cli.main()
    screen.flush()
    shown = data.getvalue().decode("ascii")
    assert "tiny\x1b[0m  Sm?r - ?." in shown
    assert "24x32 -> 24x32" in shown
    assert "7 x gram of 1 image" in shown
    screen.detach()


@pytest.mark.skipif(os.name != "posix", reason="the shell's way to close them")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str) -> None:
    """The command goes on, and its own files get nothing that it prints."""
    script = "import os, sys; from nstflow import cli; sys.argv = ['nstflow', 'stages', 'start'];"
    script += "code = 1\ntry: cli.main()\nexcept SystemExit as done: code = done.code\n"
    script += "sys.exit(code or 9 * (min(os.open(os.devnull, os.O_RDONLY), 3) != 3))"
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
def test_what_can_not_be_written_is_dropped_while_a_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - what is left in it can't be written
    monkeypatch.setattr(sys, "stdout", full)
    stdout.cache_clear()
    try:
        with without_output():
            show_line("x" * 100_000)
            show_line("another")
        full.flush()  # it is the null device now
    finally:
        stdout.cache_clear()
    full.close()
    with Path("/dev/full").open("w", buffering=1) as other:
        monkeypatch.setattr(sys, "stdout", other)
        with pytest.raises(OSError, match="No space left"):
            show_line("x")
        os.dup2(full_null := os.open(os.devnull, os.O_WRONLY), other.fileno())
        os.close(full_null)
    stdout.cache_clear()
