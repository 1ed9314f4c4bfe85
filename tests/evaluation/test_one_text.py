"""A perplexity over the first tokens of one text: the published way, in one forward, and what of it is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SPEC, secura_bench
from pydantic import ValidationError

from secura_bench.data.chat import ChatFormat
from secura_bench.data.dataset import load_data, probe_examples
from secura_bench.evaluation.evaluate import evaluate
from secura_bench.foundation.errors import SpecError
from secura_bench.models.load import load_tokenizer
from secura_bench.plan.make import make_plan
from secura_bench.spec.load import load_spec
from secura_bench.spec.sections import DataSpec
from secura_bench.tasks.catalog import CATALOG
from secura_bench.tasks.file import TaskFile

LINES = [f"line {i} of the text has the words yes and no .\n" for i in range(60)]


def write_task(lines: Path, tokens: int) -> Path:
    """Make the task ``whole`` known, of so many tokens of ``lines``, and return its folder: files are read once."""
    head = {"id": "whole", "title": "Whole", "licence": "MIT", "kind": "text", "metric": ["perplexity"]}
    source = {"file": {"path": str(lines), "columns": {"text": "{{ text }}"}}, "first_tokens": tokens}
    folder = lines.parent / str(tokens)
    folder.mkdir()
    (folder / "whole.yaml").write_text(yaml.safe_dump({**head, **source}))
    CATALOG.reset()
    CATALOG.include([folder])
    return folder


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Path]:
    """Return a file of 60 lines."""
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES))
    yield path
    CATALOG.reset()


def test_it_is_the_loss_that_transformers_has(lines: Path, tiny) -> None:
    """``model(ids, labels=ids)`` on the first 100 tokens of the lines joined; a window would begin anew in between."""
    write_task(lines, 100)
    model, _, path = tiny
    tokenizer = load_tokenizer(path)
    data = load_data("whole", DataSpec(), ChatFormat(tokenizer))
    ids = torch.tensor([tokenizer("".join(LINES))["input_ids"][:100]])
    assert [len(example) for example in data.test] == [100] and not data.train
    found = evaluate("perplexity", model, data.file, data.test, ChatFormat(tokenizer), batch_size=4, context=20)
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert found.scores["perplexity"] == pytest.approx(float(loss.exp()), rel=1e-5)
    assert found.scores["tokens"] == 99
    assert "their first 100 tokens in one forward" in found.signatures["perplexity"]


def test_it_has_no_share_of_the_probes_rows(lines: Path, tiny) -> None:
    write_task(lines, 100)
    chat = ChatFormat(load_tokenizer(tiny[2]))
    parts = [load_data(name, DataSpec(), chat) for name in ("tiny_arith", "whole", "tiny_count")]
    probe = probe_examples(parts, 10, [])
    assert {name: len(rows) for name, rows in probe.items()} == {"tiny_arith": 5, "whole": 1, "tiny_count": 5}
    assert list(probe_examples(parts, None, [])) == list(probe)
    assert len(probe_examples(parts[1:2], 10, [])["whole"]) == 1


def test_a_run_says_over_how_many_tokens(lines: Path, tmp_path: Path) -> None:
    """Under its table; and a score over another number is another score."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    small = ["probe=whole", "probe_rows=null", "methods=[base]", "evaluate.protocols=[teacher_forced, perplexity]"]
    words = [word for override in [*small, "evaluate.limit=1"] for word in ("--set", override)]
    runs, folders = [], []
    for tokens in (100, 50):
        folders.append(write_task(lines, tokens))
        runs += make_plan(load_spec(str(tmp_path / "spec.yaml"), small)).runs
    assert runs[0].fingerprint != runs[1].fingerprint
    CATALOG.reset()
    done = secura_bench("run", "spec.yaml", "--include", str(folders[0]), "--quiet", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = secura_bench("report", "results", "--table", "retention", cwd=tmp_path)
    assert "Tokens: whole 99." in shown.stdout, shown.stdout + shown.stderr


def test_more_than_the_model_was_made_for_is_refused(lines: Path, spec_file: Path) -> None:
    """The tiny model has 512 positions; and a task whose rows are asked and answered is no text."""
    write_task(lines, 600)
    small = ["probe=whole", "probe_rows=null", "evaluate.protocols=[teacher_forced, perplexity]"]
    with pytest.raises(SpecError, match=r"600 tokens of task 'whole' are read in one forward, and it was made for 512"):
        make_plan(load_spec(str(spec_file), small))
    columns = {"prompt": "{{ a }}", "target": "{{ b }}"}
    asked = {"id": "asked", "title": "Asked", "licence": "MIT", "file": {"path": "x.jsonl", "columns": columns}}
    with pytest.raises(ValidationError, match="'first_tokens' belongs to tasks of kind: text"):
        TaskFile.model_validate({**asked, "first_tokens": 10})
