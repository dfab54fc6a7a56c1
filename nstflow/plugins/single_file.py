"""Plugins that are single files, without a package."""

import hashlib
import linecache
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from nstflow.errors import NstflowError, Problem, describe_exception
from nstflow.storage.files import user_path


@dataclass(frozen=True)
class PluginFile:
    """A Python file with stages or observers, for the runs that name it.

    Attributes:
        name: The file's name, such as `my_terms.py`, which a lock records.
        path: Its path, for tracebacks.
        source: Its bytes.
    """

    name: str
    path: str
    source: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """The hash that a lock records, in hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def package(self) -> str:
        """The name, and the hash in place of a version."""
        return f"{self.name} {self.sha256}"

    def load(self) -> ModuleType:
        """Return the module. It is executed once in a process.

        Raises:
            NstflowError: It can't be executed.
        """
        name = f"nstflow_file_{self.sha256[:16]}"
        if name in sys.modules:
            return sys.modules[name]
        module = ModuleType(name)
        module.__file__ = self.path
        # before it is executed: pydantic looks up the names of annotations there
        sys.modules[name] = module
        text = self.source.decode(errors="replace")
        linecache.cache[self.path] = len(text), None, text.splitlines(keepends=True), self.path
        try:
            code = compile(self.source, self.path, "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 - asked for
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            del sys.modules[name]
            raise self.invalid(describe_exception(error, self.path)) from error
        return module

    def invalid(self, why: str) -> NstflowError:
        """Return the error of a file that can't be used."""
        got = f"this plugin can't be used: {why}."
        return NstflowError(Problem(f"--plugin {self.path}", "", got))


def read_plugin(path: str | Path) -> PluginFile:
    """Read a plugin file.

    Raises:
        NstflowError: There is no such file, or it is not a Python file.
    """
    path = user_path(path)
    try:
        if path.suffix == ".py" and (path.is_file() or not path.exists()):
            return PluginFile(path.name, str(path), path.read_bytes())
        got = "this is not a .py file."
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        got = f"the file can't be read ({getattr(error, 'strerror', None) or error})."
    raise NstflowError(Problem(f"--plugin {path}", "", got, "Name a Python file."))
