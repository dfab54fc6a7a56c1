"""The command line: parse, call the library, print."""

from nstflow.cli.app import main

__all__ = ["main"]
