"""From the table of parts to what trains, and to parameter groups of an optimizer."""

from collections.abc import Iterable, Sequence
from itertools import chain

from unfreeze.errors import UserError
from unfreeze.models.facts import Model, is_within
from unfreeze.recipe import Knobs
from unfreeze.tuning import methods
from unfreeze.tuning.methods import norm
from unfreeze.tuning.rules import Row


def assign(model, rows: Sequence[Row]) -> dict[str, Row]:
    """Which row each parameter belongs to.

    Args:
        model: torch.nn.Module.
        rows: a table, as of `rules.phase_table`.

    Returns:
        {parameter's name: row}.

    Raises:
        ValueError: a parameter in no module or in two, or a module without any: a mistake in the
            family's file.
    """
    assigned = {}
    for name, _ in model.named_parameters():
        matching = [row for row in rows if is_within(name, [row.module])]
        if len(matching) != 1:
            raise ValueError(f"parameter {name} lies in {len(matching)} modules of PARTS, not one")
        assigned[name] = matching[0]
    unused = {row.module for row in rows} - {row.module for row in assigned.values()}
    if unused:
        raise ValueError(f"modules of PARTS without a parameter: {', '.join(sorted(unused))}")
    return assigned


def insert(model, tables: Sequence[Sequence[Row]], facts: Model, knobs: Knobs,
           image_size: int) -> None:
    """Add what the methods need to every block that trains in some phase.

    Args:
        model: torch.nn.Module, changed in place; new parameters from torch's global seed.
        tables: the rows of each phase.
        facts: of the model.
        knobs: of the run, with the methods' own.
        image_size: side in pixels of what the model sees.

    Raises:
        UserError: a method has no place in the model.
    """
    for name, modules in _blocks(chain(*tables)).items():
        methods.method(name).insert(model, modules, facts, knobs, image_size)


def merge(model, tables: Sequence[Sequence[Row]]) -> None:
    """Let every weight hold what methods add to it, in place: the parameters of the plain model are
    then what its layers compute with. Branches that are no part of a weight stay.

    Args:
        tables: the rows of each phase.
    """
    for name in _blocks(chain(*tables)):
        if merge := getattr(methods.method(name), "merge", None):
            merge(model)


def _blocks(rows: Iterable[Row]) -> dict[str, list[str]]:
    """{method: the blocks that it tunes}."""
    blocks: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.tune is not None:
            blocks.setdefault(row.tune, {})[row.module] = None
    return {name: list(modules) for name, modules in blocks.items()}


def freeze(model, rows: Sequence[Row]) -> None:
    """Set requires_grad of every parameter by its row and the row's method.

    Raises:
        UserError: a method finds nothing to train in its blocks.
    """
    assign(model, rows)
    wanted: set[str] = set()
    for name, modules in _blocks(rows).items():
        trained = methods.method(name).trained(model, modules)
        if not trained:
            raise UserError(f"tune: {name} finds nothing to train in {span(modules)}; use another "
                            "method, or freeze: last_only to train the head alone")
        wanted.update(trained)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in wanted)


def check_reached(model) -> None:
    """Has what methods added been reached by the gradients of a step, as far as it trains?

    Args:
        model: torch.nn.Module after `freeze` and one backward pass.

    Raises:
        UserError: some of it would never move: the model computes past the layer that it is in.
    """
    for path, module in methods.added(model):
        if any(parameter.requires_grad and parameter.grad is None
               for parameter in module.parameters()):
            raise UserError(f"tune: what it adds at {path} gets no gradient and would never move, "
                            "since the model does not call that layer; leave the layer out "
                            "(lora_layers), or use another method")


def parameter_groups(model, rows: Sequence[Row], lr: float, weight_decay: float,
                     decay_biases_and_norms: bool = True,
                     undecayed: Iterable[str] = ()) -> list[dict]:
    """One group for each learning rate and weight decay among the trainable parameters, for a
    torch optimizer.

    Args:
        rows: the table of the phase; `freeze` has been called with it.
        lr: of a row with lr_scale 1.
        weight_decay: of all that is trained, or of weights only.
        decay_biases_and_norms: False spares biases and the parameters of normalisation layers.
        undecayed: names of parameters that are spared besides.

    Returns:
        Groups that carry `base_lr`, what a schedule multiplies.
    """
    assigned = assign(model, rows)
    modules = [row.module for row in rows]
    spared = set(undecayed)
    if not decay_biases_and_norms:
        spared |= {name for name, owner, local in methods.parameters(model, modules)
                   if local.endswith("bias") or norm.is_norm(owner)}
    by_rate_and_decay: dict[tuple[float, float], list] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (assigned[name].lr_scale, 0.0 if name in spared else weight_decay)
            by_rate_and_decay.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "lr": lr * scale, "base_lr": lr * scale, "weight_decay": decay}
        for (scale, decay), parameters in by_rate_and_decay.items()
    ]


def table(model, rows: Sequence[Row]) -> list[tuple]:
    """What a person wants to see: a line for each part, more where its blocks differ.

    Returns:
        (part, its blocks in short, how they are tuned or "frozen", multiplier of the learning rate,
        number of parameters, how many of these train).
    """
    assigned = assign(model, rows)
    counts = {row.module: [0, 0] for row in rows}
    for name, parameter in model.named_parameters():
        count = counts[assigned[name].module]
        count[0] += parameter.numel()
        count[1] += parameter.numel() * parameter.requires_grad
    lines: dict[tuple, list[str]] = {}
    for row in rows:
        lines.setdefault((row.part, row.tune, row.lr_scale), []).append(row.module)
    return [
        (part, span(modules), tune or "frozen", scale,
         *(sum(counts[module][which] for module in modules) for which in (0, 1)))
        for (part, tune, scale), modules in lines.items()
    ]


def span(modules: list[str]) -> str:
    """`features.14 ... features.18` for a long list of modules."""
    return " ".join(modules) if len(modules) < 3 else f"{modules[0]} ... {modules[-1]}"
