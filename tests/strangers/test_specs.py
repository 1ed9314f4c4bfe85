"""Specs that anybody may have written: refused in a line or two, in a moment, and without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import secura_bench

SPEC = """\
experiment: trial
mode: separate
model: tiny
tasks: [tiny_count]
probe: tiny_f_task
probe_rows: 6
methods: [lora]
train: {lr: 1.0e-3, steps: 2, batch_size: 2}
evaluate: {protocols: [teacher_forced], limit: 4}
"""

ODD = {
    "a tag that is not so": ("experiment: trial", "experiment: !!bool x", "'x' is not what its tag says"),
    "a time that is none": ("experiment: trial", "experiment: !!timestamp x", "'x' is not what its tag says"),
    "a number with a tag": ("steps: 2", "steps: !!int x", "'x' is not what its tag says"),
    "bytes": ("experiment: trial", 'experiment: !!binary "x=="', "failed to decode base64"),
    "an object": ("experiment: trial", "experiment: !!python/object:os.system {}", "could not determine a constructor"),
    "a set": ("experiment: trial", "experiment: !!set {a, b}", "should be a valid string"),
    "a date": ("experiment: trial", "experiment: 2024-01-01", "should be a valid string"),
    "5,000 digits": ("steps: 2", "steps: " + "9" * 5000, "is not what its tag says"),
    "digits in base 16": ("steps: 2", "steps: 0x" + "f" * 4000, "more digits than anything here has"),
    "digits in base 60": ("steps: 2", "steps: 1" + ":59" * 4000, "more digits than anything here has"),
    "more steps than time": ("steps: 2", "steps: 9000000000000000", "less than or equal to 1000000000000"),
    "a rank beyond any matrix": ("[lora]", "[{name: lora, r: 1000000000}]", "methods.0.r: input should be less than"),
    "infinity": ("lr: 1.0e-3", "lr: .inf", "finite number"),
    "no number": ("lr: 1.0e-3", "lr: .nan", "finite number"),
    "deep lists": ("[lora]", "[" * 2000, "is not plain YAML"),
    "deep mappings": ("[lora]", "{a: " * 900 + "1" + "}" * 900, "is not plain YAML"),
    "a list as a key": ("experiment: trial", "? [a, b]\n: 1", "is not a word"),
    "escapes in a key": ("experiment: trial", 'experiment: trial\n"\\e]0;x\\a\\u202e": 1', "unknown key '\\x1b]0;x"),
    "escapes in a value": ("experiment: trial", 'experiment: "\\u202e\\eabc"', "here: '\\u202e\\x1babc'"),
    "a long value": ("experiment: trial", f"experiment: {'x' * 5000}", "…xxx"),
    "no spec at all": ("experiment: trial", "lorem ipsum\n" * 500, "is not plain YAML"),
    "a long list": ("limit: 4", f"limit: 4, every: [{'1, ' * 60_000}1]", "valid integer"),
    "a megabyte": ("experiment: trial", "experiment: trial\n# " + "x" * 1_000_000, "has more than 262,144 bytes"),
    "nobody's home": ("[tiny_count]", "~nosuchuser/x.jsonl", "no such file"),
    "a null byte": ("[tiny_count]", r'["a\0b.jsonl"]', "no such file"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_spec_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    old, new, said = ODD[name]
    assert old in SPEC
    (tmp_path / "trial.yaml").write_text(SPEC.replace(old, new))
    done = secura_bench("validate", "trial.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr) < 2000
    assert not any(character in done.stderr for character in "\x1b\u202e\x07")


def test_many_seeds_and_methods_are_planned_in_time(tmp_path: Path) -> None:
    many = ", ".join(f"{{name: lora, label: l{i}, train: {{lr: {i + 1}.0e-6}}}}" for i in range(300))
    (tmp_path / "trial.yaml").write_text(
        SPEC.replace("[lora]", f"[{many}]") + f"seeds: [{', '.join(map(str, range(4)))}]\n"
    )
    from secura_bench.plan import inputs, make
    from secura_bench.spec.load import load_spec

    hashed, tried = [], []
    real_hash, real_shapes = inputs.examples_hash, make.shapes_of
    try:
        inputs.examples_hash = lambda examples: (hashed.append(1), real_hash(examples))[1]
        make.shapes_of = lambda name: (tried.append(1), real_shapes(name))[1]
        made = make.make_plan(load_spec(str(tmp_path / "trial.yaml")))
    finally:
        inputs.examples_hash, make.shapes_of = real_hash, real_shapes
    assert len({run.fingerprint for run in made.runs}) == 1 + 300 * 4
    assert len(tried) == 1  # what differs in training alone has the same shapes
    assert len(hashed) < 20  # the sides of each task once, and not once a run


def test_more_generated_rows_than_there_are_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "trial.yaml").write_text(SPEC + "data: {rows: 10000000}")
    done = secura_bench("run", "trial.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot generate 10000000 rows; at most 100000. Ask for fewer rows (data.rows)" in done.stderr
