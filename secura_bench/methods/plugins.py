"""Methods that are not ours: loaded from a file, and named where one of them fails."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import walk_tb

from secura_bench.foundation.errors import BenchError, SpecError
from secura_bench.foundation.nearest import nearest_path
from secura_bench.foundation.registry import METHODS
from secura_bench.foundation.wording import in_a_line


def plugin_fault(error: BaseException) -> str | None:
    """Return an error raised from within a method that is not ours, with file and line there; None for any other.

    What is written to be read, a ``BenchError``, is nobody's fault, whoever raises it.
    """
    if isinstance(error, BenchError):
        return None
    foreign = METHODS.foreign_packages()
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] in foreign
    ]
    return f"{in_a_line(error)} ({places[-1]})" if places else None


def load_plugin(path: Path) -> list[str]:
    """Run a Python file of the user's and register the methods that it defines; return their names.

    A spec cannot name one: code runs only when it is asked for on the command line.

    Raises:
        SpecError: No such file, it fails, or it defines no ``Method`` with a name of its own.
    """
    from secura_bench.methods.method import Method

    found = spec_from_file_location(f"plugin_{path.stem}", path)
    if path.is_file() and (found is None or found.loader is None):
        raise SpecError(
            f"plug-in {path}: its name does not end in .py; a plug-in is a Python file with a method in it."
        )
    if found is None or found.loader is None or not path.is_file():
        raise SpecError(f"plug-in {path}: no such Python file.{nearest_path(path, ('.py',))}")
    module = sys.modules[found.name] = module_from_spec(found)  # inspect and dataclasses look a class's module up
    try:
        found.loader.exec_module(module)
    except Exception as error:
        raise SpecError(f"plug-in {path}: fails with {type(error).__name__}: {error}") from error
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    if not own:
        raise SpecError(f"plug-in {path}: defines no subclass of secura_bench.Method.")
    for method in own:
        METHODS.add(method.name, method)
    return [method.name for method in own]
