#!/usr/bin/env bash
# The tiny profile through a real SLURM of one node on loopback, against the same run without it.
# Starts munged, slurmctld and slurmd in a folder of their own, and ends them.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)

if [ "$(id -u)" != 0 ]; then
    echo "tests/slurm/run.sh: only root can start the daemons; run it as root, in a container perhaps" >&2
    exit 1
fi
if [ -e /etc/slurm/slurm.conf ]; then
    echo "tests/slurm/run.sh: this machine has a SLURM of its own (/etc/slurm/slurm.conf); run it elsewhere" >&2
    exit 1
fi
for tool in slurmctld slurmd sbatch munged; do
    if ! command -v "$tool" > /dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            slurmctld slurmd slurm-client munge > /dev/null
        break
    fi
done

work=$(mktemp -d)
host=$(hostname -s)

stop() {
    status=$?
    if [ "$status" != 0 ]; then
        find "$work" -name '*.log' -size +0 -exec tail -n 40 {} + >&2
    fi
    for daemon in slurmd slurmctld munged; do
        if [ -f "$work/$daemon.pid" ]; then
            pid=$(cat "$work/$daemon.pid")
            kill "$pid" || true
            timeout 20 tail --pid="$pid" -f /dev/null || true   # until it has ended
        fi
    done
    rm -rf "$work" /etc/slurm/slurm.conf
    exit "$status"
}
trap stop EXIT

# Where every SLURM command looks: jobs do not inherit SLURM_CONF.
mkdir -p /etc/slurm
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=tiny
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=600
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
mkdir "$work/state" "$work/spool"

head --bytes 1024 /dev/urandom > "$work/munge.key"
chmod 400 "$work/munge.key"
munged --force --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munged.pid" --log-file="$work/munged.log" --seed-file="$work/munge.seed"
slurmctld
slurmd -N "$host"
for _ in $(seq 30); do
    if sinfo --noheader --format=%T | grep -q idle; then break; fi
    sleep 1
done
sinfo

metrics=results/tiny/metrics.csv
run() {
    snakemake --snakefile "$repository/Snakefile" --directory "$work/$1" \
        --configfile "$repository/tests/workflow/tiny.yaml" "${@:2}" -- "$metrics"
}
export PYTHONPATH=$repository
# Without accounting, squeue is what tells how jobs are.
run slurm --workflow-profile "$repository/profiles/slurm" --slurm-status-command squeue \
    --slurm-init-seconds-before-status-checks 5
run local --cores 2
cmp "$work/slurm/$metrics" "$work/local/$metrics"
echo "SLURM and the local run wrote the same metrics.csv."
