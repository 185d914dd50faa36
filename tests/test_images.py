import sys

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment, TrivialAugmentWide

from unfreeze.data.reading import augmentations
from unfreeze.data.reading import images as reading
from unfreeze.data.reading.augmentation import Chain
from unfreeze.data.reading.augmentations import augment, crop_padding, flip, rotation
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.resizing import resize
from unfreeze.errors import UserError
from unfreeze.recipe import INTERPOLATIONS, Preprocessing

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

MEAN, STD = (0.5, 0.25, 0.75), (0.1, 0.2, 0.3)
IDENTITY = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}  # normalised pixels are the grey levels
NO_LIMIT = 1 << 40
CPU = torch.device("cpu")


def pixels(n, side=32, seed=0, width=None):
    return np.random.default_rng(seed).integers(0, 256, (n, side, width or side, 3), np.uint8)


def as_seen(size, resize="square", interpolation="bilinear", mean=MEAN, std=STD):
    return Preprocessing(size, resize, interpolation, mean, std)


def images_of(n=10, size=32, side=32, limit=NO_LIMIT, indices=None, **more):
    """Images whose label is their index."""
    return Images(pixels(n, side), np.arange(n), list(range(n)) if indices is None else indices,
                  as_seen(size, **more), CPU, limit)


def resize_to(images, *preprocessing):
    return resize(torch.from_numpy(images), as_seen(*preprocessing))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def generators(seed=0):
    """What is random in an epoch, all of it by one seed."""
    return lambda name: generator(seed)


def on(**values):
    return Chain(values)


OFF = on()
EVERYTHING = on(rotation=15, crop_padding=4, flip=True, augment="trivial")


def grey(batch):
    """Back from normalised by IDENTITY to (B, H, W, 3) uint8."""
    assert torch.equal(batch, batch.round())
    return batch.permute(0, 2, 3, 1).to(torch.uint8)


def epoch(augmentation, n=40, size=16, seed=0):
    """{label: image as seen} of one epoch."""
    images = images_of(n, **IDENTITY)
    return {label.item(): image for batch, labels in images.shuffled(size, augmentation,
                                                                   generators(seed))
            for image, label in zip(grey(batch), labels, strict=True)}


# Resizing

@pytest.mark.parametrize("size", [8, 20, 31, 33, 64, 100])
def test_resize_is_torchvisions_of_a_pil_image(size):
    source = pixels(3)
    smooth = np.repeat(np.repeat(pixels(3, 8, 1), 4, axis=1), 4, axis=2)
    for images in (source, smooth):
        resized = resize_to(images, size).int().numpy()
        expected = np.stack([np.asarray(TF.resize(Image.fromarray(image), [size, size],
                                                  InterpolationMode.BILINEAR))
                             for image in images]).astype(int)
        assert resized.shape == expected.shape
        assert np.abs(resized - expected).max() <= 1


def test_resize_makes_a_square_of_any_shape():
    image = pixels(1, 20, width=50)
    expected = np.asarray(Image.fromarray(image[0]).resize((32, 32), Image.Resampling.BILINEAR))
    resized = resize_to(image, 32)
    assert np.abs(resized[0].int().numpy() - expected.astype(int)).max() <= 1


def test_resize_to_the_same_size_changes_nothing():
    images = torch.from_numpy(pixels(2))
    for interpolation in INTERPOLATIONS:
        assert torch.equal(resize(images, as_seen(32, "square", interpolation)), images)
        assert torch.equal(resize(images, as_seen(32, 32, interpolation)), images)


@pytest.mark.parametrize(("interpolation", "levels"), [("bilinear", 1), ("bicubic", 2)])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 50), (45, 31)])
@pytest.mark.parametrize(("shorter", "size"), [(26, 21), (33, 32), (64, 51), (20, 20)])
def test_resize_and_cut_is_torchvisions_of_a_pil_image(height, width, shorter, size,
                                                       interpolation, levels):
    source = pixels(3, height, width=width)
    source[1] = np.where(source[1] < 128, 0, 255)  # edges at which bicubic overshoots the most
    seen = resize_to(source, size, shorter, interpolation).int().numpy()
    mode = InterpolationMode(interpolation)
    expected = np.stack([np.asarray(TF.center_crop(TF.resize(Image.fromarray(image), shorter, mode),
                                                   size)) for image in source]).astype(int)
    assert seen.shape == expected.shape == (3, size, size, 3)
    assert np.abs(seen - expected).max() <= levels
    assert np.abs(seen - expected).mean() < 0.2


