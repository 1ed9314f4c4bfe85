#!/usr/bin/env bash
# A SLURM of this machine alone, to try `run --launcher slurm` on: a controller and a node on the loopback.
#
#   scripts/slurm_box.sh start FOLDER   writes its configuration into FOLDER and starts it (needs Debian's slurm-wlm,
#                                       munge, and root); then `export SLURM_CONF=FOLDER/slurm.conf`
#   scripts/slurm_box.sh stop FOLDER    stops what it started, by the ids that it noted
set -euo pipefail
what=${1:?start or stop} box=$(realpath -m "${2:?a folder}")

stop() {
  if [ -s "$box/slurmctld.pid" ]; then  # jobs first: without their controller they would stay
    export SLURM_CONF="$box/slurm.conf"
    scancel --user="$(id -un)" || true
    for _ in $(seq 200); do [ -n "$(squeue --noheader)" ] || break; sleep 0.2; done
  fi
  for name in slurmd slurmctld munged; do
    if [ -s "$box/$name.pid" ]; then
      pid=$(cat "$box/$name.pid")
      kill "$pid" 2> /dev/null || true
      for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
      rm -f "$box/$name.pid"
    fi
  done
}

start() {
  for program in munged slurmctld slurmd sbatch; do
    command -v "$program" > /dev/null || { echo "slurm_box: $program is not installed: apt-get install slurm-wlm munge" >&2; exit 1; }
  done
  mkdir -p "$box/state" "$box/spool"
  chmod 755 "$box"
  dd if=/dev/urandom of="$box/munge.key" bs=1 count=1024 status=none
  chmod 600 "$box/munge.key"
  munged --force --key-file="$box/munge.key" --socket="$box/munge.socket" --pid-file="$box/munged.pid" \
    --log-file="$box/munged.log" --seed-file="$box/munge.seed"
  host=$(hostname -s) user=$(id -un)
  cat > "$box/slurm.conf" << END
ClusterName=box
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$box/munge.socket
CredType=cred/munge
StateSaveLocation=$box/state
SlurmdSpoolDir=$box/spool
SlurmctldPidFile=$box/slurmctld.pid
SlurmdPidFile=$box/slurmd.pid
SlurmctldLogFile=$box/slurmctld.log
SlurmdLogFile=$box/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
GresTypes=gpu
ReturnToService=2
KillWait=30
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) Gres=gpu:2 State=UNKNOWN
PartitionName=box Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  # GPUs in name alone: what asks for two is started as two processes, which find none and compute on the CPU.
  printf '%s\n' AutoDetect=off 'Name=gpu File=/dev/null' 'Name=gpu File=/dev/zero' > "$box/gres.conf"
  export SLURM_CONF="$box/slurm.conf"
  slurmctld
  slurmd -N "$host"
  for _ in $(seq 100); do
    sinfo --noheader --format=%t 2> /dev/null | grep -q idle && { echo "$SLURM_CONF"; exit 0; }
    sleep 0.2
  done
  echo "slurm_box: no idle node after 20 seconds; see $box/slurmctld.log and $box/slurmd.log" >&2
  stop
  exit 1
}

case $what in
  start | stop) "$what" ;;
  *) echo "slurm_box: $what is neither start nor stop" >&2; exit 2 ;;
esac
