"""The Hub in a box, for a person: ``PYTHONPATH=tests:. python -m hub`` says how to use it, and serves until Ctrl-C."""

import contextlib
import sys
import time

from hub.box import MEMBER, Box
from hub.repositories import all_repositories

with (
    Box(all_repositories(), port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as box,
    contextlib.suppress(KeyboardInterrupt),
):
    print(f"export HF_ENDPOINT={box.url} HF_HOME=$(mktemp -d) HF_TOKEN={MEMBER}", flush=True)
    while True:
        time.sleep(1)
