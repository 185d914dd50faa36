"""Training from the file of decoded photos: the same as from memory, bit for bit."""

import numpy as np
import pytest
import torch

from unfreeze import files
from unfreeze.data.reading import decoded, splits
from unfreeze.data.reading.augmentation import Chain
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.row_file import RowFile
from unfreeze.errors import UserError
from unfreeze.recipe import PinnedDataset, Preprocessing

CPU = torch.device("cpu")
SIDE, COUNT = 12, 37


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)


@pytest.fixture
def rows(pixels, tmp_path):
    np.save(tmp_path / "images.npy", pixels)
    return RowFile(tmp_path / "images.npy")


def images_of(source, indices, size=SIDE, device=CPU, resize="square"):
    preprocessing = Preprocessing(size, resize, "bilinear", (0.4,) * 3, (0.2,) * 3)
    return Images(source, np.arange(COUNT), indices, preprocessing, device, 1 << 30)


def test_rows_are_those_of_the_file(rows, pixels):
    assert len(rows) == COUNT and rows.shape == pixels.shape
    for chosen in (np.array([5]), np.array([36, 0, 7, 7]), np.array([], int)):
        assert np.array_equal(rows[chosen], pixels[chosen])
    kept = rows[np.array([1])]
    kept[:] = 0
    assert np.array_equal(rows[np.array([1])], pixels[[1]])


@pytest.mark.parametrize("batch_size", [7, 28, 64])  # 28: a last batch of one
@pytest.mark.parametrize("augmentation", [
    {}, {"rotation": 20, "crop_padding": 2, "flip": True}, {"augment": "trivial"}])
def test_batches_from_the_file_are_those_from_memory_bit_for_bit(
        rows, pixels, batch_size, augmentation):
    indices = np.random.default_rng(1).permutation(COUNT)[:29].tolist()
    memory, mapped = (images_of(source, indices) for source in (pixels, rows))
    assert len(memory) == len(mapped) == 29
    for make in (lambda images: images.batches(batch_size),
                 lambda images: images.shuffled(batch_size, Chain(augmentation),
                                                lambda name: torch.Generator().manual_seed(3))):
        ours, theirs = list(make(mapped)), list(make(memory))
        assert len(ours) == len(theirs)
        for (one, label), (other, same) in zip(ours, theirs, strict=True):
            assert torch.equal(one, other) and torch.equal(label, same)
            assert one.is_contiguous(memory_format=torch.channels_last)


def test_decoded_photos_are_not_resized_again(rows, pixels):
    """Their recipe says how they were."""
    (batch, _), = images_of(rows, range(COUNT), resize=16).batches(COUNT)
    (expected, _), = images_of(pixels, range(COUNT)).batches(COUNT)
    assert torch.equal(batch, expected)


def test_no_images_give_no_batches(rows, pixels):
    for source in (rows, pixels):
        assert list(images_of(source, []).batches(4)) == []


def test_on_a_gpu_what_fits_is_kept_there(rows, pixels):
    # The meta device stands in for one: it has shapes, and is no CPU.
    kept = images_of(rows, [3, 1, 2], device=torch.device("meta"))
    kept = kept.pixels.images
    assert kept.shape == (3, SIDE, SIDE, 3) and kept.device.type == "meta"


def test_the_file_is_read_and_not_held(tmp_path):
    # Pages of a mapping would count as the process's own; 200 MB of rows must not.
    import resource

    with open(tmp_path / "large.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {
            "descr": "|u1", "fortran_order": False, "shape": (200, 1000, 1000)})
        file.truncate(file.tell() + 200 * 1000 * 1000)
    rows = RowFile(tmp_path / "large.npy")
    rows[np.arange(2)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(0, 200, 4):
        rows[np.arange(start, start + 4)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_file_that_is_no_map_or_cut_short_is_one_clear_line(tmp_path, pixels):
    path = tmp_path / "images.npy"
    with pytest.raises(UserError, match="images.npy: missing or damaged; run `dvc repro`"):
        RowFile(path)
    path.write_bytes(b"no array")
    with pytest.raises(UserError, match="missing or damaged"):
        RowFile(path)
    np.save(path, pixels.astype(np.float32))
    with pytest.raises(UserError, match="is no array of bytes"):
        RowFile(path)
    np.save(path, pixels)
    rows = RowFile(path)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(UserError, match="missing or damaged"):
        rows[np.array([COUNT - 1])]


def test_a_recipe_opens_the_decoded_photos_that_it_names_and_no_others(tmp_path, pixels):
    data, folder = tmp_path / "data" / "own", tmp_path / "decoded" / "own-square-bilinear-12"
    data.mkdir(parents=True)
    files.write_json(data / "card.json", {"digest": "d"})
    for split in decoded.SPLITS:
        np.save(data / f"{split}_labels.npy", np.arange(COUNT))
    folder.mkdir(parents=True)
    np.save(decoded.file(folder, "test"), pixels)
    t = files.file_digest(decoded.file(folder, "test"))
    decoded.write_card(folder, decoded.Card("own", "d", 12, "square", "bilinear", {"test": t}))

    def opened(digest="d", **digests):
        return splits.open_pinned(PinnedDataset("own", digest, ("a", "b"), folder.name, digests),
                                  data.parent, folder.parent)

    images, labels = opened(test=t)["test"]
    assert list(opened(test=t)) == ["test"]
    assert images.shape == pixels.shape and labels.tolist() == list(range(COUNT))
    for wrong in ({"digest": "other", "test": t}, {"test": "u"}, {"train": t}):
        with pytest.raises(UserError, match="is not the dataset that the recipe names"):
            opened(**wrong)
    decoded.card_file(folder).write_text('{"map": "of another version"}')
    with pytest.raises(UserError, match="missing or damaged; run `dvc repro`, which decodes"):
        opened(test=t)


def test_a_card_comes_back_as_it_was_written(tmp_path):
    card = decoded.Card("own", "d", 224, 256, "bicubic", {"train": "a", "test": "b"},
                        (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    decoded.write_card(tmp_path, card)
    assert decoded.read_card(tmp_path) == card


def test_names_of_folders_tell_what_differs():
    assert decoded.folder_name("cub200", 224, 256, "bicubic") == "cub200-256-bicubic-224"
    assert decoded.folder_name("own-pets-1a2b3c4d5e6f", 64, "square", "bilinear") == (
        "own-pets-1a2b3c4d5e6f-square-bilinear-64")
