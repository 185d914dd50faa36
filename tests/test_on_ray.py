"""What is done with what Ray says, by a Ray that is played: nodes with GPUs, which are not here,
and every kind of death. What the real one says, test_cluster.py tests."""

import hashlib
import pickle
import socket
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from unfreeze import environment
from unfreeze.ahead import on_ray, workers
from unfreeze.ahead.assets import Asset
from unfreeze.ahead.attempt import Outcome
from unfreeze.ahead.engine import Again, Done, Failed, Started, Told
from unfreeze.errors import UserError

ADDRESS = "10.0.0.1:6379"


@dataclass(frozen=True)
class Played:
    """A task."""

    number: int
    threads: int = 1
    operations: int = 1
    seed: int = 1
    memory: int = 1 << 30
    prefix: str = ""
    recipe: object = field(default=None, compare=False)

    def __getattr__(self, name):
        if name in ("identity", "label"):
            return f"{self.number}"
        raise AttributeError(name)

    @property
    def log(self) -> Path:
        return environment.scratch() / f"{self.number}.log"


@dataclass(eq=False)
class Answer:
    """What a played actor will say: `gives()`, None while it cannot yet."""

    gives: Callable[[], object]
    said: object = None

    @property
    def ready(self) -> bool:
        if self.said is None:
            self.said = self.gives()
        return self.said is not None


class Actor:
    def __init__(self, ray: "Ray", options: dict) -> None:
        self.ray, self.options, self.node = ray, options, None
        for name in ("where", "begin", "train"):
            setattr(self, name, SimpleNamespace(remote=getattr(self, f"_{name}")))

    def _where(self) -> Answer:
        return Answer(lambda: self.ray.place(self))

    def _begin(self) -> Answer:
        return Answer(lambda: self.ray.begins(self.node))

    def _train(self, task: bytes, assets: bytes, parts: dict) -> Answer:
        task = pickle.loads(task)
        self.ray.trained.append((task.number, self.node["NodeManagerAddress"], self.options))
        return Answer(lambda: self.ray.trains(task, self, parts))


