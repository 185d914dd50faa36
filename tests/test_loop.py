import copy

import pytest
import torch
import torch.nn.functional as F

from unfreeze.training import loop
from unfreeze.training.devices import Device
from unfreeze.training.randomness import counter, generator

CPU = Device(torch.device("cpu"), False, "test")
KNOBS = {"lr": 0.1, "momentum": 0.9, "gamma": 0.8, "epochs": 7, "optimizer": "sgd"}


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
    knobs = KNOBS | {"schedule": name, "epochs": epochs}
    expected = rates(lambda optimizer: make(optimizer, epochs), epochs)
    assert [loop.schedule(knobs, epoch) for epoch in range(epochs)] == pytest.approx(expected)


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


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_epoch_reports_and_steps_as_a_plain_loop(smoothing):
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 3)
    other = copy.deepcopy(model)
    ticks = []
    loss, accuracy = loop.train_epoch(model, torch.optim.SGD(model.parameters(), lr=0.5),
                                      batches(), CPU, smoothing, lambda: ticks.append(1))
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
    loop.train_epoch(model, torch.optim.SGD(model.parameters(), lr=0.5), batches(), CPU, 0.0,
                     lambda: None)
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