def test_images_of_the_final_size_still_lose_their_border():
    for limit in (NO_LIMIT, 0):
        images = images_of(3, 32, 32, limit, resize=40, **IDENTITY)
        (batch, _), = images.batches(3)
        expected = resize_to(pixels(3), 32, 40)
        assert torch.equal(grey(batch), expected)
        assert not torch.equal(grey(batch), torch.from_numpy(pixels(3)))


def test_interpolations_differ():
    (one, _), (other, _) = (next(images_of(3, 48, interpolation=name).batches(3))
                            for name in INTERPOLATIONS)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("knobs", "message"), [
    ({"resize": 31}, "resize: 31 .* 32"), ({"interpolation": "cubic"}, "did you mean 'bicubic'")])
def test_resizing_that_cannot_be_done_is_refused(knobs, message):
    with pytest.raises(UserError, match=message):
        images_of(3, 32, **knobs)


@pytest.mark.parametrize("augmentation", [OFF, on(rotation=30, crop_padding=4, flip=True),
                                          on(augment="trivial")])
@pytest.mark.parametrize(("size", "more"), [(20, {}), (48, {}), (32, {
    "resize": 36, "interpolation": "bicubic"})])
def test_resized_before_or_in_each_batch_is_the_same_bit_for_bit(size, more, augmentation):
    before, each = (images_of(23, size, limit=limit, **more) for limit in (NO_LIMIT, 0))
    assert (before.pixels.images.shape[1], each.pixels.images.shape[1]) == (size, 32)
    for make in (lambda images: images.batches(8),
                 lambda images: images.shuffled(8, augmentation, generators())):
        for (one, label), (other, same) in zip(make(before), make(each), strict=True):
            assert torch.equal(one, other) and torch.equal(label, same)


def test_limit_is_the_size_of_the_resized_images():
    needed = 10 * 48 * 48 * 3
    assert images_of(10, 48, limit=needed).pixels.images.shape[1] == 48
    assert images_of(10, 48, limit=needed - 1).pixels.images.shape[1] == 32


# What is in a batch

def test_normalisation_is_torchvisions():
    (batch, _), = images_of(6).batches(6)
    expected = torch.stack([TF.normalize(TF.to_tensor(image), MEAN, STD) for image in pixels(6)])
    torch.testing.assert_close(batch, expected, rtol=1e-5, atol=1e-5)
    assert batch.is_contiguous(memory_format=torch.channels_last) and batch.dtype == torch.float32


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17])
def test_batches_go_in_order_and_leave_nothing_out(n):
    images = images_of(n, indices=list(range(n))[::-1], **IDENTITY)
    seen = list(images.batches(8))
    assert torch.cat([labels for _, labels in seen]).tolist() == list(range(n))[::-1]
    assert np.array_equal(torch.cat([grey(batch) for batch, _ in seen]).numpy(), pixels(n)[::-1])


@pytest.mark.parametrize("n", [0, 5])
def test_indices_choose_the_images(n):
    images = images_of(10, 20, indices=[7, 3, 3, 9, 0][:n])
    assert len(images) == n
    assert images.labels.tolist() == [7, 3, 3, 9, 0][:n]
    assert sum(len(labels) for _, labels in images.batches(2)) == n


@pytest.mark.parametrize(("n", "size", "lengths"), [
    (16, 8, [8, 8]), (17, 8, [8, 9]), (18, 8, [8, 8, 2]), (9, 8, [9]), (1, 8, [1]), (3, 2, [3]),
    (5, 100, [5])])
def test_last_batch_of_one_joins_the_one_before(n, size, lengths):
    seen = list(images_of(n).shuffled(size, OFF, generators()))
    assert [len(labels) for _, labels in seen] == [len(batch) for batch, _ in seen] == lengths
    assert reading.count_batches(n, size) == len(lengths)


