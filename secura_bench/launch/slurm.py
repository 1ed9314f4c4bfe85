"""Runs of a SLURM cluster: an array job, a run a task, by a script that a person can read and send again."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from secura_bench.foundation.errors import BenchError
from secura_bench.foundation.wording import counted
from secura_bench.launch.jobs import missing_jobs, refuse_open_threads
from secura_bench.launch.slurm_queue import folder_of, note_job, queued
from secura_bench.plan.make import Plan
from secura_bench.runs.execute import ProgressMode
from secura_bench.runs.outcome import Outcome

NOTICE = 180
"""Seconds before its time is over at which a run is told to save and stop."""

_ALONE = "srun {command}"
_TOGETHER = """\
export MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
srun bash -c 'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS exec "$@"' bash \\
  {command}"""
_SCRIPT = """\
#!/bin/bash
# {count} of secura-bench, {at_a_time} at a time. A run is told to stop {notice} seconds before its time is over,
# and when its node is taken from it: it saves, ends with 143, and goes on when SLURM starts it again.
#SBATCH --job-name={name}
#SBATCH --array=0-{last}%{at_a_time}
#SBATCH --nodes=1
#SBATCH --ntasks={processes}
#SBATCH --cpus-per-task={threads}
{gpus}#SBATCH --requeue
#SBATCH --signal=TERM@{notice}
#SBATCH --open-mode=append
#SBATCH --chdir={folder}
#SBATCH --output={log}
{extra}
runs=(
{runs}
)

{launch} --only "${{runs[$SLURM_ARRAY_TASK_ID]}}"
ended=$?
if [ "$ended" -eq 143 ]; then
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$ended"
"""


@dataclass(frozen=True)
class Slurm:
    """Sends the missing runs of plans to a cluster's queue.

    ``words`` follow ``secura-bench run`` in every task. ``gpus_per_run``: 0 for runs on the CPU, 2 or more for as many
    processes a run. ``extra`` are options of sbatch. ``say`` is told what was sent; ``show``, if it is there, is given
    the script, and nothing is sent.
    """

    words: Sequence[str]
    gpus_per_run: int
    at_a_time: int
    extra: Sequence[str]
    say: Callable[[str], None]
    show: Callable[[str], None] | None = None

    def execute(
        self,
        plans: Sequence[Plan],
        results: Path,
        progress: ProgressMode = "person",
        only: Sequence[str] = (),
        force: bool = False,
        report_to: Sequence[str] = (),
    ) -> Outcome:
        """Send the missing runs that the queue does not have; nobody waits for them.

        Raises:
            SpecError: A spec names no threads.
            BenchError: ``sbatch`` is not there, or refuses; and as ``runs.execute``.
        """
        refuse_open_threads(plans, "slurm")
        outcome = Outcome()
        jobs = missing_jobs(plans, results, only, force, outcome, self.say, prepare=self.show is None)
        waiting = queued(results)
        runs = [job.run for job in jobs if job.run.address not in waiting]
        if len(runs) < len(jobs):
            self.say(f"{len(jobs) - len(runs)} of {len(jobs)} missing runs are in the queue already")
        if not runs:
            return outcome
        name = "+".join(dict.fromkeys(run.spec.experiment for run in runs))
        script = self.script(name, [run.address for run in runs], max(run.threads for run in runs), results)
        if self.show is not None:
            self.show(script)
            return outcome
        job = _send(script, folder_of(results))
        note_job(results, job, [run.address for run in runs])
        self.say(
            f"SLURM job {job}: {counted(len(runs), 'run')}, {self.at_a_time} at a time; "
            f"`secura-bench status {results}` says where they are, and the same command prints the report when they "
            "are done"
        )
        return outcome

    def script(self, name: str, runs: Sequence[str], threads: int, results: Path) -> str:
        """Return the array script of ``runs``, named as ``Run.address`` does."""
        command = shlex.join([sys.executable, "-m", "secura_bench", "run", *self.words])
        processes = max(1, self.gpus_per_run)
        return _SCRIPT.format(
            count=counted(len(runs), "run"),
            notice=NOTICE,
            name=name,
            last=len(runs) - 1,
            at_a_time=self.at_a_time,
            processes=processes,
            threads=threads,
            gpus=f"#SBATCH --gres=gpu:{self.gpus_per_run}\n" if self.gpus_per_run else "",
            folder=Path.cwd(),
            log=folder_of(results) / "%A_%a.log",
            extra=f"#SBATCH {shlex.join(self.extra)}\n" if self.extra else "",
            runs="\n".join(f"  {shlex.quote(run)}" for run in runs),
            launch=(_ALONE if processes == 1 else _TOGETHER).format(command=command),
        )


def _send(script: str, folder: Path) -> str:
    """Hand a script to ``sbatch`` and keep it in ``folder``; return the job's number."""
    if shutil.which("sbatch") is None:
        raise BenchError(
            "--launcher slurm: there is no sbatch here; give the command on a machine that sends jobs to SLURM. "
            "--dry-run shows the script without it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    sent = subprocess.run(["sbatch", "--parsable"], input=script, capture_output=True, text=True)  # noqa: S607
    found = re.match(r"\d+", sent.stdout)
    if sent.returncode or found is None:
        raise BenchError(f"--launcher slurm: sbatch refuses: {(sent.stderr or sent.stdout).strip()}")
    (folder / f"{found[0]}.sh").write_text(script, encoding="utf-8")
    return found[0]
