"""A Ray cluster of two nodes on this machine: each in a network of its own, with an address of its
own, and the second without the folder that the first has its project in."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_BIN = Path(sys.executable).parent
ADDRESSES = ("10.77.0.1", "10.77.0.2")  # of namespaces that are made here and nowhere else
PORT = 6379


class NoNamespaces(Exception):
    """Nobody may make them here."""


class Cluster:
    """The two networks, at first without a node.

    Args:
        hidden: a folder that the second node does not see; it has another one there, of its own.

    Raises:
        NoNamespaces: as it says.
    """

    def __init__(self, hidden: Path) -> None:
        self.hidden = hidden
        self._token = secrets.token_hex(32)
        self._names = [f"unfreeze-{os.getpid()}-{number}" for number in range(2)]
        # The names of sockets must be short.
        self._temporary = Path(tempfile.mkdtemp(prefix="uf", dir="/tmp"))
        self._nodes: dict[int, subprocess.Popen] = {}
        try:
            for name in self._names:
                _ip("netns", "add", name)
            _ip("link", "add", "uf0", "netns", self._names[0], "type", "veth",
                "peer", "name", "uf1", "netns", self._names[1])
            for number, name in enumerate(self._names):
                _ip("-n", name, "addr", "add", f"{ADDRESSES[number]}/24", "dev", f"uf{number}")
                for link in ("lo", f"uf{number}"):
                    _ip("-n", name, "link", "set", link, "up")
            _do(*self.within(1, *self._apart("50%"), "true"))
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise NoNamespaces(getattr(error, "stderr", str(error))) from None

    @property
    def address(self) -> str:
        return f"{ADDRESSES[0]}:{PORT}"

    @property
    def environment(self) -> dict[str, str]:
        """Of who connects, and of the nodes."""
        # Ray's workers are nice to others, and starve where these are busy. A password of Ray's own
        # may lie in this user's home: then `ray start` would ask for it.
        return {"RAY_ADDRESS": self.address, "RAY_worker_niceness": "0", "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": self._token}

    def within(self, number: int, *command: str) -> list[str]:
        """A command in the network of a node."""
        return ["ip", "netns", "exec", self._names[number], *command]

    def start(self, number: int, environment: dict[str, str], *options: str,
              room: str = "50%") -> None:
        """Start a node of one core: 0, the head, or 1.

        Args:
            environment: of its processes. options: of `ray start`.
            room: of the second's disk, as a size of tmpfs.
        """
        ray = [str(_BIN / "ray"), "start", "--block", f"--node-ip-address={ADDRESSES[number]}",
               "--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats",
               f"--temp-dir={self._temporary / str(number)}", *options]
        ray += (["--head", f"--port={PORT}", "--include-dashboard=false"] if number == 0 else
                [f"--address={self.address}"])
        command = self.within(number, *ray)
        if number == 1:
            command = self.within(number, *self._apart(room), *ray)
        self._nodes[number] = subprocess.Popen(
            command, env=environment, start_new_session=True,
            stdout=(self._temporary / f"{number}.log").open("w"), stderr=subprocess.STDOUT)

    def _apart(self, room: str) -> list[str]:
        """Before a command: with another folder in the place of the hidden one."""
        scratch = self.hidden / "scratch-of-the-node"
        return ["unshare", "-m", "sh", "-c", (
            f"mount -t tmpfs -o size={room} none {self.hidden} && mkdir {scratch} && cd / && "
            f'UNFREEZE_SCRATCH={scratch} exec "$@"'), "sh"]

    def wait(self, nodes: int, environment: dict[str, str]) -> None:
        """Until so many nodes are there."""
        look = ("import ray, sys, time\n"
                f"ray.init('{self.address}', log_to_driver=False, logging_level='ERROR')\n"
                f"while sum(node['Alive'] for node in ray.nodes()) != {nodes}: time.sleep(0.2)")
        deadline = time.monotonic() + 600
        while subprocess.run(self.within(0, sys.executable, "-c", look), env=environment,
                             capture_output=True).returncode:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.5)

    def processes(self, number: int, title: str) -> list[int]:
        """The processes of a node whose command line begins so, or has a part of that name."""
        found, below = [], {self._nodes[number].pid}
        for process, parent, command in _all_processes():
            if parent in below:
                below.add(process)
                if command.startswith(title) or f"/{title}" in command.split(" ")[0]:
                    found.append(process)
        return found

    def stop(self, number: int) -> None:
        """End a node as if its machine had lost power."""
        processes = [*self.processes(number, ""), self._nodes.pop(number).pid]
        for process in reversed(processes):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def log(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self._temporary.glob("*.log")))

    def close(self) -> None:
        for number in [*self._nodes]:
            self.stop(number)
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(self._temporary, ignore_errors=True)


def _ip(*arguments: str) -> None:
    _do("ip", *arguments)


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _all_processes() -> list[tuple[int, int, str]]:
    """(process, its parent, command line), in the order of their beginnings."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        found.append((int(status[19]), int(folder.name), int(status[1]),
                      command.replace("\0", " ")))
    return [tuple(rest) for _, *rest in sorted(found)]
