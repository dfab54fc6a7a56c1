"""Completion: what is offered, and real shells that ask for it."""

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = [path.stem for path in sorted(ROOT.glob("recipes/*.yaml"))]


@pytest.fixture
def offered(call: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask as fish does: return the words that the end of a command may become."""

    def offered(line: str) -> list[str]:
        monkeypatch.setenv("_NSTFLOW_COMPLETE", "complete_fish")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        answer = call()
        assert (answer.code, answer.err) == (0, "")
        return [word.partition("\t")[0] for word in answer.out.splitlines() if word]

    return offered


def test_commands_and_options(offered: Any) -> None:
    assert offered("nstflow va") == ["validate"]
    assert offered("nstflow run x --over") == ["--overwrite"]
    assert offered("nstflow run x --device ") == ["auto", "cpu", "gpu"]
    assert offered("nstflow run x --executor ") == ["serial", "processes", "dask"]


def test_recipes_are_names_files_and_folders(offered: Any, write: Any, tmp_path: Path) -> None:
    assert offered("nstflow run ") == SHIPPED
    for command in ("plan", "lock", "copy", "validate x"):
        assert offered(f"nstflow {command} two") == ["two_regions", "two_styles"]
    for name in ("mine.yaml", "sub/a.yaml", "sub/b.yaml", ".hidden.yaml", "photo.png"):
        write("", name)
    (tmp_path / "empty").mkdir()
    assert offered("nstflow run ") == [*SHIPPED, "empty/", "mine.yaml", "sub/"]
    assert offered("nstflow run ./m") == ["./mine.yaml"]
    assert offered("nstflow run su") == ["sub/a.yaml", "sub/b.yaml"]  # `sub/` alone would end
    assert offered("nstflow run sub/b") == ["sub/b.yaml"]
    assert offered("nstflow run ph") == []  # the shell completes names of files
    assert offered("nstflow run nowhere/a") == []


def test_recipes_of_a_package_are_offered(offered: Any, install: Any) -> None:
    source = "from pathlib import Path\nfrom nstflow import hookimpl\nprint('noise')\n"
    path = "Path(__file__).with_name('dots.yaml')"
    install("nstflow-dots", f"{source}@hookimpl\ndef nstflow_recipes(): return [{path}]\n")
    assert offered("nstflow run do") == ["dots"]
    assert offered("nstflow run do --block-plugin nstflow-d") == ["nstflow-dots"]
    assert offered("nstflow run --block-plugin nstflow-dots do") == []


@pytest.mark.parametrize(
    ("begun", "words"),
    [
        ("losses.s", ["losses.smooth.", "losses.swirls."]),
        ("losses.swirls.we", ["losses.swirls.weight=", "losses.swirls.weight=0.5"]),
        ("losses.swirls.weight=", ["losses.swirls.weight=0.5"]),
        ("losses.swirls.use=gr", ["losses.swirls.use=gram"]),
        ("optimizer.use=", ["optimizer.use=adam", "optimizer.use=lbfgs"]),
        ("optimizer.decay=", ["optimizer.decay=cosine", "optimizer.decay=none"]),
        ("preprocess.0.enlarge=t", ["preprocess.0.enlarge=true"]),
        ("compute.d", [f"compute.deterministic={value}" for value in ("", "false", "true")]),
        ("se", ["seed=", "seed=0"]),
        ("nothing", []),
        ("nothing.use=", []),
    ],
)
def test_settings_of_the_recipe_in_the_command(offered: Any, begun: str, words: list[str]) -> None:
    found = sorted(offered(f"nstflow run quickstart --set {begun}"))
    assert found == words


def test_settings_after_others_and_without_a_recipe(offered: Any) -> None:
    gram = "--set losses.swirls.use=gram"
    assert "losses.swirls.centered=" in offered(
        f"nstflow plan quickstart {gram} --set losses.swirls.ce"
    )
    assert offered("nstflow plan quickstart --set losses.swirls.centered") == []
    assert offered("nstflow plan --set losses.") == []
    assert offered("nstflow plan --set losses.x.use=g") == ["losses.x.use=gram"]


def test_stages(offered: Any) -> None:
    assert offered("nstflow stages lo") == ["losses"]
    assert offered("nstflow stages losses g") == ["gram"]
    assert offered("nstflow stages nothing g") == []


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--set", "losses.swirls.use", "=", "gr"], ["gram"]),
        (["--set", "optimizer.use", "="], ["adam", "lbfgs"]),
        (["--set", "=", "optimizer.use", "=", "a"], ["adam"]),
        (["--set", "seed", "=", "1", "--device", "=", "g"], ["gpu"]),
        (
            ["--set", "optimizer.use=a"],
            ["optimizer.use=adam"],
        ),  # if the user changed where it splits
        (["--device", "c"], ["cpu"]),
    ],
)
def test_bash_splits_at_the_equals_sign(
    words: list[str], answer: list[str], call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["nstflow", "run", "quickstart", *words]
    monkeypatch.setenv("_NSTFLOW_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join([*words, "ignored"]))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    assert call().out.split() == answer


START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
PREPARE = {
    "bash": 'eval "$(nstflow --show-completion)"',
    "zsh": 'autoload -U compinit; compinit -u -D; eval "$(nstflow --show-completion)"',
    "fish": "nstflow --show-completion | source",
}


IN_A_TERMINAL = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]


@pytest.mark.parametrize("shell", START)
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "200"}
    own |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [*IN_A_TERMINAL, *START[shell]],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, **own},
    )
    assert process.stdin
    assert process.stdout
    seen = ""
    with process.stdin as keys, process.stdout as screen:

        def wait_for(text: str) -> None:
            nonlocal seen
            end = time.monotonic() + 60
            while text not in seen:
                ready, _, _ = select.select([screen], [], [], max(0, end - time.monotonic()))
                more = screen.read(1 << 16) if ready else b""
                assert more, f"{text!r} did not come: {seen}"
                seen += more.decode(errors="replace")

        # what is echoed has the quotes, what is printed has not
        keys.write(f"{PREPARE[shell]}; echo rea''dy\n".encode())
        wait_for("ready")
        keys.write(b"nstflow ru\tquic\t--set losses.swirls.use=gr\t")
        keys.write(b"\x01echo ty''ped: \x05\n")  # at the beginning of the line; then at its end
        wait_for("typed: nstflow run quickstart --set losses.swirls.use=gram")
        keys.write(b"exit\n")
        process.wait(60)
