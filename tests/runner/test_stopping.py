"""Signals: the first is a request, the second the end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nstflow.cli.signals import SIGNALS, handle_signals
from nstflow.stages.job import Stop


def wait_until(condition: Any, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return False


@pytest.mark.parametrize("number", SIGNALS)
def test_a_run_that_polls_is_asked(number: int) -> None:
    stop, asked = Stop(), threading.Event()
    with handle_signals(stop, asked.set, pytest.fail):
        stop.polled = True
        os.kill(os.getpid(), number)
        assert asked.wait(5)
    assert stop.requested
    assert stop.signal == number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_run_that_does_not_look_is_interrupted(number: int) -> None:
    stop, asked = Stop(), threading.Event()

    def is_stopped() -> None:
        with handle_signals(stop, asked.set, pytest.fail):
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        is_stopped()
    assert stop.signal == number
    assert asked.wait(5)


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    threads = threading.active_count()
    with handle_signals(Stop(), lambda: None, lambda: None):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert wait_until(lambda: threading.active_count() == threads)


def test_another_signal_asks_nothing() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with handle_signals(stop, pytest.fail, pytest.fail):
            stop.polled = True
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not stop.requested


IN_ONE_CALL = """
import ctypes, threading
from nstflow.cli.signals import handle_signals
from nstflow import Stop

pthread, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
timer = threading.Timer({seconds}, pthread.pthread_mutex_unlock, [mutex])
timer.daemon = True
stop = Stop()
with handle_signals(stop, lambda: print("asked", flush=True), lambda: print("second", flush=True)):
    stop.polled = True
    pthread.pthread_mutex_lock(mutex)
    timer.start()
    print("begun", flush=True)
    # out of Python, and no signal breaks it off, as a compiled call: no handler runs before its end
    pthread.pthread_mutex_lock(mutex)
    print("looks", stop.requested, flush=True)
"""


@contextlib.contextmanager
def started(seconds: float) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    script = [sys.executable, "-c", IN_ONE_CALL.format(seconds=seconds)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.1)
        yield process, process.stdout


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_the_process_in_the_middle_of_a_call(number: int) -> None:
    with started(60) as (process, said):
        began = time.monotonic()
        process.send_signal(number)
        assert said.readline() == "asked\n"
        process.send_signal(number)
        assert said.readline() == "second\n"
        assert process.wait(10) == 128 + number
        assert time.monotonic() - began < 5


def test_the_first_signal_lets_the_call_end() -> None:
    with started(1) as (process, said):
        process.send_signal(signal.SIGINT)
        assert said.readline() == "asked\n"
        assert said.readline() == "looks True\n"
        assert process.wait(10) == 0


def test_a_signal_that_the_parent_has_ignored_stays_ignored() -> None:
    """As in `nohup nstflow run`, or in a script that ends its line with `&`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop = Stop()
        with handle_signals(stop, lambda: None, lambda: None):
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)
        assert not stop.requested
    finally:
        signal.signal(signal.SIGINT, before)
