#!/usr/bin/env bash
# A sweep on a Slurm of one node on this machine, without accounting: the same tables as without Slurm, and a killed job.
# As root, in the folder of an installed checkout, with Debian's slurm-wlm and munge: tests/clusters/slurm.sh PYTHON
set -euo pipefail
python=$(realpath -s "$1")
source "$(dirname "$0")/same_tables.sh"
work=$(mktemp -d)
end() {
  scancel -u root || true
  for _ in {1..300}; do [[ $(squeue --noheader) ]] || break; sleep 0.2; done  # a job that ends still writes
  for daemon in slurmd slurmctld munged; do  # each writes into the folder until it has ended
    if pid=$(cat "$work/$daemon.pid"); then kill "$pid" && tail --pid="$pid" -f /dev/null; fi
  done
  rm -rf "$work"
}
trap end EXIT
export SLURM_CONF=$work/slurm.conf
host=$(hostname -s)
mkdir -p "$work"/{spool,state}
chmod 755 "$work"
(umask 077 && head -c 1024 /dev/urandom >"$work/munge.key")
munged --force --key-file="$work/munge.key" --socket="$work/munge.socket" --pid-file="$work/munged.pid" \
  --log-file="$work/munge.log" --seed-file="$work/munge.seed"
cat >"$SLURM_CONF" <<CONF
ClusterName=loop
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmdSpoolDir=$work/spool
StateSaveLocation=$work/state
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
slurmctld && slurmd
cd "$work"
same_tables hydra/launcher=slurm hydra.launcher.n_jobs=2
"$python" -m benchmarks +problem=cliff optimizer=sgd,adam,newton out=killed cells=c hydra/launcher=slurm \
  hydra.launcher.n_jobs=2 2>killed.txt &
sweep=$!
until ls killed/.cells/beats/0 2>/dev/null; do kill -0 $sweep; sleep 0.2; done
until pkill -KILL -o -f "^[^ ]*python.* submitit.core._submit $work/"; do kill -0 $sweep; sleep 0.2; done
wait $sweep
grep "it is run again" killed.txt
echo "a killed job is run again"
