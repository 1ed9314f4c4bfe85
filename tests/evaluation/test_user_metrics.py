"""Metrics of the `evaluate` package from a local folder: asked for by the spec, loaded only when it is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SPEC, secura_bench

from secura_bench.evaluation.user_metrics import load_metric
from secura_bench.foundation.errors import DataError, SpecError

METRIC = """\
import datasets
import evaluate


class {name}(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({{"predictions": text, "references": text}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {result}
"""


@pytest.fixture
def metric(tmp_path, metric_modules):
    """Return the maker of metric folders."""

    def make(name: str, result: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.py").write_text(METRIC.format(name=name.title(), result=result))
        return folder

    return make


def test_a_local_metric(metric) -> None:
    folder = metric(
        "starts", '{"share": sum(p[:1] == r[:1] for p, r in zip(predictions, references)) / len(references)}'
    )
    loaded = load_metric(f"evaluate:{folder}")
    assert loaded.score(["ab", "cd", "ef"], ["ax", "xd", "e"]) == {f"evaluate:{folder}": pytest.approx(2 / 3)}
    assert "starts|code:" in loaded.signature


def test_a_metric_of_several_numbers(metric) -> None:
    folder = metric("several", '{"rows": len(predictions), "first": 0.5, "names": ["x"]}')
    found = load_metric(f"evaluate:{folder}").score(["a", "b"], ["c", "d"])
    assert found == {f"evaluate:{folder}.rows": 2.0, f"evaluate:{folder}.first": 0.5}


@pytest.mark.parametrize(
    ("result", "says"), [("1 / 0", "fails with ZeroDivisionError"), ('{"x": "y"}', "gives no number")]
)
def test_a_metric_that_fails_is_named(metric, result: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        load_metric(f"evaluate:{metric('bad', result)}").score(["a"], ["b"])


def test_a_metric_that_cannot_be_had_says_the_way_out() -> None:
    with pytest.raises(SpecError, match=r"cannot be loaded: .*the path of a folder"):
        load_metric("evaluate:no_such_metric_anywhere")


def test_a_run_loads_metrics_only_when_allowed(metric, tmp_path: Path) -> None:
    folder = metric("marks", '{"marks": float(sum(map(len, predictions)))}')
    marker = tmp_path / "was-loaded"
    script = folder / "marks.py"
    script.write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n" + script.read_text())
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("limit: 3", f"limit: 3, metrics: ['evaluate:{folder}']"))
    refused = secura_bench("run", str(spec), "--quiet", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--allow-code" in refused.stderr
    assert not marker.exists()
    done = secura_bench("run", str(spec), "--quiet", "--allow-code", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert marker.exists()
    for path in (tmp_path / "results").rglob("record.json"):
        record = json.loads(path.read_text())
        for protocol in ("generate", "teacher_forced"):
            scores = [score for score in record["scores"] if score["protocol"] == protocol]
            assert all(score["values"][f"evaluate:{folder}"] >= 0 for score in scores)
            assert "marks|code:" in record["signatures"][protocol][f"evaluate:{folder}"]
