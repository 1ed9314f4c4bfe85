"""What the package hands on: by name, lazily, and the same to a type checker."""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from conftest import ROOT

import secura_bench

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
NAMES = {
    "build_method", "Method", "Options", "Stack", "load_specs", "make_plans", "run", "read_runs", "BenchError",
    "SpecError", "DataError", "RecordError", "RunsRead", "__version__",
}  # fmt: skip


def in_a_process(code: str, folder: Path = ROOT) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_is_there() -> None:
    assert set(secura_bench.__all__) == NAMES <= set(dir(secura_bench))
    for name in NAMES:
        assert getattr(secura_bench, name).__doc__


def test_a_name_is_what_its_module_has() -> None:
    from secura_bench.methods.method import Method, Options
    from secura_bench.runs.execute import execute

    assert (secura_bench.Method, secura_bench.Options, secura_bench.run) == (Method, Options, execute)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="'secura_bench' has no attribute 'Methods'"):
        _ = secura_bench.Methods
    with pytest.raises(ImportError):
        from secura_bench import Methods  # noqa: F401


def test_importing_it_imports_nothing_heavy() -> None:
    printing = "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    before, after = (
        set(ast.literal_eval(in_a_process(f"import sys{more}; {printing}"))) for more in ("", ", secura_bench")
    )
    assert after - before - sys.stdlib_module_names == {"secura_bench"}


@pytest.mark.parametrize("name", ["read_runs", "SpecError"])
def test_records_and_errors_need_no_torch(name: str) -> None:
    assert in_a_process(f"import sys; from secura_bench import {name}; print('torch' in sys.modules)") == "False\n"


def test_a_type_checker_reads_the_same_places() -> None:
    tree = ast.parse(Path(secura_bench.__file__).read_text(encoding="utf-8"))
    typed, _ = (node for node in tree.body if isinstance(node, ast.If))
    read = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert read == secura_bench._PLACES


def test_a_type_checker_finds_a_misspelled_name(tmp_path: Path) -> None:
    """Of a package that is its ``__init__`` alone: what the names stand for would take mypy half a minute."""
    (tmp_path / "secura_bench").mkdir()
    shutil.copy(secura_bench.__file__, tmp_path / "secura_bench")
    (tmp_path / "use.py").write_text("from secura_bench import Method, SpecError, load_spec, run\n")
    alone = ["--config-file=", "--no-site-packages", "--ignore-missing-imports"]
    command = [sys.executable, "-m", "mypy", *alone, "use.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert 'Module "secura_bench" has no attribute "load_spec"' in said and "Found 1 error" in said


def test_the_page_names_them_all() -> None:
    assert all(re.search(rf"`{name}\b", PAGE) for name in NAMES - {"__version__"})


@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    use, refused = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    few = use.replace('"evaluate.limit=5"', '"evaluate.limit=5", "probe_rows=9"')
    assert few != use
    printed = in_a_process(few, tmp_path).splitlines()
    assert {line.split()[0] for line in printed} == {"base", "lora"}
    assert {line.split()[1] for line in printed} == {"generate", "teacher_forced"}
    assert {line.split()[3] for line in printed} >= {"tiny_group", "tiny_f_task"}
    assert len(list(tmp_path.rglob("record.json"))) == 2
    with redirect_stdout(io.StringIO()) as said:
        exec(refused, {})
    assert "rank" in said.getvalue()
