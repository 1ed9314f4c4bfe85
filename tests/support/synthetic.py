"""Record sets made by hand: a small simulation of learning and forgetting, filed as real runs are."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secura_bench.results.folder import RunFolder
from secura_bench.results.record import Cost, DataNote, RunRecord, Score


@dataclass(frozen=True)
class Character:
    """How a simulated method behaves: the share of new tasks that it learns, and of old facts that it loses a task."""

    learns: float
    forgets: float
    trainable: int = 40_000
    seconds: float = 60.0


CHARACTERS = {
    "seq": Character(0.9, 0.35, 1_000_000, 180.0),
    "lora": Character(0.8, 0.2, 60_000, 70.0),
    "secura": Character(0.75, 0.05, 40_000, 90.0),
}
PARTS = ("facts", "sums")
ENTITIES = ("Lisbon", "Oslo", "Lima", "Accra", "Quito", "Hanoi", "Tunis", "Sofia", "Dakar", "Seoul")


def write_records(
    root: Path,
    characters: Mapping[str, Character] = CHARACTERS,
    tasks: Sequence[str] = ("colours", "counting", "language", "groups"),
    seeds: Sequence[int] = (1, 2),
    probe_items: int = 60,
    task_items: int = 30,
    every: int = 0,
    steps: int = 40,
    words: int = 0,
    mode: str = "sequence",
    protocols: Sequence[str] = ("teacher_forced", "generate"),
    hostile: str = "",
) -> Path:
    """Write a base record and one of each method and seed (and task, in mode separate) below ``root``.

    ``every``: the probe is scored within each task, too. ``words``: length of the simulated answers' reasoning.
    ``hostile`` stands as the prediction of the first item of the first part, everywhere but at the base.
    """
    world = _World(tuple(tasks), probe_items, task_items, words, tuple(protocols), hostile)
    courses = [tuple(tasks)] if mode == "sequence" else [(task,) for task in tasks]
    world.write(root, "base", None, tuple(tasks), 0, 0, 0, mode)
    for name, character in characters.items():
        for course in courses:
            for seed in seeds:
                world.write(root, name, character, course, seed, every, steps, mode)
    return root


@dataclass(frozen=True)
class _World:
    tasks: tuple[str, ...]
    probe_items: int
    task_items: int
    words: int
    protocols: tuple[str, ...]
    hostile: str

    def write(
        self,
        root: Path,
        name: str,
        character: Character | None,
        tasks: tuple[str, ...],
        seed: int,
        every: int,
        steps: int,
        mode: str,
    ) -> None:
        what = "-".join(tasks) if mode == "separate" and character else "all"
        run = f"{name}-{what}-s{seed}"
        folder = RunFolder(root / "trial" / f"{run}-0123456789ab")
        folder.begin({"experiment": "trial"}, {"secura_bench": "0"})
        scores: list[Score] = []
        if character is None:
            self._score(folder, scores, name, 0, None, 0, True, 0.0, None, tasks, seed)
        else:
            stage = 0
            for index, task in enumerate(tasks):
                for step in range(1, steps + 1):
                    decay = 1 / (1 + step / 10)
                    folder.log(
                        {
                            "task": task,
                            "step": step,
                            "loss": 4 * decay + 0.1,
                            "grad_q_proj.lora_A": 0.5 * decay * (1 + index),
                            "grad_q_proj.lora_B": 0.9 * decay * (1 + index),
                            "grad_v_proj.lora_A": 0.2 * decay,
                        }
                    )
                for step in range(every or steps, steps + 1, every or steps):
                    done = step == steps
                    lost = character.forgets * (index + step / steps)
                    known = tasks[: index + 1] if done else ()
                    self._score(folder, scores, name, stage, task, step, done, lost, character, known, seed)
                    stage += 1
        folder.finish(self._record(run, name, character, tasks, seed, mode, scores))

    def _score(
        self,
        folder: RunFolder,
        scores: list[Score],
        method: str,
        stage: int,
        after: str | None,
        step: int,
        finished: bool,
        lost: float,
        character: Character | None,
        tasks: Sequence[str],
        seed: int,
    ) -> None:
        share = self.probe_items // len(PARTS)
        for protocol in self.protocols:
            pooled: dict[str, list[float]] = {}
            for part in PARTS:
                columns, texts = self._probe(method, part, share, lost, seed, protocol)
                scores.append(self._file(folder, stage, after, step, finished, "part", protocol, part, columns, texts))
                for metric, values in columns.items():
                    pooled.setdefault(metric, []).extend(values)
            scores.append(_score(stage, after, step, finished, "probe", protocol, "f_probe", pooled))
            for task in tasks:
                age = (self.tasks.index(after) - self.tasks.index(task)) if after else 0
                skill = 0.1 if character is None else character.learns * (1 - character.forgets) ** age
                columns, texts = self._task(method, task, skill, seed, protocol)
                scores.append(self._file(folder, stage, after, step, finished, "task", protocol, task, columns, texts))

    def _file(
        self,
        folder: RunFolder,
        stage: int,
        after: str | None,
        step: int,
        finished: bool,
        role: str,
        protocol: str,
        task: str,
        columns: dict[str, list[float]],
        texts: list[dict[str, Any]],
    ) -> Score:
        score = _score(stage, after, step, finished, role, protocol, task, columns)
        folder.write_items(score, {"id": [text["id"] for text in texts], **columns}, texts)
        return score

    def _probe(
        self, method: str, part: str, count: int, lost: float, seed: int, protocol: str
    ) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
        wrong, texts = [], []
        for i in range(count):
            draw = random.Random(f"{part}/{i}")
            strength = draw.random() * 1.6  # how much forgetting the fact survives
            strength += random.Random(f"{part}/{i}/{method}/{seed}").gauss(0, 0.1)
            truth = f"{ENTITIES[i % 10]} {i}" if part == "facts" else str(7 * i + 3)
            forgotten = strength < lost or draw.random() < 0.08
            kind = "" if not forgotten else ("gone", "cut", "format")[draw.randrange(3)]
            wrong.append(kind)
            question = f"Which city is number {i} on the list?" if part == "facts" else f"What is 7 × {i} + 3?"
            texts.append(self._text(f"{part}-{i}", question, truth, kind, f"{part}/{i}/{method}/{lost:.2f}"))
        if self.hostile and method != "base" and part == PARTS[0]:
            texts[0] |= {"prediction": self.hostile, "extracted": self.hostile}
        return _columns(wrong, protocol), texts

    def _task(
        self, method: str, task: str, skill: float, seed: int, protocol: str
    ) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
        wrong, texts = [], []
        for i in range(self.task_items):
            right = random.Random(f"{task}/{i}/{method}/{seed}").random() < skill
            wrong.append("" if right else "gone")
            texts.append(
                self._text(f"{task}-{i}", f"{task}: row {i}?", f"answer {i}", wrong[-1], f"{task}/{i}/{method}")
            )
        return _columns(wrong, protocol), texts

    def _text(self, id_: str, prompt: str, truth: str, kind: str, key: str) -> dict[str, Any]:
        draw = random.Random(key)
        reasoning = "".join(
            draw.choice(("so ", "then ", "we see ", "hence ", f"{draw.randrange(99)} ")) for _ in range(self.words)
        )
        answer = {"": truth, "gone": f"no. {draw.randrange(900)}", "cut": "and and and and", "format": f"<{truth}>"}[
            kind
        ]
        return {
            "id": id_,
            "prompt": f"{prompt}\n\nAnswer in one line.",
            "reference": truth,
            "prediction": f"{reasoning}{answer}",
            "extracted": answer,
        }

    def _record(
        self,
        run: str,
        name: str,
        character: Character | None,
        tasks: tuple[str, ...],
        seed: int,
        mode: str,
        scores: list[Score],
    ) -> RunRecord:
        rows = {part: self.probe_items // len(PARTS) for part in PARTS}
        note = {
            task: DataNote(
                source="made by a test", revision=None, licence="CC0", stand_in=None, train_rows=100, test_rows=30,
                train_hash=task, test_hash=task, too_long=0, probe_rows=rows.get(task, 0),
                probe_hash=task if task in rows else None,
            )
            for task in (*tasks, *PARTS)
        }  # fmt: skip
        trained = character is not None
        norms = {"before": {"q_proj": 10.0, "v_proj": 6.0}}
        if character:
            drift = 1 + character.forgets
            norms |= {"former": {"q_proj": 10 * drift, "v_proj": 6 * drift}, "updated": {"q_proj": 10.0, "v_proj": 6.1}}
        return RunRecord(
            version="0.1.0",
            name=run,
            fingerprint="0123456789ab",
            experiment="trial",
            mode=mode,  # type: ignore[arg-type]
            status="done",
            model={"label": "toy", "identity": "toy"},
            method={"name": name, "label": name, "options": {}, "train": {"steps": 40} if trained else {}},
            tasks=tasks,
            probe="f_probe",
            probe_parts=PARTS,
            seed=seed,
            limit=None,
            parameters={
                "trainable": character.trainable if character else 0, "total": 1_000_000, "held": 0,
                "effective": character.trainable if character else 0, "per_layer": 0.0, "published_per_layer": None,
            },
            weight_norms=norms if trained else None,
            data=note,
            signatures={protocol: {"accuracy": f"{protocol}-v1"} for protocol in self.protocols},
            scores=tuple(scores),
            cost=Cost(
                train_seconds=character.seconds + seed % 10 if character else 0.0,
                evaluate_seconds=10.0,
                tokens=10_000,
                peak_memory=500_000_000 + (character.trainable * 16 if character else 0),
                device="cpu",
            ),
            finished_at="2026-01-01T00:00:00+00:00",
        )  # fmt: skip


def _columns(wrong: Sequence[str], protocol: str) -> dict[str, list[float]]:
    accuracy = [0.0 if kind else 100.0 for kind in wrong]
    partial = [20.0 if kind else 100.0 for kind in wrong]
    if protocol == "teacher_forced":
        return {
            "accuracy": accuracy,
            "char_bleu": partial,
            "rouge1": partial,
            "rougeL": partial,
            "loss": [2.0 if k else 0.1 for k in wrong],
        }
    kinds = {kind: [100.0 if each == kind else 0.0 for each in wrong] for kind in ("format", "gone", "cut")}
    return {"accuracy": accuracy, "rouge1": partial, "rougeL": partial, **kinds}


def _score(
    stage: int,
    after: str | None,
    step: int,
    finished: bool,
    role: Any,
    protocol: str,
    task: str,
    columns: dict[str, list[float]],
) -> Score:
    values: dict[str, float | None] = {metric: sum(values) / len(values) for metric, values in columns.items()}
    n = len(next(iter(columns.values())))
    return Score(
        stage=stage,
        after=after,
        step=step,
        finished=finished,
        role=role,
        protocol=protocol,
        task=task,
        n=n,
        values=values,
    )
