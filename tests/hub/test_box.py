"""The box speaks the Hub's protocol: its own libraries, which are not ours, are content with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hub.box import Box, Fault, Repository
from hub.repositories import parquet

COMMIT = "c" * 40
ROWS = [{"text": f"row {index}"} for index in range(25)]
SMALL = [
    Repository("model", "some/model", COMMIT, {"config.json": b"{}", "model.safetensors": b"w" * 9000}, gated=True),
    Repository(
        "dataset",
        "some/rows",
        COMMIT,
        {"one/train-00000-of-00001.parquet": parquet(ROWS), "one/test-00000-of-00001.parquet": parquet(ROWS[:2])},
    ),
    Repository("dataset", "old/rows", COMMIT, {}, moved="some/rows"),
]
LIBRARIES = """
import json, os
import datasets
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

def refusal(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
api = HfApi()
print(json.dumps({
    "model": sorted(os.listdir(snapshot_download("some/model"))),
    "rows": len(datasets.load_dataset("old/rows", split="train")),
    "stranger": refusal(lambda: snapshot_download("some/model", token="hf_stranger", cache_dir="elsewhere")),
    "gone": refusal(lambda: api.model_info("no/where")),
    "revision": refusal(lambda: api.model_info("some/model", revision="v9")),
    "file": refusal(lambda: api.hf_hub_download("some/model", "x.json")),
    "info": [file.size for file in api.get_paths_info("some/model", ["config.json"])],
    "sizes": {file.rfilename: file.size for file in api.model_info("some/model", files_metadata=True).siblings},
}))
"""


def test_the_hubs_own_libraries_are_content(tmp_path: Path) -> None:
    with Box(SMALL, page=1) as box:
        box.faults = [Fault("model.safetensors", times=1, method="GET", status=429)]  # asked again by every version
        done = subprocess.run(
            [sys.executable, "-c", LIBRARIES],
            env=box.environment(tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "model": ["config.json", "model.safetensors"],
        "rows": 25,
        "stranger": "GatedRepoError",
        "gone": "RepositoryNotFoundError",
        "revision": "RevisionNotFoundError",
        "file": "RemoteEntryNotFoundError",
        "info": [2],
        "sizes": {"config.json": 2, "model.safetensors": 9000},
    }
