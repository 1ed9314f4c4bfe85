"""A protocol is one object: all that names protocols reads it, so that a new one is a module and a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

from secura_bench.evaluation.metrics import METRICS
from secura_bench.evaluation.protocols import PROTOCOLS
from secura_bench.foundation import registry

TOY = """
from secura_bench.evaluation.outcome import Judged
from secura_bench.evaluation.predictions import Prediction
from secura_bench.evaluation.protocols.protocol import Protocol

class Parrot(Protocol):
    def predict(self, asked):
        yield [(i, Prediction(text=example.row.prompt)) for i, example in enumerate(asked.examples)]

    def judge(self, asked, predictions):
        said = [100.0 * (p.text == e.row.target) for p, e in zip(predictions, asked.examples)]
        rows = asked.examples
        return Judged(rows, [None] * len(rows), [e.row.target for e in rows], {"accuracy": said}, {})

PARROT = Parrot("parrot", ("accuracy",), ("accuracy",), "what is said is said again", signatures={"accuracy": "same"})
"""

RUN = """
import json, sys
from pathlib import Path
from secura_bench.foundation import registry
registry.PROTOCOLS._places["parrot"] = "toy:PARROT"
from secura_bench import load_specs, make_plans, read_runs, run
from secura_bench.cli.scores import protocols
from secura_bench.report.make import make_report

keys = ["tasks=[tiny_group]", "methods=[base]", "evaluate.limit=3", "probe_rows=3", "evaluate.protocols=[parrot]"]
results = Path(sys.argv[1])
run(make_plans(load_specs("smoke", keys)), results, progress="quiet")
runs, problems = read_runs([results])
print(json.dumps({
    "scored": sorted({(s.protocol, s.values["accuracy"]) for s in runs[0].record.scores}),
    "signatures": runs[0].record.signatures,
    "listed": protocols().rows[-1],
    "table": "parrot" in "".join(table.title for table in make_report(runs).tables),
}))
"""


def test_a_protocol_is_called_as_it_is_registered_and_knows_its_metrics() -> None:
    assert [protocol.id for protocol in PROTOCOLS.values()] == list(registry.PROTOCOLS.built_in)
    for protocol in PROTOCOLS.values():
        assert {*protocol.metrics, *protocol.learned, *protocol.signatures} - {"cut"} <= METRICS.keys()
        assert protocol.meaning and protocol.wants and protocol.row_cost > 0
        assert protocol.generates or protocol.no_claim


def test_a_new_protocol_is_a_module_and_a_line(tmp_path: Path) -> None:
    """From the spec to the table: no other file of the package knows its name."""
    (tmp_path / "toy.py").write_text(TOY)
    command = [sys.executable, "-c", RUN, str(tmp_path / "results")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "scored": [["parrot", 0.0]],
        "signatures": {"parrot": {"accuracy": "same"}},
        "listed": ["parrot", "accuracy", "what is said is said again"],
        "table": True,
    }
