import copy

import pytest
import torch
import torch.nn.functional as F

from unfreeze.training import loop, schedules
from unfreeze.training.devices import Device
from unfreeze.training.memory import MicroBatches
from unfreeze.training.randomness import counter, generator

torch.set_num_threads(1)  # on tiny tensors more threads only wait for one another

CPU = Device(torch.device("cpu"), "fp32", "test")
KNOBS = {"lr": 0.1, "momentum": 0.9, "optimizer": "sgd"}
PHASE = {"gamma": 0.8, "epochs": 7, "warmup_epochs": 0}


def rates(make, epochs):
    """Learning rates of a torch scheduler, stepped once an epoch, over a rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, seen = make(optimizer), []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("epochs", [1, 2, 7])
@pytest.mark.parametrize(("name", "make"), [
    ("cosine", lambda o, n: torch.optim.lr_scheduler.CosineAnnealingLR(o, n)),
    ("exponential", lambda o, n: torch.optim.lr_scheduler.ExponentialLR(o, 0.8)),
    ("constant", lambda o, n: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
])
def test_schedule_is_torchs(name, make, epochs):
    phase = PHASE | {"schedule": name, "epochs": epochs}
    expected = rates(lambda optimizer: make(optimizer, epochs), epochs)
    multipliers = [schedules.multiplier(phase, epoch) for epoch in range(epochs)]
    assert multipliers == pytest.approx(expected)


def full_rates(phase, steps):
    warmup = phase["warmup_epochs"]
    return [schedules.multiplier(phase, epoch) * loop.warmup(warmup, epoch, step, steps)
            for epoch in range(phase["epochs"]) for step in range(steps)]


@pytest.mark.parametrize(("warmup", "steps"), [(1, 1), (1, 5), (3, 4)])
def test_warmup_is_torchs_step_by_step(warmup, steps):
    total = warmup * steps
    expected = rates(lambda optimizer: torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1 / total, total_iters=total - 1), total)
    phase = PHASE | {"schedule": "constant", "epochs": 5, "warmup_epochs": warmup}
    found = full_rates(phase, steps)
    assert found[:total] == pytest.approx(expected)
    assert found[0] == 1 / total and set(found[total - 1:]) == {1.0}


@pytest.mark.parametrize("name", ["cosine", "exponential", "constant"])
def test_schedule_starts_when_warmup_ends(name):
    phase = PHASE | {"schedule": name, "epochs": 6, "warmup_epochs": 2}
    rest = PHASE | {"schedule": name, "epochs": 4}
    assert full_rates(phase, 3)[6:] == full_rates(rest, 3)
    assert full_rates(rest, 3)[0] == 1.0  # without warm-up, from the first step


@pytest.mark.parametrize(("name", "kind", "momentum"), [
    ("sgd", torch.optim.SGD, {"momentum": 0.9}), ("adam", torch.optim.Adam, {}),
    ("adamw", torch.optim.AdamW, {})])
def test_optimizer_steps_as_torchs(name, kind, momentum):
    start = torch.randn(50, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    group = {"params": [ours], "lr": 0.05, "base_lr": 0.05, "weight_decay": 0.1}
    pairs = [(loop.make_optimizer([group], KNOBS | {"optimizer": name}), ours),
             (kind([theirs], lr=0.05, weight_decay=0.1, fused=False, **momentum), theirs)]
    for optimizer, parameter in pairs:
        assert type(optimizer) is kind
        for _ in range(5):
            optimizer.zero_grad()
            (parameter ** 3).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.equal(ours, start)


def batches(sizes=(4, 4, 5)):
    random = torch.Generator().manual_seed(0)
    return [(torch.randn(n, 6, generator=random), torch.randint(0, 3, (n,), generator=random))
            for n in sizes]


def epoch(model, given=None, lr=0.5, **step):
    """An epoch of plain SGD; the loss and the accuracy."""
    return loop.train_epoch(model, torch.optim.SGD(model.parameters(), lr=lr),
                            batches() if given is None else given, CPU, loop.Step(**step),
                            lambda: None)


def linear(bias=True):
    torch.manual_seed(0)
    return torch.nn.Linear(6, 3, bias=bias)


@pytest.mark.parametrize("sizes", [(4, 4, 4, 4), (4, 4, 5), (4, 4, 4, 4, 2), (3, 8, 2)])
def test_accumulated_batches_are_one_large_batch(sizes):
    small, ticks = batches(sizes), []
    joined = [tuple(map(torch.cat, zip(*small[i:i + 2], strict=True)))
              for i in range(0, len(small), 2)]
    one, other = linear(), linear()
    steps = [[], []]
    first = epoch(one, small, accumulate=2, label_smoothing=0.1, rate=steps[0].append,
                  after=lambda: ticks.append(1))
    second = epoch(other, joined, label_smoothing=0.1, rate=steps[1].append)
    assert first == pytest.approx(second)
    assert steps[0] == steps[1] == list(range(len(joined))) and len(ticks) == len(joined)
    torch.testing.assert_close(one.weight, other.weight)
    torch.testing.assert_close(one.bias, other.bias)
    assert not torch.equal(one.weight, linear().weight)


@pytest.mark.parametrize("norm", [0.01, 0.1, 1000])
def test_gradient_is_cut_down_to_its_largest_norm(norm):
    before, after, plain = linear(), linear(), linear()
    given = batches((4,))
    epoch(after, given, lr=1.0, clip_norm=norm)
    epoch(plain, given, lr=1.0)

    def change(model):  # one step of SGD at rate 1 is the gradient
        return torch.cat([(p - q).flatten().detach() for p, q in
                          zip(model.parameters(), before.parameters(), strict=True)])

    whole = change(plain).norm()
    assert change(after).norm().item() == pytest.approx(min(norm, whole.item()), rel=1e-4)
    torch.testing.assert_close(change(after) / change(after).norm(), change(plain) / whole)


def test_what_happens_at_a_step_has_its_order():
    model, seen = linear(), []

    def look(name):
        seen.append((name, model.weight.grad is not None, model.weight.sum().item()))

    start = model.weight.sum().item()
    epoch(model, batches((4, 4)), accumulate=2, rate=lambda step: look(f"rate {step}"),
          mix=lambda images, labels: (look("mix"), (images, labels))[1],
          pull=lambda: look("pull"), after=lambda: look("after"))
    names, has_gradient, sums = zip(*seen, strict=True)
    assert names == ("rate 0", "mix", "mix", "pull", "after")
    assert has_gradient == (False, False, False, True, False)
    assert set(sums[:-1]) == {start} and sums[-1] != start


def test_pull_comes_before_clipping():
    model = linear()
    before = model.weight.detach().clone()
    epoch(model, batches((4,)), lr=1.0, clip_norm=0.5,
          pull=lambda: [p.grad.fill_(100.0) for p in model.parameters()])
    size = 0.5 / (model.weight.numel() + model.bias.numel()) ** 0.5
    torch.testing.assert_close(model.weight, before - size, rtol=1e-4, atol=1e-6)


def test_mixed_targets_reach_the_loss_and_accuracy_counts_the_first_label():
    model, (given,) = linear(), batches((6,))
    targets = torch.rand(6, 3, generator=torch.Generator().manual_seed(1)).softmax(1)
    loss, accuracy = epoch(copy.deepcopy(model), [given], mix=lambda x, y: (2 * x, targets))
    logits = model(2 * given[0])
    assert loss == pytest.approx(-(targets * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == given[1]).double().mean().item()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_epoch_reports_and_steps_as_a_plain_loop(smoothing):
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 3)
    other = copy.deepcopy(model)
    ticks = []
    loss, accuracy = loop.train_epoch(model, torch.optim.SGD(model.parameters(), lr=0.5),
                                      batches(), CPU, loop.Step(label_smoothing=smoothing),
                                      lambda: ticks.append(1))
    losses, hits = [], []
    for images, labels in batches():
        logits = other(images)
        each = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
        other.zero_grad()
        each.mean().backward()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter -= 0.5 * parameter.grad
        losses += each.tolist()
        hits += (logits.argmax(1) == labels).tolist()
    assert loss == pytest.approx(sum(losses) / 13, rel=1e-5)  # a mean over images, not batches
    assert accuracy == sum(hits) / 13 and len(ticks) == 3
    for mine, plain in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, plain)


def test_epoch_starts_from_no_gradient_and_leaves_none():
    model = torch.nn.Linear(6, 3)
    epoch(model)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_predict_is_in_eval_mode_and_in_order():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.9),
                                torch.nn.Linear(6, 3))
    before = copy.deepcopy(model.state_dict())
    logits = loop.predict(model.train(), batches(), CPU)
    with torch.no_grad():
        expected = model.eval()(torch.cat([images for images, _ in batches()]))
    torch.testing.assert_close(logits, expected)
    assert logits.dtype == torch.float32 and logits.shape == (13, 3)
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in before)


def test_randomness_is_a_function_of_its_key():
    keys = [(seed, purpose, epoch) for seed in (1, 11, 42) for purpose in ("order", "dropout")
            for epoch in (0, 1, 11)]
    assert len({counter(*key) for key in keys}) == len(keys)
    assert counter(1, 11) != counter(11, 1)  # not the same digits
    assert all(0 <= counter(*key) < 2**63 for key in keys)
    assert torch.equal(torch.rand(5, generator=generator(1, "order", 0)),
                       torch.rand(5, generator=generator(1, "order", 0)))


def test_balanced_weights_let_each_class_count_as_much():
    labels = torch.tensor([0, 0, 0, 1, 3, 3])
    weights = loop.balanced(labels, 4)
    assert weights[labels].mean() == 0.75  # of four classes one has no image
    assert torch.allclose(weights, torch.tensor([6 / 12, 6 / 4, 6 / 4, 6 / 8]))
    of_class = [weights[labels][labels == label].sum().item() for label in (0, 1, 3)]
    assert of_class == pytest.approx([1.5] * 3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", ["labels", "mixed"])
def test_weighted_step_is_that_of_classes_of_equal_size(smoothing, targets):
    """However the batch is divided: the loss is the mean over the classes of theirs, where every
    image has one label alone."""
    torch.manual_seed(0)
    images, labels = torch.randn(12, 3, 4, 4), torch.tensor([0] * 7 + [1] * 3 + [2] * 2)
    weights, start = loop.balanced(labels, 3), torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(48, 3))
    mix = {} if targets == "labels" else {"mix": lambda images, labels: (
        images, 0.7 * F.one_hot(labels, 3) + 0.3 * F.one_hot(labels.flip(0), 3).float())}

    def step(divided):
        model = copy.deepcopy(start)
        optimizer = loop.make_optimizer(
            [{"params": list(model.parameters()), "lr": 1.0, "base_lr": 1.0}], KNOBS)
        micro = MicroBatches(model)
        micro.count = divided
        loss, _ = loop.train_epoch(
            model, optimizer, [(images, labels)], CPU, loop.Step(
                class_weights=weights, label_smoothing=smoothing, **mix), lambda: None, micro)
        return loss, list(model.parameters())

    (loss, whole), (parts_loss, parts) = step(1), step(4)
    assert parts_loss == pytest.approx(loss, rel=1e-5)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    if targets == "labels" and not smoothing:
        of_classes = [F.cross_entropy(start(images[labels == label]), labels[labels == label])
                      for label in range(3)]
        expected = sum(of_classes) / 3
        assert loss == pytest.approx(expected.item(), rel=1e-5)
        gradients = torch.autograd.grad(expected, list(start.parameters()))
        for parameter, gradient, after in zip(start.parameters(), gradients, whole, strict=True):
            torch.testing.assert_close(after, parameter - gradient, rtol=1e-5, atol=1e-6)
