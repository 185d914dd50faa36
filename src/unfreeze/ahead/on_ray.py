"""Replicates trained on Ray: by this machine's cores and GPUs, or by a cluster's.

Each replicate is trained by an actor, a process that stays for the next one. Ray says on which node
it runs, when there is room, and when it has died; a node that joins late is room like any other.
"""

import hashlib
import os
import pickle
import secrets
import socket
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unfreeze import environment, files
from unfreeze.ahead import assets as travelling
from unfreeze.ahead import remote
from unfreeze.ahead.assets import Asset, Assets
from unfreeze.ahead.attempt import Outcome
from unfreeze.ahead.engine import TRIES, Again, Done, Event, Failed, Started, Told, choose
from unfreeze.ahead.task import Task
from unfreeze.errors import UserError
from unfreeze.training import arithmetic, checkpoint
from unfreeze.words import count

try:
    import ray
except ImportError:
    ray = None

_ROOT = Path(__file__).resolve().parents[3]
_SECONDS_TO_ANSWER = 10
_HTTP2_SETTINGS = b"\x04"  # the type of a frame, which follows its length of three bytes
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _HTTP2_SETTINGS + bytes(5)
_AT_ONCE = 256  # actors: what trains, and what Ray is asked to find room for
_PATIENCE = 30  # seconds without any room after which that is said
_OBJECTS = 100 << 20  # bytes of memory for what travels, where nothing does
# Of the environment, what decides the last bits of what is trained, or how it is computed.
_VARIABLES = ("UNFREEZE_PRECISION", "UNFREEZE_INSTRUCTIONS", "UNFREEZE_COMPILE",
              "UNFREEZE_PREFIX_GB", "UNFREEZE_RESIZED_GB",
              "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA",
              "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "CUBLAS_WORKSPACE_CONFIG")


@contextmanager
def connected(address: str) -> Iterator["OnRay"]:
    """An engine that trains on Ray.

    Args:
        address: of a cluster, or "ray": this machine.

    Raises:
        UserError: Ray is not installed, nobody answers, or it is another version.
    """
    if ray is None:
        raise UserError(f"{_named(address)}: Ray is not installed here; install "
                        "requirements-extras.lock (`make env-all`), or set UNFREEZE_ENGINE=pool")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to Ray's makers
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "ray":
        options |= {"address": "local", "num_cpus": len(os.sched_getaffinity(0)),
                    "include_dashboard": False, "object_store_memory": _OBJECTS}
        _keep_to_this_machine()
    else:
        options["address"] = address
    _knock(address)
    try:
        with warnings.catch_warnings(action="ignore"):
            ray.init(**options)
    except Exception as error:  # of many kinds, by how one connects
        raise UserError(_in_words(address, error)) from None
    try:
        yield OnRay(address)
    finally:
        ray.shutdown()


def _keep_to_this_machine() -> None:
    """A Ray that is started here is reached from here only, and by who has its password; Ray's own
    would stay in a file, for which it then looks in clusters too."""
    # Where it is off, as by default on Windows and macOS, Ray takes 127.0.0.1 as its address.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ.setdefault("RAY_worker_niceness", "0")  # as the pool's
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    ray._raylet.Config.initialize("")  # for Ray has looked for them when it was imported


def _knock(address: str) -> None:
    """Ray itself tries for minutes where nobody answers, or what does is no cluster of Ray's. That
    speaks gRPC, whose servers greet who greets them (RFC 9113, 3.4)."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)),
                                      timeout=_SECONDS_TO_ANSWER) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return  # the greeting is enciphered then
            connection.sendall(_HTTP2_GREETING)
            if connection.recv(4)[3:] != _HTTP2_SETTINGS:
                raise ConnectionError("what is there is not Ray")
    except (OSError, ValueError) as error:
        raise UserError(_in_words(address, error)) from None


def _named(address: str) -> str:
    """How an address was given."""
    if environment.engine_is_named():
        return f"UNFREEZE_ENGINE={os.environ['UNFREEZE_ENGINE']}" + (
            f" at RAY_ADDRESS={address}" if environment.cluster()
            and "://" not in os.environ["UNFREEZE_ENGINE"] else "")
    return f"RAY_ADDRESS={address}"


def sent_unasked(address: str) -> str:
    """What leaves this machine for a cluster that UNFREEZE_ENGINE does not name, in a line; "": it
    names it, or nothing leaves. RAY_ADDRESS may have been set for something else."""
    named = _named(address)
    if address == "ray" or "RAY_ADDRESS" not in named:
        return ""
    return (f"{named}: trains on that cluster; its nodes are sent the code, weights and data "
            "(photos as they are decoded) that they do not see; with UNFREEZE_ENGINE=pool nothing "
            "leaves this machine")


def _in_words(address: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "ersion mismatch" in text or "is incompatible with the cluster" in text:
        return (f"{_named(address)}: {text.rstrip('.')}; install the same versions on both sides "
                "(requirements-extras.lock names them)")
    if address == "ray":
        return f"{_named(address)}: Ray does not start here: {text}"
    return (f"{_named(address)}: no Ray cluster answers there ({type(error).__name__}: "
            f"{text[:200]}); start one with `ray start --head`, name another address, or, where it "
            "asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN")


@dataclass(frozen=True)
class _Shape:
    """What an actor takes of a node: cores, a share of a GPU, bytes of memory."""

    cores: float
    gpu: float
    memory: int


@dataclass(eq=False)
class _Actor:
    """An actor.

    Attributes:
        handle: of Ray. shape: that it has.
        answer: what it is asked for, of Ray.
        node, name: where it runs; "" while there is no room.
        ready: whether it can train. task: that it trains; None: none.
    """

    handle: Any
    shape: _Shape
    answer: Any
    node: str = ""
    name: str = ""
    ready: bool = False
    task: Task | None = None


@dataclass
class _Node:
    """What is known of a node: the prefixes in its scratch folder."""

    kept: set[str] = field(default_factory=set)


class OnRay:
    """The actors, an `Engine`.

    Args:
        address: of the cluster, as it is named to people.
    """

    def __init__(self, address: str) -> None:
        self._address, self._actors = address, []
        self._most = environment.slots() or _AT_ONCE
        self._on_gpu = _on_gpu(address)
        self._per_gpu = environment.per_gpu()
        self._assets, self._parts = Assets(), {}
        self._tries: Counter[str] = Counter()
        self._memory: dict[int, int] = {}  # {threads: bytes that such a replicate may take}
        self._begun_in_vain = 0
        self._useless: dict[str, str] = {}  # {id of a node: why}
        self._nodes: dict[str, _Node] = {}

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        waiting = sorted(tasks, key=self._order)
        for task in tasks:
            self._memory[task.threads] = max(task.memory, self._memory.get(task.threads, 0))
        self._start, self._largest = self._what_starts(tasks), {}
        try:
            yield from self._run(waiting)
        except ConnectionError as error:
            raise UserError(f"{_named(self._address)}: the connection is lost ({error}); run the "
                            "same command again, what has come back is kept") from None
        finally:
            for actor in self._actors:
                self._end(actor)

    def _order(self, task: Task) -> tuple[float, int]:
        """Those of one shape together, then the longest first."""
        return (0 if self._on_gpu else -task.threads, -task.operations)

    def _run(self, waiting: list[Task]) -> Iterator[Event]:
        since, told = time.monotonic(), False
        while waiting or self._busy():
            self._largest = _largest()
            self._adjust(waiting)
            answers = {actor.answer: actor for actor in self._actors}
            ready, _ = ray.wait([*answers], num_returns=1, timeout=1)
            if ready:
                ready, _ = ray.wait([*answers], num_returns=len(answers), timeout=0)
            for answer in ready:
                for event in self._hear(answers[answer], waiting):
                    if isinstance(event, Again):
                        waiting.insert(0, event.task)
                    yield event
            for actor in self._idle():
                if waiting and self._shape(waiting[0]) == actor.shape:
                    yield self._give(actor, waiting)
            if any(actor.node for actor in self._actors):
                since, told = time.monotonic(), False
            elif not told and time.monotonic() - since > _PATIENCE:
                told = True
                yield Told(self._no_room(waiting))
            yield None

    def _busy(self) -> list[_Actor]:
        return [actor for actor in self._actors if actor.task]

    def _idle(self) -> list[_Actor]:
        return [actor for actor in self._actors if actor.ready and not actor.task]

    # -- actors

    def _adjust(self, waiting: Sequence[Task]) -> None:
        """As many actors as there are tasks of the shape that comes next, and no idle ones of
        another; Ray finds room for as many of them as there is."""
        shape = self._shape(waiting[0]) if waiting else None
        for actor in self._idle():
            self._end(actor)  # it was given nothing
        alike = [task for task in waiting[:_AT_ONCE] if self._shape(task) == shape]
        beginning = [actor for actor in self._actors if not actor.ready]
        for actor in beginning:
            if actor.shape != shape:
                self._end(actor)
        beginning = [actor for actor in beginning if actor.shape == shape]
        # Those that wait for room go first.
        beginning.sort(key=lambda actor: not actor.node)
        for actor in beginning[len(alike):]:
            self._end(actor)
        wanted = min(len(alike) - len(beginning), self._most - len(self._actors))
        for _ in range(wanted):
            self._actors.append(self._new(shape))

    def _new(self, shape: _Shape) -> _Actor:
        options: dict[str, Any] = {"num_cpus": shape.cores, "num_gpus": shape.gpu,
                                   "memory": shape.memory, "max_restarts": 0}
        if self._useless:
            options["label_selector"] = {"ray.io/node-id": f"!in({', '.join(self._useless)})"}
        ray.cloudpickle.register_pickle_by_value(remote)
        try:
            handle = ray.remote(remote.Worker).options(**options).remote(*self._start)
        finally:
            ray.cloudpickle.unregister_pickle_by_value(remote)
        return _Actor(handle, shape, handle.where.remote())

    def _end(self, actor: _Actor) -> None:
        with suppress(Exception):  # it may be dead, or Ray gone
            ray.kill(actor.handle)
        self._actors = [each for each in self._actors if each is not actor]

    def _what_starts(self, tasks: Sequence[Task]) -> tuple:
        """What each actor is made of, as of `remote.Worker`."""
        code, digest = travelling.code(_ROOT)
        variables = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
        kind = arithmetic.without_torch()
        if not self._on_gpu and kind and "UNFREEZE_PRECISION" not in variables:
            variables["UNFREEZE_PRECISION"] = kind.split("-")[1]  # as it would be here
        variables["UNFREEZE_DEVICE"] = "cuda" if self._on_gpu else "cpu"
        software = {name: version for task in tasks
                    for name, version in task.recipe.software.items()}
        return (ray.put(code), digest, str(Path.cwd()), str(environment.scratch().resolve()),
                _scratch_id(), variables, software)

    def _shape(self, task: Task) -> _Shape:
        """Cores, or a share of a GPU, and memory, of a node that has most of it at most."""
        if self._on_gpu:
            return _Shape(0, 1 / self._per_gpu, 0)
        return _Shape(min(task.threads, self._largest.get("CPU", 1)), 0, int(min(
            self._memory[task.threads], 0.9 * self._largest.get("memory", 0))))

    # -- what they say

    def _give(self, actor: _Actor, waiting: list[Task]) -> Event:
        running = [each.task for each in self._busy() if each.node == actor.node]
        alike = [task for task in waiting if self._shape(task) == actor.shape]
        task = choose(alike, running, self._nodes[actor.node].kept)
        waiting.remove(task)
        try:
            assets = self._assets.of(task.recipe, task.seed)
        except OSError as error:
            return Failed(task, f"{error.filename}: cannot be read; run `dvc repro`")
        parts = {asset.digest: self._parts[asset.digest] for asset in assets
                 if asset.digest in self._parts}
        actor.answer = actor.handle.train.remote(pickle.dumps(task), pickle.dumps(assets), parts)
        actor.task = task
        return Started(task)

    def _hear(self, actor: _Actor, waiting: list[Task]) -> Iterator[Event]:
        """What an actor answers, or that it has died."""
        task = actor.task
        try:
            answer = ray.get(actor.answer)
        except ray.exceptions.RayError as error:
            self._end(actor)
            yield from self._died(actor, error)
            return
        actor.task = None
        if not actor.node:
            actor.node, actor.name = answer
            actor.answer = actor.handle.begin.remote()
        elif not actor.ready:
            yield from self._began(actor, answer)
        elif "problem" in answer:
            yield Again(task, "")
            yield from self._exclude(actor, answer["problem"])
        elif "lacks" in answer:
            self._send(task, answer["lacks"])
            yield Again(task, "")
        else:
            yield self._came_back(actor, task, answer)

    def _began(self, actor: _Actor, problem: str) -> Iterator[Event]:
        self._begun_in_vain = 0
        if problem:
            yield from self._exclude(actor, problem)
            return
        actor.ready = True
        self._nodes.setdefault(actor.node, _Node())

    def _died(self, actor: _Actor, error: Exception) -> Iterator[Event]:
        task, why = actor.task, _reason(error)
        if task is None:
            self._begun_in_vain += 1
            if self._begun_in_vain > 10 * TRIES:
                raise UserError(f"{_named(self._address)}: processes that Ray starts end at once: "
                                f"{why}")
            return
        self._tries[task.identity] += 1
        if self._tries[task.identity] < TRIES:
            yield Again(task, f"its process on {actor.name} {why}; it is trained again")
        else:
            yield Failed(task, f"its process {why}, {TRIES} times, the last on {actor.name}")

    def _exclude(self, actor: _Actor, why: str) -> Iterator[Event]:
        """A node is of no use: nothing is to be trained there any more."""
        self._end(actor)
        if actor.node not in self._useless:
            self._useless[actor.node] = why
            yield Told(f"warning: the node {actor.name} trains nothing: {why}")
        if all(each["NodeID"] in self._useless for each in _alive()):
            raise UserError(f"{_named(self._address)}: no node of the cluster can train; "
                            f"{actor.name}: {why}")

    def _send(self, task: Task, digests: Sequence[str]) -> None:
        """Put what a node lacks where it can be fetched."""
        for asset in self._assets.of(task.recipe, task.seed):
            if asset.digest in digests and asset.digest not in self._parts:
                self._parts[asset.digest] = _put(asset)

    def _came_back(self, actor: _Actor, task: Task, answer: Mapping[str, Any]) -> Event:
        outcome: Outcome = pickle.loads(answer["outcome"])
        if not task.log.is_file() or task.log.read_text(encoding="utf-8") != answer["log"]:
            files.write_text(task.log, answer["log"])
        if outcome.memory_full and self._on_gpu and actor.shape.gpu < 1:
            if round(1 / actor.shape.gpu) == self._per_gpu:  # the first who says so
                self._per_gpu = max(1, self._per_gpu // 2)
            return Again(task, f"the memory of its GPU on {actor.name} is full; it is trained "
                               f"again, {self._per_gpu} at the same time on a GPU")
        if outcome.fault:
            return Failed(task, outcome.fault)
        if answer["content"] is not None:
            try:
                checkpoint.put_done(answer["name"], answer["content"])
            except ValueError:
                return Again(task, f"it came back damaged from {actor.name}; it is trained again")
        self._nodes[actor.node].kept.add(task.prefix)
        return Done(task, outcome.said)

    def _no_room(self, waiting: Sequence[Task]) -> str:
        shape = self._shape(waiting[0])
        wants = f"{shape.gpu:g} of a GPU" if self._on_gpu else (
            f"{count(int(shape.cores), 'core')} and {shape.memory / 1e9:.1f} GB of memory")
        return (f"warning: {_named(self._address)}: for {_PATIENCE} s there has been no room; a "
                f"replicate wants {wants}, and what the nodes have is in use, or they are still "
                "to join")


def _scratch_id() -> str:
    """What the scratch folder is known by to who sees it from another machine."""
    file = environment.scratch() / "folder.id"
    if not file.is_file():
        files.write_text(file, secrets.token_hex(16))
    return file.read_text()


def _alive() -> list[Mapping[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _largest() -> dict[str, float]:
    """{resource: the most of it that a node has}"""
    most: dict[str, float] = {}
    for node in _alive():
        for name, amount in node["Resources"].items():
            most[name] = max(most.get(name, 0), amount)
    return most


def _on_gpu(address: str) -> bool:
    """Whether replicates are trained on GPUs: where there are any, and nothing else is said.

    Raises:
        UserError: there is none, and it is asked for.
    """
    device = environment.device_name()
    if device == "cpu":
        return False
    if device not in ("auto", "cuda"):
        raise UserError(f"UNFREEZE_DEVICE={device}: on Ray, which gives each replicate a GPU, "
                        "allowed are auto, cpu, cuda")
    has = ray.cluster_resources().get("GPU", 0) > 0
    if device == "cuda" and not has:
        raise UserError(f"UNFREEZE_DEVICE=cuda: no node of Ray has a GPU ({_named(address)}: "
                        f"{', '.join(node['NodeManagerAddress'] for node in _alive())}); unset "
                        "it, or start Ray where there is one")
    return has


def _put(asset: Asset) -> list[tuple[str, Any]]:
    """The pieces of an asset, each by its digest, in Ray's store of objects."""
    return [(hashlib.sha256(piece).hexdigest(), ray.put(piece))
            for piece in travelling.pieces(asset.path)]


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"failed ({type(error.cause).__name__}: {' '.join(str(error.cause).split())})"
    if isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in text:
        return "was killed, since memory ran out"
    if isinstance(error, ray.exceptions.NodeDiedError) or "its node has died" in text:
        return "is gone with its node"
    return "was killed"
