"""`secura-bench env`."""

from __future__ import annotations

import os
import platform

import typer

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "huggingface_hub", "tokenizers")


def env() -> None:
    """Show what a bug report needs: versions, devices, threads, cache folders. Nothing of it is secret."""
    from secura_bench.foundation.harmless import plain

    facts = {**_versions(), **_machine(), **_caches()}
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {plain(value)}")


def _versions() -> dict[str, str]:
    """Return the versions of this package, with its commit in a checkout, of Python and of what is built upon."""
    from secura_bench.foundation.installed import commit, versions
    from secura_bench.foundation.version import __version__

    code = commit()
    changed = ", with changes" if code and code["dirty"] else ""
    ours = f"{__version__} (commit {code['commit'][:10]}{changed})" if code else __version__
    others = {name: found or "not installed" for name, found in versions(_PACKAGES).items()}
    return {"secura-bench": ours, "python": platform.python_version(), **others}


def _machine() -> dict[str, str]:
    """Return the platform, the devices with their memory, and the threads; a torch that fails is said so."""
    facts = {"platform": platform.platform()}
    try:
        import torch

        from secura_bench.runs.processor import processor
    except Exception as error:  # what is broken here is what the report is about
        from secura_bench.foundation.wording import in_a_line

        return facts | {"devices": f"torch cannot be imported: {in_a_line(error)}"}
    facts["cpu"] = processor()
    for index in range(torch.cuda.device_count()):
        held = torch.cuda.get_device_properties(index).total_memory / 2**30
        facts[f"cuda:{index}"] = f"{torch.cuda.get_device_name(index)}, {held:.0f} GiB, CUDA {torch.version.cuda}"
    asked = os.environ.get("OMP_NUM_THREADS")
    said = f", OMP_NUM_THREADS={asked}" if asked else ""
    return facts | {"threads": f"{torch.get_num_threads()} of {os.cpu_count()} processors{said}"}


def _caches() -> dict[str, str]:
    """Return the folders where the Hub's libraries keep what they fetch, the user's own as "~"."""
    from secura_bench.foundation.home import without_home
    from secura_bench.hub.cache import cache_folder

    try:
        from huggingface_hub import constants
    except ImportError:  # said above
        return {}
    folders = {"HF_HOME": constants.HF_HOME, "HF_HUB_CACHE": str(cache_folder())}
    return {name: without_home(os.path.expanduser(folder)) for name, folder in folders.items()}  # noqa: PTH111