class Ray:
    """The played Ray.

    Args:
        nodes: {address: what it has}.
        trains: what comes of training (task, actor, parts); begins: of a process that starts on a
            node: why it cannot train, " " for nothing.
    """

    cloudpickle = SimpleNamespace(register_pickle_by_value=lambda module: None,
                                  unregister_pickle_by_value=lambda module: None)
    exceptions = SimpleNamespace(
        RayError=type("RayError", (Exception,), {}))
    for _name in ("RayTaskError", "OutOfMemoryError", "NodeDiedError", "ActorDiedError"):
        setattr(exceptions, _name, type(_name, (exceptions.RayError,), {}))

    def __init__(self, nodes: dict[str, dict[str, float]]) -> None:
        self.list = [{"NodeID": f"id-{address}", "NodeManagerAddress": address, "Alive": True,
                      "Resources": has} for address, has in nodes.items()]
        self.actors: list[Actor] = []
        self.trained: list[tuple] = []
        self.trains = lambda task, actor, parts: came_back(task)
        self.begins = lambda node: " "

    def nodes(self):
        return self.list

    def cluster_resources(self):
        return {name: sum(node["Resources"].get(name, 0) for node in self.list)
                for name in ("CPU", "GPU")}

    def put(self, content):
        return content

    def remote(self, kind):
        return SimpleNamespace(options=lambda **options: SimpleNamespace(
            remote=lambda *start: self.new(options)))

    def new(self, options):
        self.actors.append(Actor(self, options))
        return self.actors[-1]

    def place(self, actor: Actor):
        for node in self.list:
            taken = [each.options for each in self.actors if each.node is node]
            fits = all(sum(each[name] for each in [*taken, actor.options])
                       <= node["Resources"].get(resource, 0) + 1e-9
                       for name, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU")))
            allowed = node["NodeID"] not in str(actor.options.get("label_selector"))
            if fits and allowed and node["Alive"]:
                actor.node = node
                return node["NodeID"], node["NodeManagerAddress"]
        return None

    def wait(self, answers, num_returns, timeout):
        ready = [answer for answer in answers if answer.ready]
        return ready[:num_returns], []

    def get(self, answer):
        if isinstance(answer.said, Exception):
            raise answer.said
        return "" if answer.said == " " else answer.said

    def kill(self, actor):
        actor.node = None
        self.actors.remove(actor)


def came_back(task, fault: str = "", content: bytes | None = b"trained", **kinds) -> dict:
    """What a node says of a replicate."""
    outcome = Outcome("" if fault else f"{task.label}: trained", fault, **kinds)
    whole = content and content + hashlib.sha256(content).digest()
    return {"outcome": pickle.dumps(outcome), "log": "a log\n", "name": f"{task.identity}-x.done",
            "content": whole}


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """Makes an engine on a played Ray, and runs tasks."""
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("RAY_ADDRESS", ADDRESS)
    for name in ("UNFREEZE_ENGINE", "UNFREEZE_SLOTS", "UNFREEZE_DEVICE", "UNFREEZE_PER_GPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_ray.travelling, "code", lambda root: (b"code", "digest"))
    monkeypatch.setattr(on_ray.Assets, "of", lambda self, recipe, seed: [])

    def make(ray: Ray) -> SimpleNamespace:
        monkeypatch.setattr(on_ray, "ray", ray)
        made = on_ray.OnRay(ADDRESS)
        recipe = SimpleNamespace(software={})

        def run(*tasks):
            tasks = [Played(**vars(task) | {"recipe": recipe}) for task in tasks]
            return [event for event in made.run(tasks) if event is not None]

        return SimpleNamespace(run=run)

    return make


def kinds(events, *wanted) -> list[tuple]:
    """(number, line) of the events of some kinds."""
    return [(getattr(event, "task", None) and event.task.number,
             getattr(event, "why", None) or getattr(event, "said", None))
            for event in events if isinstance(event, wanted)]


def tasks(count: int, **changes) -> list[Played]:
    return [Played(number, operations=100 - number, **changes) for number in range(count)]


CORES = {"10.0.0.1": {"CPU": 2, "memory": 8e9}, "10.0.0.2": {"CPU": 2, "memory": 8e9}}
GPUS = {"10.0.0.1": {"CPU": 2}, "10.0.0.2": {"CPU": 8, "GPU": 2}}


def test_all_are_trained_the_longest_first_by_as_many_actors_as_there_is_room_for(engine):
    ray = Ray(CORES)
    events = engine(ray).run(*reversed(tasks(9)))
    assert [number for number, *_ in ray.trained] == [*range(9)]
    assert len(kinds(events, Started)) == len(kinds(events, Done)) == 9
    assert {address for _, address, _ in ray.trained} == {*CORES}
    assert {options["num_cpus"] for *_, options in ray.trained} == {1}
    assert not ray.actors  # all ended
    done = environment.scratch() / "replicates"
    assert {file.name for file in done.iterdir()} == {f"{number}-x.done" for number in range(9)}
    assert (environment.scratch() / "3.log").read_text() == "a log\n"


def test_more_threads_take_more_cores_and_come_first(engine):
    ray = Ray(CORES)
    engine(ray).run(*tasks(2), Played(7, threads=2), Played(8, threads=16))
    assert [number for number, *_ in ray.trained] == [8, 7, 0, 1]
    # One that wants more than there is has all of a node.
    assert [options["num_cpus"] for *_, options in ray.trained] == [2, 2, 1, 1]


def test_each_has_a_gpu_where_there_are_any_or_a_share_of_one(engine, monkeypatch):
    ray = Ray(GPUS)
    engine(ray).run(*tasks(4))
    assert {(address, options["num_gpus"], options["num_cpus"])
            for _, address, options in ray.trained} == {("10.0.0.2", 1, 0)}
    monkeypatch.setenv("UNFREEZE_PER_GPU", "4")
    ray = Ray(GPUS)
    engine(ray).run(*tasks(4))
    assert {options["num_gpus"] for *_, options in ray.trained} == {0.25}
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    ray = Ray(GPUS)
    engine(ray).run(*tasks(4))
    assert {options["num_gpus"] for *_, options in ray.trained} == {0}


def test_no_more_at_a_time_than_there_are_slots(engine, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SLOTS", "2")
    ray, most = Ray(CORES), []
    ray.trains = lambda task, actor, parts: most.append(len(ray.actors)) or came_back(task)
    engine(ray).run(*tasks(5))
    assert max(most) == 2


def test_a_full_gpu_is_shared_by_fewer_from_then_on(engine, monkeypatch):
    monkeypatch.setenv("UNFREEZE_PER_GPU", "4")
    ray = Ray(GPUS)
    ray.trains = lambda task, actor, parts: came_back(
        task, *["full"] * (actor.options["num_gpus"] < 1), memory_full=True)
    events = engine(ray).run(*tasks(3))
    assert len(kinds(events, Done)) == 3 and not kinds(events, Failed)
    assert {options["num_gpus"] for *_, options in ray.trained} == {0.25, 0.5, 1}
    assert "the memory of its GPU on 10.0.0.2 is full; it is trained again, 2 at the same time" in (
        kinds(events, Again)[0][1])
    # One that has no room alone fails.
    ray.trains = lambda task, actor, parts: came_back(task, "full", memory_full=True)
    assert kinds(engine(ray).run(*tasks(1)), Failed) == [(0, "full")]


def test_one_whose_process_dies_is_trained_again_three_times_at_most(engine):
    ray, tries = Ray(CORES), []

    def trains(task, actor, parts):
        tries.append(task.number)
        if task.number == 0 or task.number == 1 and tries.count(1) < 3:
            return ray.exceptions.ActorDiedError("Its worker exited; high memory usage, perhaps.")
        return came_back(task)

    ray.trains = trains
    events = engine(ray).run(*tasks(4))
    assert tries.count(0) == tries.count(1) == 3
    assert {number for number, _ in kinds(events, Done)} == {1, 2, 3}
    ((number, why),) = kinds(events, Failed)
    assert number == 0 and why.startswith("its process was killed, 3 times, the last on 10.0.0.")
    assert len(kinds(events, Again)) == 4


@pytest.mark.parametrize(("name", "text", "words"), [
    ("ActorDiedError", "The actor died because its node has died. Node Id: x", "with its node"),
    ("NodeDiedError", "", "is gone with its node"),
    ("OutOfMemoryError", "", "since memory ran out"),
    ("ActorDiedError", "killed due to the node running low on memory", "since memory ran out"),
    ("ActorDiedError", "1. killed by the OOM killer due to high memory usage", "was killed;")])
def test_why_it_died_is_told(engine, name, text, words):
    ray = Ray(CORES)
    ray.trains = lambda task, actor, parts: (
        came_back(task) if len(ray.trained) > 1 else getattr(ray.exceptions, name)(text))
    ((_, why),) = kinds(engine(ray).run(*tasks(1)), Again)
    assert words in why


def test_a_node_that_cannot_train_is_told_once_and_left_out(engine):
    ray = Ray(CORES)
    ray.begins = lambda node: "has another torch" if node is ray.list[0] else " "
    events = engine(ray).run(*tasks(5))
    told = [event.line for event in events if isinstance(event, Told)]
    assert told == ["warning: the node 10.0.0.1 trains nothing: has another torch"]
    assert len(kinds(events, Done)) == 5 and not kinds(events, Failed)
    assert {address for _, address, _ in ray.trained} == {"10.0.0.2"}


def test_a_node_whose_disk_is_full_is_left_out_and_its_replicate_done_elsewhere(engine):
    ray = Ray(CORES)
    ray.trains = lambda task, actor, parts: (
        {"problem": "no room left"} if actor.node is ray.list[0] else came_back(task))
    events = engine(ray).run(*tasks(5))
    assert len(kinds(events, Done)) == 5 and not kinds(events, Failed)
    assert len([event for event in events if isinstance(event, Told)]) == 1


def test_where_no_node_can_train_that_is_an_error_and_all_ends(engine):
    ray = Ray(CORES)
    ray.begins = lambda node: "has another torch"
    with pytest.raises(UserError, match=f"RAY_ADDRESS={ADDRESS}: no node of the cluster can train; "
                                        "10.0.0..: has another torch"):
        engine(ray).run(*tasks(5))
    assert not ray.actors


def test_a_node_that_joins_late_is_room_too(engine):
    ray = Ray({"10.0.0.1": CORES["10.0.0.1"]})
    late = Ray({"10.0.0.9": CORES["10.0.0.2"]}).list[0]

    def trains(task, actor, parts):
        if len(ray.trained) == 2 and late not in ray.list:
            ray.list.append(late)
        return came_back(task) if late in ray.list else None

    ray.trains = trains
    engine(ray).run(*tasks(8))
    assert "10.0.0.9" in {address for _, address, _ in ray.trained}


def test_what_a_node_lacks_is_sent_when_it_says_so_and_once(engine, monkeypatch, tmp_path):
    (tmp_path / "labels.npy").write_bytes(b"labels")
    asset = Asset(Path("labels.npy"), 6, hashlib.sha256(b"labels").hexdigest())
    ray, sent = Ray(CORES), []
    make = engine(ray)
    monkeypatch.setattr(on_ray.Assets, "of", lambda self, recipe, seed: [asset])
    monkeypatch.setattr(ray, "put", lambda content: sent.append(content) or content)
    ray.trains = lambda task, actor, parts: (
        came_back(task) if parts else {"lacks": [asset.digest]})
    events = make.run(*tasks(6))
    assert len(kinds(events, Done)) == 6 and sent.count(b"labels") == 1
    assert {why for _, why in kinds(events, Again)} <= {None}  # nobody's concern


def test_what_comes_back_damaged_is_trained_again(engine):
    ray = Ray(CORES)

    def trains(task, actor, parts):
        answer = came_back(task)
        if len(ray.trained) == 1:
            answer["content"] = answer["content"][:-1] + b"?"
        return answer

    ray.trains = trains
    events = engine(ray).run(*tasks(1))
    assert "came back damaged from 10.0.0.1" in kinds(events, Again)[0][1]
    assert len(kinds(events, Done)) == 1


def test_what_lies_in_the_driver_s_scratch_folder_does_not_come_back(engine):
    ray = Ray(CORES)
    ray.trains = lambda task, actor, parts: came_back(task, content=None)
    assert len(kinds(engine(ray).run(*tasks(2)), Done)) == 2
    assert not (environment.scratch() / "replicates").exists()


@pytest.mark.parametrize(("device", "nodes", "words"), [
    ("cuda", CORES, "no node of Ray has a GPU"), ("cuda:1", GPUS, "allowed are auto, cpu, cuda")])
def test_a_gpu_that_no_node_has_is_an_error(engine, monkeypatch, device, nodes, words):
    monkeypatch.setenv("UNFREEZE_DEVICE", device)
    with pytest.raises(UserError, match=f"UNFREEZE_DEVICE={device}: .*{words}"):
        engine(Ray(nodes))


def test_where_there_is_no_room_for_long_that_is_said(engine, monkeypatch):
    monkeypatch.setattr(on_ray, "_PATIENCE", 0)
    ray, looks = Ray({"10.0.0.1": {"CPU": 1, "memory": 8e9}}), []
    place = ray.place
    ray.place = lambda actor: looks.append(1) if len(looks) < 5 else place(actor)
    events = engine(ray).run(*tasks(1))
    (told,) = [event.line for event in events if isinstance(event, Told)]
    assert "there has been no room" in told and "1 core and 1.1 GB of memory" in told
    assert len(kinds(events, Done)) == 1


@pytest.mark.parametrize(("engine", "address", "told"), [
    (None, ADDRESS, True), ("auto", "ray://10.0.0.1:10001", True), ("ray", ADDRESS, True),
    ("ray://10.0.0.1", ADDRESS, False), ("ray", None, False), ("ray", "local", False)])
def test_what_is_sent_to_a_cluster_that_nobody_asked_for_is_told(monkeypatch, capsys, engine,
                                                                 address, told):
    for name, value in (("UNFREEZE_ENGINE", engine), ("RAY_ADDRESS", address)):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(on_ray, "connected", lambda address: nullcontext())
    monkeypatch.setattr(workers, "would_train", lambda number: True)
    monkeypatch.setattr(workers, "_by", lambda engine, tasks, what: print("trained"))
    workers.train([], "replicates")
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == "trained"
    assert [f"RAY_ADDRESS={address}: trains on that cluster" in line for line in lines] == (
        [True] * told)


@pytest.mark.parametrize("says, words", [
    (None, "TimeoutError"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "ConnectionError: what is there is not Ray"),
    (b"", "ConnectionError: what is there is not Ray"),
])
def test_what_listens_but_is_not_ray_is_told_at_once(monkeypatch, says, words):
    monkeypatch.setattr(on_ray, "_SECONDS_TO_ANSWER", 0.5)
    monkeypatch.setattr(on_ray, "ray", SimpleNamespace())

    def answer():
        connection, _ = listening.accept()
        with connection:
            connection.recv(100)
            if says is None:
                connection.recv(1)  # until the other side gives up
            else:
                connection.sendall(says)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=answer)
        answering.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no Ray cluster answers there .{words}"):
            with on_ray.connected(address):
                pass
        answering.join()


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(on_ray, "ray", None)
    monkeypatch.setenv("UNFREEZE_ENGINE", "ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match="UNFREEZE_ENGINE=ray: Ray is not installed .*env-all"):
        with on_ray.connected("ray"):
            pass


@pytest.mark.parametrize(("error", "words"), [
    (RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.55.0\nThis "
                  "process on 10.0.0.1 was started with:\n    Ray: 2.60.0"),
     "Ray: 2.55.0 This process on 10.0.0.1 .*Ray: 2.60.0; install the same versions"),
    (ConnectionError("timed out"), "no Ray cluster answers there .*ray start --head")])
def test_what_ray_says_at_connecting_is_a_line(monkeypatch, error, words):
    def init(**options):
        raise error

    monkeypatch.setattr(on_ray, "ray", SimpleNamespace(init=init))
    monkeypatch.setattr(on_ray, "_knock", lambda address: None)
    monkeypatch.setenv("UNFREEZE_ENGINE", "auto")
    with pytest.raises(UserError, match=f"RAY_ADDRESS={ADDRESS}: .*{words}") as caught:
        with on_ray.connected(ADDRESS):
            pass
    assert "\n" not in str(caught.value)
