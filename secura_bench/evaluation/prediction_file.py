"""Predictions on disk, batch by batch, so that an evaluation goes on where it was cut off."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from secura_bench.evaluation.predictions import Prediction


class PredictionFile:
    """One evaluation's predictions: a line a batch, each with its checksum. Appended to, never rewritten."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[int, Prediction]:
        """Return the predictions by position; the file is cut at the first line that is torn or damaged."""
        known: dict[int, Prediction] = {}
        if not self.path.exists():
            return known
        content, good = self.path.read_bytes(), 0
        for line in content.splitlines(keepends=True):
            checksum, _, text = line.partition(b" ")
            if not line.endswith(b"\n") or checksum != _checksum(text):
                break
            try:
                known.update({int(i): Prediction.from_json(said) for i, said in json.loads(text)})
            except (ValueError, TypeError):  # of another version of ours
                break
            good += len(line)
        if good < len(content):
            with self.path.open("r+b") as stream:
                stream.truncate(good)
        return known

    def append(self, batch: Sequence[tuple[int, Prediction]]) -> None:
        """Add one finished batch."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([[i, prediction.to_json()] for i, prediction in batch]).encode() + b"\n"
        with self.path.open("ab") as stream:
            stream.write(_checksum(text) + b" " + text)


def _checksum(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()
