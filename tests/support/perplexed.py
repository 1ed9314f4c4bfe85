"""Records made by hand, given a perplexity of their probe."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from secura_bench.results.folder import items_file
from secura_bench.results.record import Score


def add_perplexity(root: Path) -> None:
    """Add to each record a perplexity of its probe, by text the worse the more of the probe's answers are wrong."""
    for path in root.glob("*/*/record.json"):
        whole = json.loads(path.read_text())
        seed = whole["seed"] or 0
        for old in [score for score in whole["scores"] if score["role"] != "task"]:
            score = {**old, "protocol": "perplexity"}
            accuracy = old["values"]["accuracy"]
            draw = np.random.default_rng([7, *map(ord, old["task"])])
            tokens = draw.integers(30, 200, old["n"]).astype(float)
            loss = draw.normal(3.5, 0.4, old["n"]) + (100 - accuracy) / 150
            loss += np.random.default_rng([seed, round(100 * accuracy)]).normal(0, 0.05, old["n"])
            if old["role"] == "part":
                found = Score.model_validate(score)
                file = path.parent / items_file(found)
                ids = json.loads((path.parent / items_file(Score.model_validate(old))).read_text())["id"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({"id": ids, "loss": loss.tolist(), "tokens": tokens.tolist()}))
                parts = score["values"] = {"nats": float(loss @ tokens), "tokens": float(tokens.sum())}
                pooled = whole.setdefault("_pooled", {}).setdefault(str((old["stage"], seed)), [])
                pooled.append(parts)
            whole["scores"].append(score)
        for score in whole["scores"]:
            if score["protocol"] == "perplexity":
                there = whole["_pooled"][str((score["stage"], seed))] if score["role"] == "probe" else [score["values"]]
                tokens = sum(part["tokens"] for part in there)
                nats = sum(part["nats"] for part in there) / tokens
                score["_values"] = {"perplexity": math.exp(nats), "loss": nats, "tokens": tokens}
        for score in whole["scores"]:
            score["values"] = score.pop("_values", score["values"])
        whole.pop("_pooled")
        path.write_text(json.dumps(whole))
