"""`python -m secura_bench.cli.leashed` is `secura-bench`, and is asked to stop when its standard input ends.

Whoever starts it holds the other end, which the system lets go of however that process ends: a node's Ray that is
killed leaves nobody at work.
"""

from __future__ import annotations

import os
import signal
import threading


def _stop_at_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_at_end, daemon=True).start()
    from secura_bench.cli.main import main

    main()
