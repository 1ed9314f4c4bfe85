"""What is wrong is found by `validate`, with its place; what is not there has its nearest named."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import secura_bench

SPEC = "experiment: mine\nmode: sequence\nmodel: {model}\ntasks: tiny\nprobe: tiny_f_task\nmethods: [lora]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "config.json").touch()
    (tmp_path / "results" / "mine").mkdir(parents=True)
    (tmp_path / "metrics" / "marks").mkdir(parents=True)
    (tmp_path / "metrics" / "marks" / "marks.py").write_text("raise SystemExit('code was run')")
    (tmp_path / "metrics" / "empty").mkdir()
    (tmp_path / "method.py").touch()
    (tmp_path / "rows.jsonl").touch()
    (tmp_path / "spec.yaml").write_text(SPEC.format(model="./models/mine"))
    (tmp_path / "wrong.yaml").write_text(SPEC.format(model="./models/mnie"))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("validate wrong.yaml", "wrong.yaml:3: model: model './models/mnie' is no folder with a config.json. Did you "),
        ("validate wrong.yaml", "Did you mean 'models/mine'?"),
        ("validate spec.yaml --set model=/nowhere/tiny", "is no folder with a config.json. There is no such path."),
        ("validate spec.yaml --set model=./metrics", "is no folder with a config.json: there is none in it."),
        ("validate spec.yaml --set model=smollm2-135", "--set model=smollm2-135: model: "),
        ("validate spec.yaml --set model=smollm2-135", "Did you mean 'smollm2-135m'?"),
        ("validate spec.yaml --set modl=tiny", "--set modl=tiny: modl: unknown key 'modl'. Did you mean 'model'?"),
        ("validate spec.yaml --set train.stps=3", "train.stps: unknown key 'stps'. Did you mean 'steps'?"),
        (
            "validate spec.yaml --set evaluate.metrics=[evaluate:./metrics/mark]",
            "--set evaluate.metrics=[evaluate:./metrics/mark]: evaluate.metrics: metric 'evaluate:./metrics/mark': no "
            "such folder. Did you mean 'metrics/marks'?",
        ),
        ("validate spec.yaml --set evaluate.metrics=[evaluate:./metrics/empty]", "must hold the metric as empty.py"),
        ("validate spc.yaml", "Did you mean 'spec.yaml'?"),
        ("validate smoke --plugin methd.py", "Did you mean 'method.py'?"),
        ("validate smoke --include result", "Did you mean 'results'?"),
        ("validate smoke --set tasks=[row.jsonl]", "rows.jsonl'?"),
        ("status reslts", "reslts: no such folder. Did you mean 'results'?"),
        ("report results/mnie", "Did you mean 'results/mine'?"),
        ("compare reslts lora secura", "Did you mean 'results'?"),
        ("export reslts/mine/run out", "Did you mean 'results'?"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(words: str, said: str, folder: Path) -> None:
    done = secura_bench(*words.split(), cwd=folder)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_a_metric_that_is_there_is_valid_and_none_of_its_code_is_run(folder: Path) -> None:
    done = secura_bench("validate", "spec.yaml", "--set", "evaluate.metrics=[evaluate:./metrics/marks]", cwd=folder)
    assert done.returncode == 0 and "valid" in done.stdout
