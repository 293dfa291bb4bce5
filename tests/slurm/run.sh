#!/usr/bin/env bash
# The tiny profile through a real SLURM of one node on loopback, against the same run without it.
# Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge, which it installs.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
work=$(mktemp -d)
host=$(hostname -s)

stop() {
    pkill --pidfile "$work/slurmd.pid" || true
    pkill --pidfile "$work/slurmctld.pid" || true
    pkill --pidfile "$work/munged.pid" || true
    rm -rf "$work"
}
trap stop EXIT

for tool in slurmctld slurmd sbatch munged; do
    if ! command -v "$tool" > /dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            slurmctld slurmd slurm-client munge > /dev/null
        break
    fi
done

cat > "$work/slurm.conf" <<CONF
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
export SLURM_CONF=$work/slurm.conf

dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 status=none
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

run() {
    snakemake --snakefile "$repository/Snakefile" --directory "$work/$1" \
        --configfile "$repository/tests/workflow/tiny.yaml" "${@:2}" all
}
export PYTHONPATH=$repository
run slurm --workflow-profile "$repository/profiles/slurm" --slurm-init-seconds-before-status-checks 5
run local --cores 2
cmp "$work/slurm/results/tiny/metrics.csv" "$work/local/results/tiny/metrics.csv"
echo "SLURM and the local run wrote the same metrics.csv"
