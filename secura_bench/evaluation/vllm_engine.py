"""Greedy answers by vLLM: token ids in and out, by an engine in a process of its own, as long as it is lent."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from secura_bench.foundation.errors import SpecError
from secura_bench.foundation.wording import first_line, in_a_line
from secura_bench.spec.sections import EvaluateSpec

KEY = "evaluate.engine: vllm"
WAY_OUT = "take engine: transformers"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The largest ranks that vLLM can be asked to make room for."""

_LEFT = 2 * 2**30
"""Bytes of a GPU's free memory that are left: CUDA's own of the engine's process, and what both grow by."""

_CACHE_ON_CPU = 2 * 2**30
"""Bytes of the KV cache on a CPU, whose memory is everybody's."""

_SET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
"""Unless said otherwise: it sends no statistics, says nothing on stdout, and forks no process that has threads."""


@dataclass(frozen=True)
class Adapter:
    """A LoRA in PEFT's files, and its rank."""

    folder: Path
    rank: int


def missing_engine(evaluate: EvaluateSpec) -> str | None:
    """Return what ``evaluate`` asks for and this machine has not: vLLM, or a device that it computes on."""
    if evaluate.engine != "vllm":
        return None
    if not find_spec("vllm"):
        return f"{KEY} needs vLLM: pip install 'secura-bench[vllm]' (or {WAY_OUT})."
    if not torch.cuda.is_available() and not _is_of_cpus():
        return f"{KEY} needs a CUDA device, and here is none; {WAY_OUT}."
    return None


def engine_version() -> str:
    """Return the version of vLLM."""
    import vllm

    return str(vllm.__version__)


class Engine:
    """A model of a folder in vLLM, with an ``adapter`` on it or none."""

    def __init__(self, llm: Any, adapter: Adapter | None) -> None:
        self._llm, self._adapter = llm, adapter

    def answer(
        self, prompts: Sequence[Sequence[int]], stop_ids: Collection[int], max_new_tokens: int
    ) -> list[list[int]]:
        """Return the most likely continuation of each prompt, up to and with a stop token, at most so many tokens."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        wanted = SamplingParams(
            temperature=0.0,
            max_tokens=max_new_tokens,
            stop_token_ids=sorted(stop_ids),
            ignore_eos=True,  # the model's own end is among ours, or it is none
            detokenize=False,
        )
        asked = [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        said = self._llm.generate(asked, wanted, use_tqdm=False, lora_request=_request(self._adapter))
        return [list(each.outputs[0].token_ids) for each in said]


@contextmanager
def lent_engine(
    folder: Path, tokenizer: Path, dtype: torch.dtype, longest: int, adapter: Adapter | None
) -> Iterator[Engine]:
    """Lend vLLM with the model of ``folder``; its process and memory go when the context ends.

    ``longest`` is the most tokens of a prompt with its answer.
    """
    for name, value in _SET.items():
        os.environ.setdefault(name, value)
    from vllm import LLM

    on_it: dict[str, Any] = {"enable_lora": True, "max_loras": 1, "max_lora_rank": room_for(adapter)} if adapter else {}
    with _unsignalled():
        llm = LLM(
            model=str(folder),
            tokenizer=str(tokenizer),
            dtype=str(dtype).rpartition(".")[2],
            max_model_len=longest,
            generation_config="vllm",  # and not the model's own, which may penalise repetitions
            enforce_eager=True,  # compiling takes longer than a scoring's texts
            use_tqdm_on_load=False,
            seed=0,
            **_memory(),
            **on_it,
        )
    try:
        yield Engine(llm, adapter)
    finally:
        llm.llm_engine.engine_core.shutdown()


def room_for(adapter: Adapter) -> int:
    """Return the least of vLLM's ranks that an adapter fits into."""
    return next(rank for rank in RANKS if rank >= adapter.rank)


def in_words(error: Exception) -> str:
    """Return what vLLM says of its failure as one line, with the way out."""
    said = first_line(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else in_a_line(error)
    return f"{KEY}: {said.rstrip('.')}; {WAY_OUT}."


def _memory() -> dict[str, Any]:
    """Return how much memory the engine may take: of a GPU all that is free now, but for ``_LEFT``.

    Raises:
        SpecError: So much is not free.
    """
    if not torch.cuda.is_available():
        return {"kv_cache_memory_bytes": _CACHE_ON_CPU}
    free, total = torch.cuda.mem_get_info()
    if free <= _LEFT:
        raise SpecError(
            f"{KEY}: of the GPU's memory {free / 2**30:.1f} GiB are free beside the model that is trained, and "
            f"{_LEFT / 2**30:.0f} are left to it; {WAY_OUT}."
        )
    return {"gpu_memory_utilization": (free - _LEFT) / total}


@contextmanager
def _unsignalled() -> Iterator[None]:
    """Within this context processes are begun that are not told of SIGINT and SIGTERM, which go to a whole group.

    A run that is stopped ends the engine itself; one that dies at its start would be waited for without an end.
    """
    resource_tracker.ensure_running()  # which lets the signals through again when it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_of_cpus() -> bool:
    """Return whether the vLLM that is installed was built for CPUs."""
    try:
        from vllm.platforms import current_platform
    except ImportError:
        return False
    return bool(current_platform.is_cpu())


def _request(adapter: Adapter | None) -> Any:
    from vllm.lora.request import LoRARequest

    return adapter and LoRARequest("trained", 1, str(adapter.folder))
