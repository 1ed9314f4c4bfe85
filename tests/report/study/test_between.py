"""Arms between the base and a run's end: what they learned is what they score there."""

from __future__ import annotations

import json
from pathlib import Path

from synthetic import Character, write_records

from secura_bench.report.study.families import families
from secura_bench.report.study.frontier import every_frontier
from secura_bench.report.study.group import make_studies
from secura_bench.report.study.read import read_runs

ALPHAS = (0.5, 1.0)


def test_in_a_sequence_they_have_a_place_by_what_they_score_at_the_end(tmp_path: Path) -> None:
    tasks = ("colours", "counting")
    write_records(tmp_path, {"seq": Character(0.9, 0.3)}, tasks, (1,), protocols=("generate",))
    (path,) = tmp_path.glob("*/seq-*/record.json")
    whole = json.loads(path.read_text())
    end = [score for score in whole["scores"] if score["after"] == "counting" and score["finished"]]
    assert {score["task"] for score in end if score["role"] == "task"} == set(tasks)
    whole["interpolated"] = [{"alpha": alpha, "scores": end} for alpha in ALPHAS]
    path.write_text(json.dumps(whole))
    (study,) = make_studies(read_runs([tmp_path])[0])
    (family,) = families(study)
    assert family.values == ALPHAS
    (found,) = every_frontier(study)
    (line,) = found.lines
    assert len(line.placings) == len(ALPHAS) and not line.lacking
    at_end = [score["values"]["accuracy"] for score in end if score["role"] == "task"]
    assert [each.learned.value for each in line.placings] == [sum(at_end) / len(at_end)] * 2
    right_after = study.learned(study.arm("seq", tasks), "generate", "accuracy").value
    assert right_after > line.placings[1].learned.value, "the run itself is scored right after each task, as ever"
