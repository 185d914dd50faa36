"""What plan refuses at once: what DVC reads in another way, what never ends, what fits no memory;
and what it warns of."""

import os

import pytest
import yaml
from PIL import Image
from ruamel.yaml import YAML

from helpers import message, params
from unfreeze import files, places
from unfreeze.errors import Fault
from unfreeze.params import memory
from unfreeze.params.sections import _is_number_to_dvc
from unfreeze.params.settle import resolve

# --- Names


@pytest.mark.parametrize("name", ["1e5", "1e-3", "1E5", "0o10", "08", "2_000e3", "-1e5"])
def test_names_that_are_numbers_to_dvc_are_refused(name):
    assert isinstance(yaml.safe_load(name), str)
    assert not isinstance(YAML(typ="safe", pure=True).load(name), str)  # as DVC reads
    message(params({"base": {}, name: {}}), "runs", repr(name), f"such as run_{name}")
    message(params({"base": {}, "b": {}}, compare={name: ["base", "b"]}), "compare", repr(name))


@pytest.mark.parametrize("name", ["e5", "1e5x", "lr_1e-3", "v2", "1x", "0xg", "1e", "a-1", "_1",
                                  "off2", "1-2", "Infinity", "1e5e"])
def test_other_names_stay(name):
    assert YAML(typ="safe", pure=True).load(name) == name and not _is_number_to_dvc(name)
    assert name in resolve(params({name: {}})).runs


# --- Places


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A working folder, and beside it `pets`: 20 images of a dog, 4 of a cat."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    for label, (name, count) in enumerate((("cat", 4), ("dog", 20))):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 9), (number, 100 * label, 0)).save(
                tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


@pytest.mark.parametrize(("dataset", "words"), [
    ("/", "holds this project itself"), ("..", "holds this project itself"),
    ("../", "name the folder of the images alone"), ("./", "holds this project itself"),
    ("/proc", "belongs to the system"), ("/proc/self/fd", "belongs to the system"),
    ("/sys/class", "belongs to the system"), ("/dev/zero", "pipe, a socket or a device"),
    ("/dev", "belongs to the system"), ("../pipe", "pipe, a socket or a device"),
    ("../to_proc", "belongs to the system"), ("../pipe.zip", "pipe, a socket or a device"),
])
def test_what_never_ends_is_refused_at_once(pets, dataset, words):
    os.mkfifo("../pipe")
    os.mkfifo("../pipe.zip")
    os.symlink("/proc", "../to_proc")
    with open("../pipe.dvc", "w") as file:  # whose MD5 would be asked for
        yaml.safe_dump({"outs": [{"path": "pipe", "md5": "0"}]}, file)
    message(params(dataset=dataset), "dataset (of runs.base)", words)


def test_a_checkpoint_that_is_a_pipe_is_refused_at_once(pets):
    os.mkfifo("pipe.pth")
    message(params(init="pipe.pth"), "init (of runs.base)", "'pipe.pth' is no file")


@pytest.mark.parametrize("knobs", [{"dataset": "pets"}, {"dataset": "my/pets"},
                                   {"init": "my.pth"}])
def test_what_a_temporary_copy_lacks_is_to_be_added(tmp_path, monkeypatch, knobs):
    """As `dvc exp run --temp` and `--queue` make."""
    copy = tmp_path / ".dvc/tmp/exps/standalone/tmp1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    (path,) = knobs.values()
    message(params(**knobs), "this is a temporary copy of the project",
            f"`dvc add {path}`, or give its absolute path")


@pytest.mark.parametrize("name", ["a.ckpt", "a.bin", "a.pth.tar", "A.PTH", "a.safetensors"])
def test_checkpoints_of_all_suffixes_are_looked_up(pets, name):
    with open(name, "wb") as file:
        file.write(b"one")
    (source,) = resolve(params(init=name)).weights.values()
    assert source.path == name


# --- Memory


