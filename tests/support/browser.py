"""Chromium, driven by a test; without it the test is skipped with the reason."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium(profile: Path, width: int, dark: bool = False) -> Iterator[Any]:
    """Yield a Chromium of its own, ``width`` pixels wide, that asks for light or dark pages and logs its console."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary, server = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not server:
        pytest.skip("Chromium or its driver is not installed (Debian: chromium, chromium-driver)")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(server))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


def drawn(page: Path, profile: Path) -> str:
    """Return what a page's script has put into its main element; unlike the rest, this needs no driver."""
    binary = shutil.which("chromium")
    if not binary:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    # The time is virtual: it ends when the page has nothing more to do.
    flags = (*FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom")
    done = subprocess.run([binary, *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout[done.stdout.index("<main") : done.stdout.index("</main>")]
