import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from unfreeze.data.reading.mixing import mix
from unfreeze.errors import UserError

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

CLASSES = 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=6, side=8):
    images = torch.randn(n, 3, side, side, generator=generator(1))
    return images.to(memory_format=torch.channels_last), torch.arange(n) % CLASSES


def one_image_one_colour(n=6, side=8):
    """Image i is i everywhere: what is seen tells whose pixel it is."""
    values = torch.arange(n, dtype=torch.float32)
    return values[:, None, None, None].expand(n, 3, side, side).clone(), torch.arange(n) % CLASSES


def own_weight(targets, labels):
    """The weight of each image's own label. With 6 images the first one's partner has the same."""
    return targets[torch.arange(len(labels)), labels]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1.0), (0.4, 1.0), (0, 0)])
def test_what_comes_out(mixup, cutmix):
    images, labels = batch()
    before, random = images.clone(), generator()
    for _ in range(20):
        mixed, targets = mix(images, labels, CLASSES, mixup, cutmix, random)
        assert mixed.shape == images.shape and mixed.dtype == torch.float32
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert targets.shape == (6, CLASSES) and targets.dtype == torch.float32
        assert targets.min() >= 0
        torch.testing.assert_close(targets.sum(1), torch.ones(6))
    assert torch.equal(images, before)


def test_off_changes_nothing():
    images, labels = batch()
    mixed, targets = mix(images, labels, CLASSES, 0, 0, generator())
    assert torch.equal(mixed, images)
    assert torch.equal(targets, torch.eye(CLASSES)[labels])


@pytest.mark.parametrize("n", [0, 1])
def test_a_batch_without_partners_is_left_unmixed(n):
    images, labels = batch(n)
    mixed, targets = mix(images, labels, CLASSES, 1.0, 1.0, generator())
    assert torch.equal(mixed, images) and torch.equal(targets, torch.eye(CLASSES)[labels])


def test_mixup_is_torchvisions_formula():
    images, labels = batch()
    mixed, targets = mix(images, labels, CLASSES, 1.0, 0, generator())
    weight = own_weight(targets, labels)[1].item()
    assert 0.01 < weight < 0.99
    theirs = v2.MixUp(alpha=1.0, num_classes=CLASSES)
    params = {"labels": labels, "lam": weight, "batch_size": len(labels)}
    torch.testing.assert_close(mixed, theirs.transform(images, params))
    torch.testing.assert_close(targets, theirs.transform(labels, params))


def test_cutmix_is_torchvisions_formula():
    images, labels = batch()
    mixed, targets = mix(images, labels, CLASSES, 0, 1.0, generator())
    y, x = (mixed != images).any(1)[0].nonzero().T
    box = (x.min().item(), y.min().item(), x.max().item() + 1, y.max().item() + 1)
    theirs = v2.CutMix(alpha=1.0, num_classes=CLASSES)
    params = {"labels": labels, "box": box, "batch_size": len(labels),
              "lam_adjusted": 1 - len(y) / 64}
    assert torch.equal(mixed, theirs.transform(images, params))
    torch.testing.assert_close(targets, theirs.transform(labels, params))


def test_cutmix_pastes_one_box_of_the_partner_and_weighs_by_its_true_area():
    images, labels = one_image_one_colour()
    random, areas = generator(), []
    for _ in range(50):
        mixed, targets = mix(images, labels, CLASSES, 0, 1.0, random)
        pasted = mixed != images
        assert torch.equal(mixed, torch.where(pasted, images.roll(1, 0), images))
        assert (pasted == pasted[0, 0]).all()  # one box for all images and channels
        y, x = pasted[0, 0].nonzero().T
        area = (y.max() - y.min() + 1) * (x.max() - x.min() + 1) if len(y) else 0
        assert area == len(y)  # a full rectangle
        torch.testing.assert_close(own_weight(targets, labels)[1:],
                                   torch.full((5,), 1 - len(y) / 64))
        areas.append(len(y))
    assert len(set(areas)) > 8


def test_cutmix_box_is_square_of_the_weights_area_and_anywhere():
    # Whole boxes, not cut off at the border, have sides int(S * sqrt(1 - weight) / 2) * 2.
    images, labels = one_image_one_colour(2, 16)
    random, covered = generator(), torch.zeros(16, 16)
    for _ in range(300):
        mixed, _ = mix(images, labels, CLASSES, 0, 1.0, random)
        pasted = (mixed != images)[0, 0]
        covered += pasted
        y, x = pasted.nonzero().T
        if len(y) and min(y.min(), x.min()) > 0 and max(y.max(), x.max()) < 15:
            side = y.max() - y.min() + 1
            assert side == x.max() - x.min() + 1 and side % 2 == 0
    assert covered.min() > 20
    assert covered[:8].sum() / covered.sum() == pytest.approx(0.5, abs=0.06)
    assert covered[:, :8].sum() / covered.sum() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_weights_follow_beta(alpha):
    images, labels = one_image_one_colour(2, 1)
    random = generator()
    weights = [own_weight(mix(images, labels, CLASSES, alpha, 0, random)[1], labels)[0].item()
               for _ in range(1000)]
    variance = 1 / (4 * (2 * alpha + 1))
    assert np.mean(weights) == pytest.approx(0.5, abs=4 * np.sqrt(variance / 1000))
    assert np.var(weights) == pytest.approx(variance, rel=0.15)


def test_cutmix_box_covers_what_the_weight_leaves():
    # So large an alpha draws weights near 1/2 only: half of the image, or less at the border.
    images, labels = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)]), torch.arange(2)
    random, kept = generator(), []
    for _ in range(200):
        _, targets = mix(images, labels, CLASSES, 0, 200.0, random)
        kept.append(own_weight(targets, labels)[0].item())
    assert min(kept) == pytest.approx(0.5, abs=0.08)
    assert max(kept) < 0.9  # a centre in a corner leaves a quarter of the box


def test_both_on_is_one_of_them_by_a_fair_coin():
    images, labels = one_image_one_colour()
    random, cut = generator(), 0
    for _ in range(200):
        mixed, _ = mix(images, labels, CLASSES, 1.0, 1.0, random)
        cut += bool(torch.isin(mixed, images).all())
    assert 70 <= cut <= 130  # a fair coin leaves this once in 50,000 seeds


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1.0), (0.4, 1.0)])
def test_generator_decides(mixup, cutmix):
    images, labels = batch()

    def run(seed):
        random = generator(seed)
        return torch.stack([mix(images, labels, CLASSES, mixup, cutmix, random)[0]
                            for _ in range(4)])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, other = run(1), run(2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)  # must not matter
    assert torch.equal(first, run(1)) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])  # each batch draws anew


@pytest.mark.parametrize("alphas", [{"mixup": -0.1, "cutmix": 0}, {"mixup": 0, "cutmix": -1},
                                    {"mixup": float("nan"), "cutmix": 0}])
def test_an_alpha_that_is_none_is_refused(alphas):
    with pytest.raises(UserError, match="allowed is"):
        mix(*batch(), CLASSES, **alphas, random=generator())
