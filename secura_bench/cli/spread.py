"""How `secura-bench run` spreads runs: one after another here, several at once, or over a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secura_bench.foundation.errors import BenchError, unknown_name

if TYPE_CHECKING:
    from secura_bench.runs.stages import Doing
    from secura_bench.spec.experiment import ExperimentSpec

LAUNCHERS = ("local", "slurm", "ray")

Jobs = Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="Do N runs at once on the CPU.")]
Gpus = Annotated[str, typer.Option("--gpus", metavar="all|0,2", help="Do a run on each of these GPUs at once.")]
Launcher = Annotated[str, typer.Option("--launcher", metavar="|".join(LAUNCHERS), help="Where runs are done.")]
GpusPerRun = Annotated[
    int, typer.Option("--gpus-per-run", metavar="N", min=0, help="GPUs of a run, under SLURM or Ray.")
]
AtATime = Annotated[int, typer.Option("--at-a-time", metavar="N", min=1, help="Runs at once, under SLURM or Ray.")]
Address = Annotated[str, typer.Option("--address", metavar="HOST:PORT", help="A Ray cluster, for --launcher ray.")]
ForSbatch = Annotated[
    list[str] | None, typer.Argument(metavar="[-- OPTION...]", help="Options of sbatch, for --launcher slurm.")
]


@dataclass(frozen=True)
class Spread:
    """What a command says of where its runs are done.

    Raises:
        BenchError: Two ways contradict each other; ``processes`` do each run already; no such launcher.
    """

    launcher: str
    jobs: int
    gpus: str
    gpus_per_run: int
    at_a_time: int
    address: str
    for_sbatch: Sequence[str]
    processes: int

    def __post_init__(self) -> None:
        if self.launcher not in LAUNCHERS:
            raise BenchError(f"--launcher {self.launcher}: {unknown_name('launcher', self.launcher, LAUNCHERS)}")
        here = self.jobs > 1 or bool(self.gpus)
        if (here or self.elsewhere) and self.processes > 1:
            raise BenchError("--jobs, --gpus and --launcher start processes; give the command without torchrun.")
        if self.jobs > 1 and self.gpus:
            raise BenchError("--jobs and --gpus contradict each other: a GPU does one run at a time. Leave --jobs out.")
        if self.elsewhere and here:
            raise BenchError(
                "--jobs and --gpus are for this machine; --at-a-time and --gpus-per-run for --launcher slurm or ray."
            )
        if self.gpus_per_run and not self.elsewhere:
            raise BenchError("--gpus-per-run: is for --launcher slurm or ray, and none is asked for.")
        if self.for_sbatch and not self.slurm:
            raise BenchError(f"{' '.join(self.for_sbatch)}: is for --launcher slurm, which is not asked for.")
        if self.address and self.launcher != "ray":
            raise BenchError(f"--address {self.address}: is for --launcher ray, which is not asked for.")

    @property
    def elsewhere(self) -> bool:
        """Whether runs are done by commands of their own, by SLURM or Ray."""
        return self.launcher != "local"

    @property
    def slurm(self) -> bool:
        """Whether runs go to SLURM."""
        return self.launcher == "slurm"

    def prepare(
        self,
        specs: Sequence[ExperimentSpec],
        words: Words,
        show: Callable[[str], None] | None,
        say: Callable[[str], None],
    ) -> tuple[Doing, Sequence[ExperimentSpec]]:
        """Return what does the runs of ``specs``, and the specs as it does them; ``show`` is for a script not sent.

        Raises:
            BenchError: A GPU is not there, or a run cannot fit its share of the memory.
        """
        from secura_bench.runs.execute import execute

        if self.slurm:
            from secura_bench.launch.slurm import Slurm

            send = Slurm(words.as_typed(), self.gpus_per_run, self.at_a_time, self.for_sbatch, say, show)
            return send.execute, specs
        if self.launcher == "ray":
            from secura_bench.launch.ray_cluster import RayCluster

            return RayCluster(words.as_typed(), self.gpus_per_run, self.at_a_time, self.address).execute, specs
        if self.jobs == 1 and not self.gpus:
            _refuse_what_cannot_fit(specs, 1)
            return execute, specs
        from secura_bench.launch.local import Local
        from secura_bench.launch.share import gpus_of, share_threads

        devices: Sequence[str | None] = gpus_of(self.gpus) if self.gpus else [None] * self.jobs
        specs, threads = share_threads(specs, len(devices))
        if threads:
            say(
                f"each run computes with {threads} of the threads; that is part of what a run is, so `threads: "
                f"{threads}` in the spec names the same runs without this option"
            )
        if not self.gpus:  # otherwise each process looks at its own
            _refuse_what_cannot_fit(specs, self.jobs)
        return Local(devices, words.plugins, words.includes, words.allow_code).execute, specs


@dataclass(frozen=True)
class Words:
    """What a command says of all its runs, to be said again where they are done."""

    spec: str
    results: Path
    overrides: Sequence[str]
    plugins: Sequence[Path]
    includes: Sequence[Path]
    allow_code: bool
    report_to: Sequence[str]

    def as_typed(self) -> list[str]:
        """Return the words that follow `secura-bench run`."""
        options = [
            ("--results", str(self.results)),
            *(("--set", each) for each in self.overrides),
            *(("--plugin", str(each)) for each in self.plugins),
            *(("--include", str(each)) for each in self.includes),
            *(("--report-to", each) for each in self.report_to),
        ]
        return [self.spec, *(word for pair in options for word in pair), *["--allow-code"] * self.allow_code]


def _refuse_what_cannot_fit(specs: Sequence[ExperimentSpec], runs: int) -> None:
    from secura_bench.estimates.device import this_device
    from secura_bench.estimates.forecast import refuse_what_cannot_fit
    from secura_bench.tuning.trials import trial_experiment

    device = this_device()
    if runs > 1:
        from secura_bench.launch.share import share_of

        device = share_of(device, runs)
    refuse_what_cannot_fit([*(trial_experiment(spec) for spec in specs if spec.tune), *specs], device)
