"""What the harness's part of a probe records of each item, beside what the harness says when it is asked alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness_tasks import ROWS, write_tasks

from secura_bench.data.dataset import TaskData
from secura_bench.data.example import Example
from secura_bench.evaluation.evaluate import evaluate, pool
from secura_bench.evaluation.outcome import Evaluation
from secura_bench.evaluation.predictions import Prediction
from secura_bench.foundation.errors import DataError, SpecError
from secura_bench.spec.probe import Suite

Read = tuple[TaskData, tuple[Example, ...]]


def read(tiny: Any, folder: Path, name: str, **settings: Any) -> Read:
    from secura_bench.harness.data import read_suite

    return read_suite(Suite(name, include_path=str(folder), **settings), tiny[1], allow_code=True)


def score(tiny: Any, found: Read, known: dict[int, Prediction] | None = None, on_batch: Any = None) -> Evaluation:
    model, chat, _ = tiny
    given = {"on_batch": on_batch} if on_batch else {}
    return evaluate("lm_eval", model, found[0].file, found[1], chat, 5, 600, known or {}, **given)


def by_the_harness(tiny: Any, folder: Path, name: str, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the samples of ``lm_eval.simple_evaluate``, on the model read from its folder by the harness itself."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    return lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tiny[2].path), "dtype": "float32"},
        device="cpu",
        batch_size=3,
        tasks=[name],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        **settings,
    )["samples"]


@pytest.mark.parametrize("settings", [{}, {"num_fewshot": 2, "limit": 7}])
def test_the_items_are_those_of_the_harness(tiny: Any, suites: Path, settings: dict[str, int]) -> None:
    found = score(tiny, read(tiny, suites, "gen_both", **settings))
    theirs = by_the_harness(tiny, suites, "gen_both", **settings)
    position = 0
    for name, metrics in (("gen_choice", ("acc", "acc_norm")), ("gen_sums", ("exact_match",))):
        samples: dict[int, dict[str, Any]] = {}
        for sample in theirs[name]:
            samples.setdefault(sample["doc_id"], {})[sample["filter"]] = sample
        assert len(samples) == settings.get("limit", ROWS)
        for _, filtered in sorted(samples.items()):
            for filter_, sample in filtered.items():
                for metric in metrics:
                    column = metric if filter_ == "none" else f"{metric},{filter_}"
                    assert found.columns[column][position] == sample[metric]
            first = next(iter(filtered.values()))
            assert found.examples[position].row.id == f"{name}/{first['doc_hash']}"
            assert found.columns["score"][position] == 100 * first[metrics[0]]
            said = found.predictions[position]
            if name == "gen_sums":
                assert said.text == first["resps"][0][0]
            else:
                assert said.choices == pytest.approx([float(each[0][0]) for each in first["resps"]], abs=1e-4)
            position += 1
    assert found.n == position == len(found.examples)
    assert 0 < found.scores["acc"] < 1  # else the model would tell nothing apart
    assert found.signatures["score"] == "lm_eval:gen_both: acc, exact_match,number"


def test_a_row_is_what_the_item_asks(tiny: Any, suites: Path) -> None:
    _, examples = read(tiny, suites, "gen_choice", num_fewshot=2)
    row = examples[0].row
    assert row.prompt.startswith("Question 0:") and row.prompt.count("Question") == 1  # the shots are not its question
    assert (
        row.choices and row.answer_index is not None and row.target == row.choices[row.answer_index] == min(row.choices)
    )
    assert tiny[1].tokenizer.decode(examples[0].prompt_ids).count("Question") == 3  # they are in what is sent


def test_it_leaves_generators_modes_and_ties_as_they_were(tiny: Any, suites: Path) -> None:
    model = tiny[0]
    found = read(tiny, suites, "gen_both", limit=3)
    modes = {name: i % 2 == 0 for i, (name, _) in enumerate(model.named_modules())}
    tied = model.tie_weights
    try:
        for name, module in model.named_modules():
            module.training = modes[name]
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
        score(tiny, found)
        assert random.getstate() == before[0]
        assert np.random.get_state()[1].tolist() == before[1]
        assert torch.equal(torch.get_rng_state(), before[2])
        assert {name: module.training for name, module in model.named_modules()} == modes
        assert model.tie_weights == tied and "tie_weights" not in vars(model)
    finally:
        model.eval()


def test_what_a_method_has_untied_is_not_tied_again(suites: Path, tiny: Any, llama: Any) -> None:
    from secura_bench.harness.apart import apart
    from secura_bench.harness.ask import language_model

    model = llama(tie_word_embeddings=True, vocab_size=len(tiny[1].tokenizer))
    head = torch.nn.Parameter(model.lm_head.weight.detach().clone() + 1)
    model.lm_head.weight = head
    with apart(model):
        language_model(model, tiny[1].tokenizer, 1)
    assert model.lm_head.weight is head


def test_a_kill_loses_one_task(tiny: Any, suites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import secura_bench.harness.ask as asking

    found, kept, asked = read(tiny, suites, "gen_both", limit=4), {}, []
    whole = score(tiny, found)
    ask = asking.ask

    def watched(lm: Any, part: str, name: str, *rest: Any) -> Any:
        asked.append(name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return ask(lm, part, name, *rest)

    monkeypatch.setattr(asking, "ask", watched)
    with pytest.raises(KeyboardInterrupt):
        score(tiny, found, on_batch=lambda batch: kept.update(batch))
    kept = {i: Prediction.from_json(each.to_json()) for i, each in kept.items()}  # as they come from the disk
    again = score(tiny, found, kept)
    assert asked == ["gen_choice", "gen_sums", "gen_sums"]
    assert again.columns == whole.columns and again.scores == whole.scores


def test_items_of_several_parts_are_pooled(tiny: Any, suites: Path) -> None:
    parts = [score(tiny, read(tiny, suites, name)) for name in ("gen_choice", "gen_sums")]
    whole = pool("both", parts)
    assert whole.scores["score"] == pytest.approx(sum(part.scores["score"] for part in parts) / 2)
    assert whole.columns["acc"][ROWS:] == [None] * ROWS


def test_the_first_metric_that_can_count_does(tiny: Any, suites: Path) -> None:
    data, _ = read(tiny, suites, "gen_second", limit=3)  # a corpus metric stands before it
    assert data.file.counted == {"gen_second": "acc_norm"}


def test_what_cannot_be_a_probe_is_refused(tiny: Any, suites: Path) -> None:
    with pytest.raises(SpecError, match=r"gen_corpus: of gen_corpus no metric \(mcc\) is the mean"):
        read(tiny, suites, "gen_corpus")
    with pytest.raises(SpecError, match=r"no task, group or tag 'gen_chioce'. Did you mean 'gen_choice'"):
        read(tiny, suites, "gen_chioce")
    with pytest.raises(DataError, match="points of gen_points is 7 of an item"):
        score(tiny, read(tiny, suites, "gen_points", limit=2))


def test_a_folder_of_tasks_is_code(tiny: Any, suites: Path) -> None:
    from secura_bench.harness.data import read_suite

    with pytest.raises(SpecError, match=r"include_path: .* are code .* --allow-code"):
        read_suite(Suite("gen_choice", include_path=str(suites)), tiny[1], allow_code=False)


def test_a_task_that_loads_or_runs_code_wants_to_be_allowed(tiny: Any) -> None:
    from secura_bench.harness.data import read_suite

    with pytest.raises(SpecError, match=r"humaneval: takes 'code_eval' of evaluate, which is code.*--allow-code"):
        read_suite(Suite("humaneval"), tiny[1], allow_code=False)


def test_a_choice_that_melts_into_the_prompt_is_said(tiny: Any, suites: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.models.huggingface import HFLM

    def melt(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError  # as the harness does where a continuation has no token of its own

    found = read(tiny, suites, "gen_choice", limit=2)
    monkeypatch.setattr(HFLM, "loglikelihood", melt)
    with pytest.raises(DataError, match=r"gen_choice: lm-eval fails .* a choice's tokens melt into its prompt's"):
        score(tiny, found)


def test_what_identifies_a_part(tiny: Any, suites: Path, tmp_path: Path) -> None:
    def hashed(folder: Path, **settings: Any) -> str:
        data, examples = read(tiny, folder, "gen_choice", **settings)
        return data.scored_hash(examples)

    mine = hashed(suites)
    elsewhere = write_tasks(tmp_path)
    assert hashed(elsewhere) == mine  # the place of the rows is none of it
    assert len({mine, hashed(suites, num_fewshot=1), hashed(suites, limit=5)}) == 3
    other = tmp_path / "other"
    other.mkdir()
    path = write_tasks(other) / "gen_choice.yaml"
    path.write_text(path.read_text().replace("Answer:", "The answer:"))
    assert hashed(other) != mine