def test_shuffled_is_every_image_once_with_its_own_label():
    seen = epoch(OFF)
    assert sorted(seen) == list(range(40)) and list(seen) != list(range(40))
    for label, image in seen.items():
        assert np.array_equal(image.numpy(), pixels(40)[label])


def test_generator_decides_the_epoch():
    first, same, other = (epoch(EVERYTHING, seed=seed) for seed in (1, 1, 2))
    assert list(first) == list(same) != list(other)
    assert all(torch.equal(first[label], same[label]) for label in first)
    assert any(not torch.equal(first[label], other[label]) for label in first)


def test_batch_size_changes_the_grouping_only():
    small, large = epoch(EVERYTHING, size=4), epoch(EVERYTHING, size=40)
    assert list(small) == list(large)
    assert all(torch.equal(small[label], large[label]) for label in small)


# Augmentation

def shown(images):
    return torch.from_numpy(images)


def test_flip_mirrors_only_the_chosen_images():
    source = pixels(4, 6, width=5)
    which = torch.tensor([True, False, False, True])
    flipped = flip.apply(shown(source), which, True).numpy()
    for i, chosen in enumerate(which):
        assert np.array_equal(flipped[i], source[i, :, ::-1] if chosen else source[i])


def test_crop_is_that_of_a_plain_loop():
    padding, source = 3, pixels(20, 12, width=9)
    shifts = torch.randint(0, 2 * padding + 1, (20, 2), generator=generator())
    shifts[0], shifts[1] = torch.tensor([0, 0]), torch.tensor([6, 6])
    cropped = crop_padding.apply(shown(source), shifts, padding).numpy()
    for i, (top, left) in enumerate(shifts.tolist()):
        padded = np.pad(source[i], ((padding, padding), (padding, padding), (0, 0)))
        assert np.array_equal(cropped[i], padded[top:top + 12, left:left + 9])


@pytest.mark.parametrize("side", [8, 32, 33])
def test_rotate_is_torchvisions(side):
    source = pixels(24, side)
    angles = torch.linspace(-180, 180, 24) + 0.37  # off the symmetric angles, where ties abound
    turned = rotation.apply(shown(source), angles, 180)
    expected = torch.stack([TF.rotate(image, angle.item(), InterpolationMode.NEAREST) for
                            image, angle in zip(shown(source).permute(0, 3, 1, 2), angles,
                                                strict=True)]).permute(0, 2, 3, 1)
    assert (turned != expected).any(-1).double().mean() < 0.002


def test_rotate_by_90_degrees_is_counter_clockwise():
    source = pixels(4, 32)
    turned = rotation.apply(
        shown(source), torch.tensor([0.0, 90.0, -90.0, 180.0]), 180).numpy()
    for image, original, quarters in zip(turned, source, [0, 1, 3, 2], strict=True):
        assert (image != np.rot90(original, quarters)).any(-1).mean() < 0.002


def all_crops(image, padding):
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    side = len(image)
    return {(top, left): padded[top:top + side, left:left + side].tobytes()
            for top in range(2 * padding + 1) for left in range(2 * padding + 1)}


def test_every_image_draws_its_own_flip_and_both_happen():
    source, seen = pixels(40), epoch(on(flip=True))
    flipped = [not np.array_equal(seen[i].numpy(), source[i]) for i in range(40)]
    assert all(np.array_equal(seen[i].numpy(), source[i, :, ::-1] if turned else source[i])
               for i, turned in enumerate(flipped))
    assert 8 <= sum(flipped) <= 32  # a fair coin leaves this once in 10,000 seeds


def test_every_image_draws_its_own_shift_over_the_whole_range():
    source, seen = pixels(40), epoch(on(crop_padding=1))
    found = []
    for i in range(40):
        places = [place for place, crop in all_crops(source[i], 1).items()
                  if crop == seen[i].numpy().tobytes()]
        assert len(places) == 1
        found += places
    assert {top for top, _ in found} == {left for _, left in found} == {0, 1, 2}
    assert len(set(found)) >= 7  # of 9: rows and columns move independently


