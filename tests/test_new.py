"""`unfreeze new`: what it finds in images, what it makes of that, and what it refuses."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import warm
from helpers import ROOT
from unfreeze import command, files
from unfreeze.data import subsets
from unfreeze.data.facts import Facts
from unfreeze.errors import UserError
from unfreeze.models import official
from unfreeze.params.plan import ImageSource
from unfreeze.params.settle import resolve
from unfreeze.starting import new, settings, study, written
from unfreeze.starting.look import Look, look_at
from unfreeze.timing.work import Speed


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in whose folder one stands, with the code and the rules of this one."""
    home = tmp_path / "project"
    home.mkdir()
    for name in ("src", "stages"):
        (home / name).symlink_to(ROOT / name)
    for name in ("dvc.yaml", "params.yaml", ".dvc/config", ".dvc/.gitignore", ".dvc/plots/README"):
        files.write_bytes(home / name, (ROOT / name).read_bytes())
    monkeypatch.chdir(home)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_WORKERS", "1")
    return home


def photos(folder: Path, counts: dict[str, int], size=(40, 30), mode="RGB") -> Path:
    """A folder with so many PNGs in each of some folders, all different."""
    number = 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for _ in range(count):
            number += 1
            colour = number % 256 if mode == "L" else (number % 256, number // 256, 100)
            Image.new(mode, size, colour).save(folder / name / f"{number}.png")
    return folder


def measure(kind: dict) -> Speed:
    """As if a machine trained 50 images of 128 pixels a second."""
    area = (kind["image_size"] / 128) ** 2
    return Speed(50 / area, 150 / area, 2, 0.9 if kind["freeze"] != "none" else 0.0, 2)


def made(name: str, images, hours: float = 1.0, **keywords) -> study.Started:
    """A study, which can be planned."""
    started = new(name, str(images), hours=hours, measure=measure, **keywords)
    text = (started.folder / "params.yaml").read_text()
    lines = text.splitlines()
    assert len(lines) <= 25
    assert all(len(line) <= 100 or line.startswith("dataset: ") for line in lines)
    before = os.getcwd()
    os.chdir(started.folder)
    try:
        plan = resolve(yaml.safe_load(text))
    finally:
        os.chdir(before)
    assert list(plan.runs) == ["full", "head", "head_then_all", "last_stage", "lora"]
    assert set(plan.searches) == set(plan.runs)
    return started


def knobs(started: study.Started) -> dict:
    return files.read_yaml(started.folder / "params.yaml")


@pytest.mark.parametrize(("counts", "size", "mode"), [
    ({"train/pizza": 30, "train/steak": 25, "train/sushi": 20, "test/pizza": 5, "test/steak": 5,
      "test/sushi": 5}, (40, 30), "RGB"),
    ({"a": 10, "b": 10}, (40, 30), "RGB"),
    ({f"class {number}": 5 for number in range(20)}, (40, 30), "RGB"),
    ({"few": 4, "many": 60}, (300, 200), "RGB"),
    ({"dark": 12, "light": 12}, (28, 28), "L"),
    ({"blue sky": 6, "r\u00e9d: #1": 6, "[x]": 6}, (40, 30), "RGB"),
], ids=["split", "two of ten", "twenty of five", "unequal", "grey", "names"])
def test_what_it_makes_can_be_planned(project, tmp_path, counts, size, mode):
    started = made("mine", photos(tmp_path / "my photos \u00e9", counts, size, mode))
    assert started.folder == project / "studies/mine"
    given = knobs(started)
    assert any("every run trains on" in line for line in started.warnings) == (
        min(started.look.train) < 10)
    assert given["score"] == ("balanced_accuracy" if "few" in counts else "accuracy")
    assert ("class_weights" in given) == ("few" in counts)
    assert given["search_folds"] > 1  # too few to choose by a part of them
    assert Path(given["dataset"]) == tmp_path / "my photos \u00e9"


def test_stages_run_where_it_is(project, tmp_path):
    """plan, as DVC starts it, finds all by the relative paths of the files that were written."""
    images = photos(project / "images/pets", {"cat": 9, "dog": 9})
    started = made("studies/deep/er", "images/pets")
    assert knobs(started)["dataset"] == "../../../images/pets"  # the same in every clone
    pipeline = yaml.safe_load((started.folder / "dvc.yaml").read_text())
    up = pipeline["vars"][0]["root"]
    assert (started.folder / up).resolve() == project
    done = subprocess.run([sys.executable, f"{up}/stages/plan.py"], cwd=started.folder, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "warning: params.yaml: every run trains on 7 images" in done.stderr
    config = (started.folder / ".dvc/config").read_text()
    cache = config.split("dir = ")[1].split()[0]
    assert (started.folder / ".dvc" / cache).resolve() == project / ".dvc/cache"
    assert images.is_dir() and f"cd {os.path.relpath(started.folder)}" in (
        started.folder / "README.md").read_text()


def test_dvc_plans_what_it_makes(project, tmp_path):
    """The study is a DVC project of its own, and git sees of it what was written."""
    for name in ("src", "stages"):
        (project / name).unlink()
        shutil.copytree(ROOT / name, project / name,
                        ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copyfile(ROOT / ".gitignore", project / ".gitignore")
    for command_line in ("git init -q", "git add -A",
                         "git -c user.name=a -c user.email=a@b commit -qm before"):
        subprocess.run(shlex.split(command_line), cwd=project, check=True)
    started = made("mine", photos(tmp_path / "pets", {"cat": 12, "dog": 12}))
    done = subprocess.run(["dvc", "repro", "plan"], cwd=started.folder, text=True,
                          capture_output=True, env=os.environ | {
        "PATH": f"{warm.path()}{os.pathsep}{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    assert "5 runs: full, head, head_then_all, last_stage, lora" in done.stdout
    seen = subprocess.run(["git", "status", "--short", "-uall"], cwd=project, text=True,
                          capture_output=True).stdout
    assert {line[3:].removeprefix("studies/mine/") for line in seen.splitlines()} == {
        "dvc.yaml", "dvc.lock", "params.yaml", "README.md", ".dvc/config", ".dvc/.gitignore",
        ".dvc/plots/README"}


def test_an_archive_and_the_folder_are_the_same_images(project, tmp_path):
    folder = photos(tmp_path / "pets", {"cat": 9, "dog": 9})
    with zipfile.ZipFile(project / "pets.zip", "w") as target:
        for path in sorted(folder.rglob("*.png")):
            target.writestr(str(path.relative_to(tmp_path)), path.read_bytes())
    packed, plain = (look_at(str(each)) for each in ("pets.zip", folder))
    assert packed.images == "pets.zip" and packed.facts.source.digest == plain.facts.source.digest
    assert knobs(made("packed", "pets.zip"))["dataset"] == "../../pets.zip"


def test_a_table_of_labels(project, tmp_path):
    folder = photos(tmp_path / "set", {"img": 24})
    (folder / "all.csv").write_text("file,sort,patient\n" + "".join(
        f"img/{number}.png,{number % 2},p{number // 3}\n" for number in range(1, 25)))
    started = made("table", f"{folder}/all.csv#label=sort")
    assert knobs(started)["dataset"] == f"{folder}/all.csv#label=sort"
    assert started.look.title == "all" and started.look.names == ("0", "1")
    assert "groups with about 20%" in started.look.split


def in_groups(folder: Path, training_groups: int) -> str:
    """A table of two classes, each with as many groups of three to train on as named."""
    photos(folder, {"img": 6 * (training_groups + 1)})
    (folder / "labels.csv").write_text("file,label,split,patient\n" + "".join(
        f"img/{number + 1}.png,{number % 2},{'train' if number // 6 < training_groups else 'test'},"
        f"p{number // 6}-{number % 2}\n" for number in range(6 * (training_groups + 1))))
    return f"{folder}/labels.csv"


def test_of_few_groups_no_more_folds_are_made(project, tmp_path):
    """A fold is of whole groups: subsets refuse more folds than groups."""
    table = in_groups(tmp_path / "set", 2)
    assert look_at(table).groups == 4 and knobs(made("few", table))["search_folds"] == 4
    rows = list(range(12))
    subsets.draw(np.array(rows) % 2, np.array([0, 1]), 0.2, 1.0, 1, folds=4,
                 groups=np.array([2 * (row // 6) + row % 2 for row in rows]))


def test_one_group_of_a_class_cannot_be_held_out(project, tmp_path):
    with pytest.raises(UserError, match="has one group alone to train on of 0, 1; groups stay"):
        new("one", in_groups(tmp_path / "set", 1), measure=measure)


def test_copies_and_sizes_are_told(project, tmp_path):
    folder = photos(tmp_path / "pets", {"train/cat": 9, "train/dog": 9, "test/cat": 3,
                                        "test/dog": 3})
    (folder / "test/cat/copy.png").write_bytes((folder / "train/cat/1.png").read_bytes())
    Image.new("RGB", (900, 700)).save(folder / "train/dog/large.png")
    said: list[str] = []
    made("pets", folder, say=said.append)
    assert said[0] == ("pets: 2 classes, 19 training and 7 test images (train/ and test/ as they "
                       "are), 40 x 30 pixels")
    assert "cat 9 + 4, dog 10 + 3" in said[1]
    assert any("1 test image(s) that are training images too" in line for line in said)
    assert any("sizes from 40 x 30 to 900 x 700 pixels" in line for line in said)


# What fits the images


def look(images: int, classes: int = 3, side: int | None = 500) -> Look:
    each = images // classes
    facts = Facts("own-x", ImageSource("photos", path="x"), classes, images, images // 4, each)
    return Look("x", "x", True, facts, tuple(map(str, range(classes))), (each,) * classes,
                (each // 4,) * classes, side, "", "", (), images)


def chosen(images: int, seconds_an_image: float, limit: float, **keywords) -> settings.Setting:
    """With time in proportion to images, epochs, area and trainings."""
    there = look(images, **keywords)
    return settings.choose(there, settings.Sides(224), lambda each: (
        seconds_an_image * each.fraction * images * each.epochs * (each.image_size / 224) ** 2
        * (each.rates * each.folds + each.seeds)), limit)


def test_the_time_decides_how_much_is_done():
    quick, slow = chosen(960, 1e-4, 3600), chosen(960, 0.5, 3600)
    assert (quick.image_size, quick.seeds, quick.rates, quick.fraction) == (224, 5, 4, 1.0)
    assert (slow.image_size, slow.epochs, slow.fraction) == (96, 3, 1.0)
    assert quick.epochs > slow.epochs
    assert settings.differences(slow, quick)[0] == "224 pixels instead of 96"
    assert settings.differences(quick, quick) == []


def test_of_many_images_a_part_is_taken_where_all_would_take_too_long():
    part = chosen(50_000, 0.5, 4 * 3600, side=32, classes=10)
    assert part.fraction < 1 and part.image_size == 64
    assert part.fraction * 5_000 >= 100  # of each class
    everything = chosen(50_000, 1e-5, 4 * 3600, side=32, classes=10)
    assert everything.fraction == 1 and everything.folds == 1 and everything.validation == 0.1


@pytest.mark.parametrize(("images", "epochs"), [(100, 30), (225, 30), (960, 17), (3_000, 11),
                                                 (12_000, 5), (50_000, 13)])
def test_epochs_follow_the_steps_of_the_hyperrule(images, epochs):
    batch = chosen(images, 0, 1).batch_size
    assert settings.wanted_epochs(images, batch) == epochs
    assert chosen(images, 0, 1).epochs == epochs


@pytest.mark.parametrize(("side", "seen"), [(None, 224), (2000, 224), (100, 224), (90, 192),
                                            (32, 64), (8, 64)])
def test_small_images_are_seen_larger_but_not_much(side, seen):
    assert settings.seen_at(look(100, side=side), settings.Sides(224)) == seen


def test_sizes_are_such_as_the_model_takes():
    strides = settings.Sides(299, least=75)  # Inception
    assert settings.seen_at(look(100, side=20), strides) == 96
    windows = settings.Sides(224, multiple=224)  # MaxViT
    assert {each.image_size for each in settings.settings(look(100), windows)} == {224}


def test_what_can_be_done_without_is_left_out_of_a_long_params_yaml():
    models = written.Models("mobilenet_v2", "resnet18", ("mobilenet_v2",))

    def lines(score: str, skip_broken: bool) -> list[str]:
        setting = settings.Setting(1.0, 224, 10, 16, 0.2, 5, 4, 3, score)
        text = written.params(look(100), "photos", models, setting, "rules", skip_broken)
        return [line.partition(":")[0] for line in text.splitlines()]

    usual, long = lines("accuracy", False), lines("balanced_accuracy", True)
    assert len(usual) == len(long) == written.LINES
    assert {"rank", "budget"} <= set(usual) and not {"rank", "budget"} & set(long)
    assert {"skip_broken", "class_weights", "  other_model"} <= set(long)


def test_few_images_take_turns_and_many_do_not():
    assert chosen(225, 0, 1).folds == 5 and chosen(1_200, 0, 1).folds == 1


# What is refused, in one line that says what would do


@pytest.mark.parametrize(("counts", "path", "words"), [
    ({"cat": 9, "dog": 9}, "nowhere", "no such folder or file here, and no dataset of the "
                                      "catalogue"),
    ({"cat": 9, "dog": 9}, "~/pets", "~ is only known to a shell"),
    ({".": 9}, "", "lie in no folder of a class; wanted is a folder for each class"),
    ({"cat": 9}, "", "has 1 class (cat); at least two are needed"),
    ({"cat": 1, "dog": 2}, "", "3 photos"),
    ({"cat": 2, "dog": 9}, "", "the least that works are 2 training images and 1 test image a "
                               "class (3 photos"),
    ({"cat": 9, "dog": 9, "fish": 0}, "", "1 of the 3 classes (fish)"),
    ({"train/cat": 9, "train/dog": 9, "test/cat": 3, "test/dog": 3}, "train",
     "is one split of several (test lies beside it); name the folder that holds them"),
    ({"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/dog": 1}, "", "the least that works"),
])
def test_what_cannot_work_is_refused_in_one_line(project, tmp_path, counts, path, words):
    folder = tmp_path / "pets"
    photos(tmp_path, {str(Path("pets", name)): count for name, count in counts.items()})
    images = path if path.startswith(("~", "nowhere")) else str(folder / path)
    with pytest.raises(UserError) as refused:
        new("pets", images, measure=measure)
    text = str(refused.value)
    assert words in text and "\n" not in text
    assert not (project / "studies").exists()


def test_broken_files_and_advice_that_would_leave_nothing(project, tmp_path):
    folder = photos(tmp_path / "pets", {"cat": 5, "dog": 5})
    (folder / "cat/broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="1 file cannot be used: cat/broken.png.*--skip-broken"):
        new("pets", str(folder), measure=measure)
    assert knobs(made("pets", folder, skip_broken=True))["skip_broken"] is True
    for file in folder.rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(UserError) as refused:
        new("others", str(folder), measure=measure)
    assert "nothing is left without them" in str(refused.value)
    assert "skip_broken" not in str(refused.value)


@pytest.mark.parametrize(("name", "words"), [
    ("../outside", "lies outside of the project"), ("/tmp/x", "lies outside of the project"),
    ("a b", "is no name for a study's folder"), (".hidden", "is no name"),
    ("studies/_made", "is no name"), ("there", "is there already; take another name"),
    ("", "needs a name, such as flowers"), ("x" * 300, "is too long for a study's folder; 100"),
    ("studies/there/mine.txt/x", "studies/there/mine.txt is a file"),
])
def test_places_that_are_no_study(project, name, words):
    (project / "studies/there").mkdir(parents=True)
    (project / "studies/there/mine.txt").write_text("mine")
    with pytest.raises(UserError, match=words):
        new(name, "cifar10", measure=measure)
    assert (project / "studies/there/mine.txt").read_text() == "mine"


def test_a_folder_whose_name_is_not_utf_8(project, tmp_path):
    folder = photos(tmp_path / os.fsdecode(b"gr\xfcn"), {"cat": 9, "dog": 9})
    with pytest.raises(UserError, match="is a name that is not UTF-8, which params.yaml cannot"):
        new("x", str(folder), measure=measure)


def test_a_study_that_was_made_meanwhile_stays(project, tmp_path):
    folder, there = photos(tmp_path / "pets", {"cat": 9, "dog": 9}), project / "studies/pets"

    def meanwhile(kind: dict) -> Speed:
        files.write_text(there / "mine.txt", "mine")
        return measure(kind)

    with pytest.raises(UserError, match="studies/pets: is there already; take another name"):
        new("pets", str(folder), measure=meanwhile)
    assert [path.name for path in there.parent.rglob("*")] == ["pets", "mine.txt"]


def test_lora_has_a_rank_that_every_layer_of_the_model_takes(project, tmp_path):
    """What EfficientNet-B0 squeezes by has four channels in one layer."""
    folder = photos(tmp_path / "pets", {"cat": 12, "dog": 12})
    runs = knobs(made("pets", folder, model="efficientnet_b0"))["runs"]
    assert (runs["lora"]["lora_rank"], runs["lora"]["lora_alpha"]) == (4, 4)
    assert "lora_rank" not in knobs(made("others", folder))["runs"]["lora"]


def test_models_without_weights_and_models_that_are_none(project):
    with pytest.raises(UserError, match="cnn: has no pretrained weights"):
        new("x", "cifar10", model="cnn", measure=measure)
    with pytest.raises(UserError, match="'mobilnet_v2' is no model"):
        new("x", "cifar10", model="mobilnet_v2", measure=measure)


# Which models


def made_up_weights(known, file: Path, beside: Path) -> None:
    """In place of a download: those of a model as it starts."""
    from safetensors.torch import save_file

    from unfreeze import models
    name = known.name.partition("-")[0]
    if name == "timm":
        name = f"timm/{known.name.removeprefix('timm-')}"
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor for key, tensor in models.build(
        name, "original", 1000, 224).state_dict().items() if "num_batches" not in key}, file)


def test_the_two_best_models_before_training_are_compared(project, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "fetch", made_up_weights)
    said: list[str] = []
    started = new("mine", str(photos(tmp_path / "pets", {"cat": 12, "dog": 12})), measure=measure,
                  rank=("resnet18", "mobilenet_v[2]"), say=said.append)
    assert {started.model, started.other} == {"resnet18", "mobilenet_v2"}
    assert any("ranking 2 models by 20 training images" in line for line in said)
    assert [line.split()[0] for line in said if "  " in line][-2:] == [started.model, started.other]
    given = knobs(started)
    assert given["model"] == started.model and given["rank"] == ["resnet18", "mobilenet_v[2]"]
    assert given["runs"]["other_model"] == {"model": started.other}
    plan = resolve(given | {"dataset": str(tmp_path / "pets")})
    assert set(plan.rank) == {"resnet18", "mobilenet_v2"}
    readme = (started.folder / "README.md").read_text()
    assert f"everything of {started.other} instead" in readme and "--rank" in readme


def test_without_weights_or_images_the_first_is_taken(project, tmp_path, monkeypatch):
    def fails(known, file: Path, beside: Path) -> None:
        raise UserError(f"{known.name}: cannot be had")

    monkeypatch.setattr(official, "fetch", fails)
    said: list[str] = []
    pets = photos(tmp_path / "pets", {"cat": 12, "dog": 12})
    for name, images in (("offline", str(pets)), ("later", "cifar10")):
        started = new(name, images, measure=measure, rank=("resnet18", "mobilenet_v2"),
                      say=said.append)
        assert (started.model, started.other) == ("resnet18", "")
        assert "resnet18 is taken, and `dvc repro rank` ranks them" in said[-2]
        assert knobs(started)["rank"] == ["resnet18", "mobilenet_v2"]
    assert any("resnet18 is left out: resnet18-imagenet1k_v1: cannot be had" in line
               for line in said)


def test_models_to_rank_that_are_none(project):
    with pytest.raises(UserError, match="--rank: 'resnet81' is no model.*did you mean 'resnet18'"):
        new("x", "cifar10", measure=measure, rank=("resnet81",))
    with pytest.raises(UserError, match="--rank: 'nothing[*]' fits no model"):
        new("x", "cifar10", measure=measure, rank=("nothing*",))


# The command


def run(line: str, capsys) -> str:
    arguments = command.parser().parse_args(shlex.split(line)[1:])
    arguments.run(arguments)
    return capsys.readouterr().out


def test_the_examples_of_help_make_studies(project, monkeypatch, capsys):
    monkeypatch.setattr(study, "_measured", lambda kinds, _: {
        kind: measure(yaml.safe_load(kind)) for kind in kinds})
    monkeypatch.setattr(official, "fetch", made_up_weights)
    folder = photos(project / "path/to/folder", {"train/cat": 12, "train/dog": 12, "test/cat": 4,
                                                 "test/dog": 4})
    with zipfile.ZipFile("photos.zip", "w") as target:
        for path in sorted(folder.rglob("*.png")):
            target.writestr(str(path.relative_to(folder)), path.read_bytes())
    from unfreeze.verbs import new as verb
    for line in [line.strip() for line in verb.EXAMPLE.splitlines()
                 if line.startswith("  unfreeze")]:
        said = run(line, capsys)
        name = line.split()[2]
        assert (project / "studies" / name / "params.yaml").is_file()
        assert "it takes about" in said and said.endswith(f"next: cd studies/{name} && dvc repro\n")
    given = files.read_yaml(project / "studies/cifar/params.yaml")
    assert given["model"] == "resnet18" and given["dataset"] == "cifar10"
    assert "with twice the time (--hours 2)" in said


def test_the_machine_is_measured(project, tmp_path):
    """By the engine itself: two kinds of work on tiny images."""
    kinds = {study._at(kind, 32) for kind in _kinds()}
    speeds = study._measured(kinds, None)
    assert set(speeds) == kinds and all(each.train > 0 for each in speeds.values())


def _kinds() -> set[str]:
    from unfreeze.timing.work import works
    plan = resolve({"dataset": "cifar10", "model": "cnn", "init": "scratch", "image_size": 32,
                    "batch_size": 4, "normalize": "dataset", "runs": {"a": {}}})
    return {each.kind for each in works(plan)}