@pytest.mark.parametrize("knobs", [
    {"head": "mlp", "head_width": 2**31 - 1}, {"tune": "lora", "lora_rank": 2**31 - 1},
    {"image_size": 2**31 - 1}, {"resize": 2**31 - 1}, {"image_size": 2048, "batch_size": 2**31 - 1},
])
def test_what_no_memory_holds_is_refused(knobs):
    name = next(name for name in reversed(knobs))
    text = message(params({"mine": knobs}), f"runs.mine.{name}: {knobs[name]} makes ", " GB")
    assert text.endswith("choose a smaller one")
    assert resolve(params(not_run={"mine": knobs | {"why": "needs a large machine"}})).not_run


def test_memory_is_that_of_the_machine():
    run = resolve(params(head="mlp", head_width=1000)).runs["base"]
    facts = type("Facts", (), {"dataset": type("Of", (), {"train": 100, "classes": 10})})
    memory.check(run.knobs, facts, 10**9)
    with pytest.raises(Fault, match="head_width: 1000 makes a hidden layer of 1.02 MB or more"):
        memory.check(run.knobs, facts, 10**6)


def test_a_number_for_a_width_must_be_whole():
    message(params({"mine": {"head": "mlp", "head_width": 1.0e10}}), "head_width", "whole number")


# --- Other classes than meant, unequal classes


def test_folders_within_those_of_the_classes_are_told(pets, capsys):
    resolve(params(dataset="../pets", fraction=1, test_fraction=1))
    assert "within others" not in capsys.readouterr().err
    os.makedirs(pets / "cat" / "siamese" / "old")
    os.rename(pets / "cat" / "3.png", pets / "cat" / "siamese" / "old" / "3.png")
    resolve(params(dataset="../pets", fraction=1, test_fraction=1))
    assert capsys.readouterr().err.startswith(
        "warning: ../pets: photos lie in folders within others, such as cat/siamese/old; the outer "
        "ones are taken for the classes: cat, dog\n")


def test_classes_that_differ_in_capitals_alone_are_told(pets, capsys):
    os.makedirs(pets / "Dog")
    for number in (1, 2, 3):
        os.rename(pets / "dog" / f"{number}.png", pets / "Dog" / f"{number}.png")
    resolve(params(dataset="../pets", fraction=1, test_fraction=1))
    assert "warning: ../pets: the classes Dog and dog differ in their capitals alone; if" in (
        capsys.readouterr().err)


def test_unequal_classes_are_told_with_what_one_answer_would_get(pets):
    told = resolve(params(dataset="../pets", fraction=1, test_fraction=1)).warnings
    assert [line.partition(": ")[2] for line in told if "the classes have" in line] == [
        "the classes have 3 to 16 training images: always to answer dog is right for 84.2 %, with "
        "a balanced accuracy of 50 %; set score: balanced_accuracy, by which each class counts the "
        "same"]
    for number in range(9, 20):
        os.unlink(pets / "dog" / f"{number}.png")
    told = resolve(params(dataset="../pets", fraction=1, test_fraction=1)).warnings
    assert "the classes have" not in "".join(told)


def test_the_name_of_a_folder_that_stages_made_says_where_its_images_are(pets):
    files.write_json(places.DATA / "own-pets-123456789abc/card.json", {"source": "../pets"})
    message(params(dataset="own-pets-123456789abc"), "dataset",
            "is the name of a folder in _made/data; say where its images are: ../pets")
    message(params(dataset="own-cats-123456789abc"), "is no dataset")


def test_too_few_images_of_ones_own_for_a_study_can_have_one_that_fits(pets):
    message(params(dataset="../pets", fraction=0.05, test_fraction=1), "fraction",
            "; or `unfreeze new NAME --images ../pets` makes a study that fits these images")
    assert "unfreeze new" not in message(params(dataset="cifar10", fraction=0.0001))
    message(params(dataset="~/pets"), "~ is known to a shell only: write ",
            os.path.expanduser("~/pets"))