def test_every_image_draws_its_own_angle_within_the_range():
    images = np.zeros((40, 33, 33, 3), np.uint8)
    images[:, :16, 16] = 255  # a hand pointing up
    seen = Images(images, np.arange(40), list(range(40)), as_seen(33, **IDENTITY), CPU, NO_LIMIT)
    ((batch, _),) = seen.shuffled(40, on(rotation=40), generators())
    angles = []
    for image in grey(batch)[..., 0].numpy():
        y, x = np.nonzero(image)
        angles.append(np.degrees(np.arctan2(16 - x.mean(), 16 - y.mean())))  # left is positive
    assert max(map(abs, angles)) <= 42 and min(angles) < -25 and max(angles) > 25
    assert len(set(np.round(angles))) > 15


def test_order_of_augmentation_is_rotation_crop_flip():
    alone = {name: epoch(Chain({name: value})) for name, value in
             {"rotation": 20, "crop_padding": 2, "flip": True}.items()}
    source, everything = pixels(40), epoch(on(rotation=20, crop_padding=2, flip=True))
    for i in range(40):
        shift = next(place for place, crop in all_crops(source[i], 2).items()
                     if crop == alone["crop_padding"][i].numpy().tobytes())
        mirrored = not np.array_equal(alone["flip"][i].numpy(), source[i])
        turned = alone["rotation"][i].numpy()
        padded = np.pad(turned, ((2, 2), (2, 2), (0, 0)))
        expected = padded[shift[0]:shift[0] + 32, shift[1]:shift[1] + 32]
        expected = expected[:, ::-1] if mirrored else expected
        assert np.array_equal(everything[i].numpy(), expected)


def test_order_of_images_does_not_depend_on_augmentation():
    orders = {tuple(epoch(augmentation)) for augmentation in (
        OFF, on(flip=True), on(crop_padding=4),
        on(rotation=20), on(augment="rand"),
        on(rotation=20, crop_padding=4, flip=True, augment="trivial"))}
    assert len(orders) == 1


def test_augmentation_leaves_the_stored_images_alone():
    images = images_of(20)
    before = images.pixels.images.clone()
    for _ in images.shuffled(8, EVERYTHING, generators()):
        pass
    list(images.batches(8))
    assert torch.equal(images.pixels.images, before)


POLICIES = {"trivial": TrivialAugmentWide, "rand": RandAugment}


@pytest.mark.parametrize("policy", POLICIES)
def test_policy_is_torchvisions_on_each_image_by_itself(policy):
    source, seeds = torch.from_numpy(pixels(12, 20)), torch.arange(12) + 100
    changed = augment.apply(source, seeds, policy)
    for image, seed, seen in zip(source, seeds.tolist(), changed, strict=True):
        torch.manual_seed(seed)
        expected = np.asarray(POLICIES[policy]()(Image.fromarray(image.numpy())))
        assert np.array_equal(seen.numpy(), expected)
    alone = augment.apply(source[5:6], seeds[5:6], policy)
    assert torch.equal(alone[0], changed[5])


@pytest.mark.parametrize("policy", POLICIES)
def test_every_image_draws_its_own_policy_operation(policy):
    same = np.repeat(pixels(1, 16), 60, axis=0)
    images = Images(same, np.arange(60), list(range(60)), as_seen(16, **IDENTITY), CPU, NO_LIMIT)
    ((batch, _),) = images.shuffled(60, on(augment=policy), generators())
    assert len({image.numpy().tobytes() for image in grey(batch)}) > 15


def test_policy_leaves_torchs_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    seen = []
    for _ in images_of(8).shuffled(2, on(augment="trivial"), generators()):
        seen.append(torch.rand(1))  # as dropout draws between two batches
    assert torch.equal(torch.cat(seen), expected)


def test_policy_comes_before_flip_and_changes_nothing_else_drawn():
    flipped = [not np.array_equal(image.numpy(), pixels(40)[i])
               for i, image in sorted(epoch(on(flip=True)).items())]
    alone, both = (epoch(on(flip=flip, augment="trivial")) for flip in (False, True))
    for i, mirrored in enumerate(flipped):
        assert torch.equal(both[i], alone[i].flip(1) if mirrored else alone[i])


# What is drawn, and in how many ways an image may look

