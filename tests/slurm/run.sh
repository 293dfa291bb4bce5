#!/usr/bin/env bash
# The tiny profile through a real SLURM on loopback, against the same run without it, and a training
# by two of its nodes against one by two processes. Both nodes are this machine, and have a GPU in
# name alone. Starts munged, slurmctld and two slurmd in a folder of their own, and ends them.
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
memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.45)}' /proc/meminfo)   # MB of each node

stop() {
    status=$?
    if [ "$status" != 0 ]; then
        find "$work" -name '*.log' -size +0 -exec tail -n 40 {} + >&2
    fi
    for daemon in slurmd.one slurmd.two slurmctld munged; do
        if [ -f "$work/$daemon.pid" ]; then
            pid=$(cat "$work/$daemon.pid")
            kill "$pid" || true
            timeout 20 tail --pid="$pid" -f /dev/null || true   # until it has ended
        fi
    done
    rm -rf "$work" /etc/slurm/{slurm,gres}.conf
    exit "$status"
}
trap stop EXIT

# Where every SLURM command looks: jobs do not inherit SLURM_CONF.
mkdir -p /etc/slurm
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=tiny
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
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
SlurmdSpoolDir=$work/spool/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.%n.log
GresTypes=gpu
NodeName=DEFAULT Gres=gpu:1 CPUs=$((($(nproc) + 1) / 2)) RealMemory=$memory
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 Port=16818
NodeName=two NodeHostname=$host NodeAddr=127.0.0.1 Port=16819
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
echo "Name=gpu File=/dev/null" > /etc/slurm/gres.conf
mkdir -p "$work/state" "$work"/spool/{one,two}

head --bytes 1024 /dev/urandom > "$work/munge.key"
chmod 400 "$work/munge.key"
munged --force --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munged.pid" --log-file="$work/munged.log" --seed-file="$work/munge.seed"
slurmctld
slurmd -N one
slurmd -N two
for _ in $(seq 30); do
    if [ "$(sinfo --noheader --Node --states=idle | wc -l)" = 2 ]; then break; fi
    sleep 1
done
sinfo

# run FOLDER FILE OPTION...: make FILE there
run() {
    snakemake --snakefile "$repository/Snakefile" --directory "$work/$1" \
        --configfile "$repository/tests/workflow/tiny.yaml" "${@:3}" -- "$2"
}
# Without accounting, squeue is what tells how jobs are.
through_slurm=(--workflow-profile "$repository/profiles/slurm" --slurm-status-command squeue
    --slurm-init-seconds-before-status-checks 5)
export PYTHONPATH=$repository

metrics=results/tiny/metrics.csv
run slurm $metrics "${through_slurm[@]}" --config gpu=True
run local $metrics --cores 2
cmp "$work"/{slurm,local}/$metrics
echo "SLURM and the local run wrote the same metrics.csv."

model=results/tiny/models/landmarks/sfsc/seed0/w100.safetensors
run nodes $model "${through_slurm[@]}" --config nodes=2 gpu=True
run processes $model --cores 2 --config processes=2
cmp "$work"/{nodes,processes}/$model
echo "Two nodes and two processes trained the same model."
