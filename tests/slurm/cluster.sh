#!/usr/bin/env bash
# A SLURM cluster of two nodes on this machine, for tests: everything it writes lies in one folder, nothing of the system's
# own configuration is read or changed.
#
#   cluster.sh install          the packages (Debian, Ubuntu; as root)
#   cluster.sh start DIR        munged, slurmctld, slurmd for the nodes n1 and n2; waits until both are idle
#   cluster.sh stop DIR         ends them
#   cluster.sh node-down DIR N  kills the daemon of node N and its jobs, and tells the controller, as when the machine dies
#   cluster.sh node-up DIR N    starts it again
#   cluster.sh silence DIR      kills the controller of the cluster: no command is answered until
#   cluster.sh speak DIR        starts it again, with all it knew
#
# After start, `export SLURM_CONF=DIR/slurm.conf` makes sbatch, squeue and the others speak to this cluster.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

packages=(munge slurmctld slurmd slurm-client)
action=${1:?install, start, stop, node-down, node-up, silence or speak}
missing() { for p in munged slurmctld slurmd sbatch; do command -v $p >/dev/null || return 0; done; return 1; }

if [ "$action" = install ]; then
  missing || exit 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "cluster.sh: install ${packages[*]} first" >&2; exit 1; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # No init system may be there to start the system's own daemons, and none of them is wanted.
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  exit 0
fi

dir=$(realpath -m "${2:?the folder of the cluster}")
export SLURM_CONF=$dir/slurm.conf
me=$(hostname -s)

node() { slurmd -N "$1" -f "$SLURM_CONF" -L "$dir/$1.log"; }

configure() {
  mkdir -p "$dir"/{munge,state,n1,n2}
  chmod 700 "$dir/munge"
  [ -f "$dir/munge/key" ] || { head -c 128 /dev/urandom > "$dir/munge/key"; chmod 400 "$dir/munge/key"; }
  # Three free ports above a number that differs from folder to folder.
  local port=$((20000 + $(printf %s "$dir" | cksum | cut -d' ' -f1) % 10000 * 3))
  # Devices that exist everywhere stand for GPUs: what counts is that SLURM hands each out once.
  printf 'NodeName=n1 Name=gpu File=/dev/null\nNodeName=n2 Name=gpu File=/dev/zero\n' > "$dir/gres.conf"
  cat > "$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$me(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdPidFile=$dir/%n.pid
SlurmdLogFile=$dir/%n.log
SlurmdSpoolDir=$dir/%n
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,defer_batch=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=5
OverTimeLimit=0
MinJobAge=300
InactiveLimit=0
MailProg=/bin/true
NodeName=n1 NodeHostname=$me NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=2 Gres=gpu:1 State=UNKNOWN
NodeName=n2 NodeHostname=$me NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2 Gres=gpu:1 State=UNKNOWN
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 MaxTime=60 State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF MaxTime=60 State=UP
CONF
}

case $action in
  start)
    missing && { echo "cluster.sh: SLURM is not installed; run cluster.sh install" >&2; exit 1; }
    configure
    munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
      --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
    slurmctld -c -f "$SLURM_CONF"
    node n1
    node n2
    for _ in $(seq 100); do
      [ "$(sinfo -h -t idle -o %D -p low 2>/dev/null)" = 2 ] && exit 0
      sleep 0.1
    done
    echo "cluster.sh: the nodes did not come up" >&2
    tail -n 5 "$dir"/*.log >&2
    exit 1 ;;
  stop)
    scancel -u "$(id -un)" 2>/dev/null || true
    for pid in n1 n2 slurmctld munge/pid; do
      [ -f "$dir/${pid%.pid}.pid" ] && kill "$(cat "$dir/${pid%.pid}.pid")" 2>/dev/null || true
    done
    [ -f "$dir/munge/pid" ] && kill "$(cat "$dir/munge/pid")" 2>/dev/null || true ;;
  node-down)
    # The daemon, its step daemons and what they run die at once, as with the machine.
    kill -9 "$(cat "$dir/$3.pid")" 2>/dev/null || true
    for step in $(pgrep -f "slurmstepd: \[" || true); do
      grep -qz "SLURMD_NODENAME=$3" "/proc/$step/environ" 2>/dev/null && kill -9 "$step" || true
    done
    for process in $(grep -lsz "SLURMD_NODENAME=$3" /proc/[0-9]*/environ | cut -d/ -f3); do
      [ "$process" != $$ ] && tr '\0' '\n' < "/proc/$process/environ" | grep -qx "SLURM_CONF=$SLURM_CONF" && kill -9 "$process" || true
    done
    scontrol update NodeName="$3" State=DOWN Reason="killed by a test" ;;
  silence)
    kill -9 "$(cat "$dir/slurmctld.pid")" ;;
  speak)
    slurmctld -f "$SLURM_CONF" ;;
  node-up)
    node "$3"
    scontrol update NodeName="$3" State=RESUME 2>/dev/null || true ;;
esac