def test_draws_are_those_of_one_generator_in_a_fixed_order():
    draws, random = EVERYTHING.draw(50, generators(9)), generator(9)
    assert torch.equal(draws.order, torch.randperm(50, generator=random))
    for name, expected in (
            ("flip", torch.rand(50, generator=random) < 0.5),
            ("rotation", (2 * torch.rand(50, generator=random) - 1) * 15),
            ("crop_padding", (torch.rand(50, 2, generator=random) * 9).long()),
            ("augment", torch.randint(2**31, (50,), generator=random))):
        assert torch.equal(draws.drawn[name], expected)


def test_what_one_draws_does_not_depend_on_the_others():
    alone, together = (chain.draw(50, generators(9)) for chain in (on(augment="rand"), EVERYTHING))
    assert list(alone.drawn) == ["augment"]
    assert torch.equal(alone.drawn["augment"], together.drawn["augment"])


def test_variants_are_all_ways_in_which_an_image_may_look():
    source = torch.from_numpy(pixels(40))
    for chain, count in ((OFF, 1), (on(flip=True), 2)):
        assert chain.variants == count and chain.endless == []
        draws = chain.draw(40, generators())
        looks = torch.stack([chain.apply_variant(source, number) for number in range(count)])
        drawn = looks[chain.variant_of(draws), torch.arange(40)]
        assert torch.equal(drawn, chain.apply(source, draws, torch.arange(40)))
        assert chain.variant_of(draws).unique().tolist() == list(range(count))


def test_what_names_no_variants_is_endless():
    assert EVERYTHING.endless == ["augment", "rotation", "crop_padding"]


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Two more augmentations, each by its file alone: one turns by right angles and names its
    variants, the other inverts some colours and does not."""
    (tmp_path / "quarters.py").write_text("""
import torch
from unfreeze.params.knob import SWITCH, Knob
KNOBS = (Knob("quarters", False, SWITCH, "turn by right angles"),)
PLACE = 35
def draw(n, value, random):
    return torch.randint(4, (n,), generator=random)
def apply(images, drawn, value):
    return torch.stack([torch.rot90(image, k) for image, k in zip(images, drawn.tolist())])
def variants(value):
    return torch.arange(4)
""")
    (tmp_path / "invert.py").write_text("""
import torch
from unfreeze.params.knob import FRACTION, Knob
KNOBS = (Knob("invert", 0, FRACTION, "share of the images"),)
PLACE = 5
def draw(n, value, random):
    return torch.rand(n, generator=random) < value
def apply(images, drawn, value):
    return torch.where(drawn[:, None, None, None], 255 - images, images)
""")
    monkeypatch.setattr(augmentations, "__path__", [*augmentations.__path__, str(tmp_path)])
    yield
    for name in ("quarters", "invert"):
        sys.modules.pop(f"{augmentations.__name__}.{name}", None)


def test_an_augmentation_is_added_by_its_file(added):
    assert {"quarters", "invert", "flip"} <= set(augmentations.names())
    chain, source = on(quarters=True, flip=True), torch.from_numpy(pixels(40))
    assert chain.variants == 8 and chain.endless == []
    draws = chain.draw(40, generators())
    looks = torch.stack([chain.apply_variant(source, number) for number in range(8)])
    assert len({look.numpy().tobytes() for look in looks}) == 8
    assert torch.equal(looks[chain.variant_of(draws), torch.arange(40)],
                       chain.apply(source, draws, torch.arange(40)))
    assert on(invert=0.5, flip=True).endless == ["invert"]
    inverted = [np.array_equal(image.numpy(), 255 - pixels(40)[i])
                for i, image in epoch(on(invert=0.5)).items()]
    assert 8 <= sum(inverted) <= 32


def test_an_added_augmentation_changes_nothing_that_others_draw(added):
    asked = []

    def generators_of(name):
        asked.append(name)
        return generator(len(name))

    before, after = EVERYTHING.draw(50, generators_of), on(
        **EVERYTHING.values, quarters=True).draw(50, generators_of)
    assert asked == ["order", "order", "augmentation/quarters"]
    assert torch.equal(before.order, after.order)
    assert all(torch.equal(before.drawn[name], after.drawn[name]) for name in before.drawn)


def test_variants_that_leave_one_out_are_found_out(monkeypatch):
    monkeypatch.setattr(flip, "variants", lambda value: torch.tensor([False]))
    chain = on(flip=True)
    with pytest.raises(ValueError, match="flip: variants"):
        chain.variant_of(chain.draw(40, generators()))
