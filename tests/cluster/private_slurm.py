"""A private SLURM for tests: one controller, several node daemons, fake GPUs, loopback only.

Nothing outside its folder is written, nothing is daemonised: every daemon is a foreground child
(under `reaper.py`), dies with this process and is waited for. Authentication is off (`auth/none`),
which is why it listens on 127.0.0.1 alone. Settings that look odd say why they are so.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "squeue", "sbatch", "scancel", "srun", "sinfo", "scontrol")

_CONF = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
AuthType=auth/none
CredType=cred/none
# Without this a requeued job waits 121 s before it may start again.
AuthInfo=cred_expire=5
SlurmctldParameters=preempt_send_user_signal
# Debian runs on 2 cores here and claims 4 a node.
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
# No cgroups, no plug-ins that need root or a systemd.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
GresTypes=gpu
# Jobs start at once.
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# A site that forbids requeueing unless a job asks for it: the executor has to ask.
JobRequeue=0
ReturnToService=2
KillWait=2
OverTimeLimit=0
MinJobAge={min_job_age}
SlurmctldTimeout=30
SlurmdTimeout={slurmd_timeout}
MaxArraySize=1001
MailProg=/bin/true
"""


def missing_programs() -> list[str]:
    """SLURM programs that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class PrivateSlurm:
    """The cluster and its daemons; `environment` reaches it, `stop` ends it."""

    def __init__(
        self,
        folder: Path,
        *,
        num_nodes: int = 2,
        cpus: int = 4,
        memory_mb: int = 4000,
        gpus: int = 2,
        slurmd_timeout: int = 10,
        min_job_age: int = 300,
    ) -> None:
        self.folder = folder
        self.nodes = [f"n{index + 1}" for index in range(num_nodes)]
        self.conf = folder / "slurm.conf"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.lost: list[subprocess.Popen[bytes]] = []
        for name in ("state", "spool", "run", "log", "gpus"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        ports = _free_ports(1 + num_nodes)
        text = _CONF.format(
            host=_host(),
            user=getpass.getuser(),
            port=ports[0],
            folder=folder,
            slurmd_timeout=slurmd_timeout,
            min_job_age=min_job_age,
        )
        for node, port in zip(self.nodes, ports[1:], strict=True):
            (folder / "spool" / node).mkdir(exist_ok=True)
            text += (
                f"NodeName={node} NodeHostname={_host()} NodeAddr=127.0.0.1 Port={port} "
                f"CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpus} State=UNKNOWN\n"
            )
        names = ",".join(self.nodes)
        text += (
            f"PartitionName=low Nodes={names} Default=YES MaxTime=60 State=UP PriorityTier=1 "
            "PreemptMode=REQUEUE GraceTime=10\n"
            f"PartitionName=high Nodes={names} MaxTime=60 State=UP PriorityTier=10 "
            "PreemptMode=OFF\n"
        )
        self.conf.write_text(text, encoding="utf-8")
        (folder / "gres.conf").write_text(self._gpu_lines(gpus), encoding="utf-8")
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\nIgnoreSystemd=yes\n")

    def _gpu_lines(self, gpus: int) -> str:
        """A fake GPU is a link to a character device: SLURM checks that it is one."""
        lines = ""
        for index in range(gpus):
            device = self.folder / "gpus" / f"gpu{index}"
            device.symlink_to("/dev/null")
            for node in self.nodes:
                lines += f"NodeName={node} Name=gpu File={device}\n"
        return lines

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, pointed at the private cluster."""
        return os.environ | {"SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Start all daemons and wait until every node is idle."""
        self._start("slurmctld", ["slurmctld", "-D", "-c", "-f", str(self.conf)])
        _wait_until(lambda: self.run("scontrol", "ping", check=False).returncode == 0, 20)
        for node in self.nodes:
            self.start_node(node)
        _wait_until(lambda: self.idle_nodes() == self.nodes, 30)

    def start_node(self, node: str) -> None:
        """Start the daemon of one node."""
        self._start(node, ["slurmd", "-D", "-N", node, "-f", str(self.conf)])

    def kill_node(self, node: str) -> None:
        """Kill the daemon of a node, as a lost machine would: its job's processes live on."""
        self.daemons[node].send_signal(signal.SIGUSR1)
        self.lost.append(self.daemons.pop(node))

    def lose_node(self, node: str) -> None:
        """Kill a node's daemon and have the controller notice now, not after its timeout."""
        self.kill_node(node)
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def restore(self) -> None:
        """Give every lost node back."""
        for node in set(self.nodes) - set(self.daemons):
            self.start_node(node)
        _wait_until(lambda: not self._are_down(), 60)

    def _are_down(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-p", "low", "-o", "%T").stdout.split()
        return any(state.startswith("down") or state.endswith("*") for state in states)

    def idle_nodes(self) -> list[str]:
        """Names of the nodes that could run a job now, in order."""
        output = self.run("sinfo", "-h", "-N", "-p", "low", "-t", "idle", "-o", "%N").stdout
        return sorted(output.split())

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a SLURM client program."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=check, timeout=60
        )

    def queue(self) -> list[str]:
        """Ids, names and states of the jobs that wait or run: `7 train.x=1 RUNNING`."""
        return self.run("squeue", "-h", "-r", "-o", "%i %j %T").stdout.splitlines()

    def clear(self) -> None:
        """Leave no job: nothing of one test may meet the next."""
        self.run("scancel", "--me", check=False)
        _wait_until(lambda: not self.queue(), 30)

    def stop(self) -> None:
        """End jobs and daemons; every child is waited for."""
        if "slurmctld" in self.daemons:
            self.clear()
        daemons = [*self.lost, *reversed(self.daemons.values())]
        for daemon in daemons:
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=20)
        self.daemons.clear()
        self.lost.clear()

    def _start(self, name: str, command: list[str]) -> None:
        log = self.folder / "log" / f"{name}.out"
        with log.open("ab") as file:
            self.daemons[name] = subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "reaper.py"), *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on; held together so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(0.2)
