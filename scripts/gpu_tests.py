"""The tests marked ``gpu``, one result each, as they end."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/gpu", "tests/runs/test_gpu.py")


def results(deadline: float) -> Iterator[dict[str, Any]]:
    """Yield how each test ended by ``deadline``, then what those that failed say."""
    words = ["-m", "gpu", "-v", "--tb=short", "-p", "no:cacheprovider", "--color=no", *TESTS]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    alarm = threading.Timer(max(1.0, deadline - time.monotonic()), process.kill)
    alarm.start()
    said, began, ended = [], time.monotonic(), 0
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    for line in process.stdout:
        said.append(line)
        if found := re.match(r"(tests/\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b", line):
            now, ended = time.monotonic(), ended + 1
            result = {"name": found[1].removeprefix("tests/"), "outcome": found[2].lower(), "seconds": now - began}
            yield (
                {**result, "skipped": "see the reasons"}
                if found[2] == "SKIPPED"
                else {
                    **result,
                    "within": found[2] == "PASSED",
                }
            )
            began = now
    alarm.cancel()
    code = process.wait()
    if code < 0:
        yield {"name": "pytest", "skipped": f"no time left after {ended} tests"}
    elif code > 1 or not ended:
        yield {"name": "pytest", "error": f"exit code {code}\n{''.join(said[-60:])}"}
    elif code:
        yield {"name": "what failed", "error": "".join(said)[-12000:]}
