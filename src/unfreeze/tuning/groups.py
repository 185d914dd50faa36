"""From the table of parts to parameter groups of an optimizer.

What depends on it: training/.
"""

from collections.abc import Iterable


def assign(model, rows: list[dict]) -> dict[str, dict]:
    """Which row each parameter belongs to.

    Args:
        model: torch.nn.Module.
        rows: of `rules.part_table`.

    Returns:
        {parameter's name: row}.

    Raises:
        ValueError: a parameter in no module or in two, or a module without any: a mistake in the
            family's file.
    """
    assigned = {}
    for name, _ in model.named_parameters():
        matching = [row for row in rows if name.startswith(f"{row['module']}.")]
        if len(matching) != 1:
            raise ValueError(f"parameter {name} lies in {len(matching)} modules of PARTS, not one")
        assigned[name] = matching[0]
    unused = {row["module"] for row in rows} - {row["module"] for row in assigned.values()}
    if unused:
        raise ValueError(f"modules of PARTS without a parameter: {', '.join(sorted(unused))}")
    return assigned


def freeze(model, rows: list[dict]) -> None:
    """Set requires_grad of every parameter by its row."""
    assigned = assign(model, rows)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(assigned[name]["trainable"])


def parameter_groups(model, rows: list[dict], lr: float, weight_decay: float) -> list[dict]:
    """One group for each learning rate among the trainable parameters, for a torch optimizer.

    Each group carries `base_lr`, what a schedule multiplies.
    """
    assigned = assign(model, rows)
    by_scale: dict[float, list] = {}
    for name, parameter in model.named_parameters():
        if assigned[name]["trainable"]:
            by_scale.setdefault(assigned[name]["lr_scale"], []).append(parameter)
    return [
        {"params": parameters, "lr": lr * scale, "base_lr": lr * scale,
         "weight_decay": weight_decay}
        for scale, parameters in by_scale.items()
    ]


HEADER = ("part", "modules", "trainable", "lr", "weight_decay", "parameters")


def table(model, rows: list[dict], lr: float, weight_decay: float) -> list[tuple]:
    """What a person wants to see: a line for each part, two where its modules differ.

    Returns:
        Tuples in the order of HEADER; lr and weight decay are 0 where frozen.
    """
    assigned = assign(model, rows)
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        module = assigned[name]["module"]
        counts[module] = counts.get(module, 0) + parameter.numel()
    lines: dict[tuple, list[str]] = {}
    for row in rows:
        lines.setdefault((row["part"], row["trainable"], row["lr_scale"]), []).append(row["module"])
    return [
        (part, span(modules), trainable, lr * scale, weight_decay if trainable else 0.0,
         sum(counts[module] for module in modules))
        for (part, trainable, scale), modules in lines.items()
    ]


def span(modules: list[str]) -> str:
    """`features.14 ... features.18` for a long list of modules."""
    return " ".join(modules) if len(modules) < 3 else f"{modules[0]} ... {modules[-1]}"


def as_text(lines: Iterable[tuple]) -> str:
    """The table with aligned columns."""
    cells = [HEADER, *((part, modules, "yes" if trainable else "frozen", f"{lr:g}", f"{decay:g}",
                        f"{count:,}") for part, modules, trainable, lr, decay, count in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )
