#!/bin/bash
# 3 runs of secura-bench, 2 at a time. A run is told to stop 180 seconds before its time is over,
# and when its node is taken from it: it saves, ends with 143, and goes on when SLURM starts it again.
#SBATCH --job-name=pull
#SBATCH --array=0-2%2
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --requeue
#SBATCH --signal=TERM@180
#SBATCH --open-mode=append
#SBATCH --chdir=FOLDER
#SBATCH --output=FOLDER/results/.slurm/%A_%a.log

runs=(
  pull/tiny-base
  pull/tiny-seq-tiny_group-s1
  pull/tiny-seq-tiny_group-s2
)

srun PYTHON -m secura_bench run pull.yaml --results results --set train.lr=1e-4 --only "${runs[$SLURM_ARRAY_TASK_ID]}"
ended=$?
if [ "$ended" -eq 143 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$ended"
