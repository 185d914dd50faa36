"""What was measured, in Markdown."""

import statistics

NOT_MEASURED = "Not measured on a GPU yet."


def document(measured: dict[str, dict]) -> str:
    """The measured part of docs/gpu.md.

    Args:
        measured: {step: its content}, of benchmarks/gpu.json.
    """
    if not measured:
        return NOT_MEASURED + "\n"
    machine = next(iter(measured.values()))["machine"]
    lines = [f"On {describe(machine)}.", ""]
    for step, content in measured.items():
        lines += [f"### {_TITLES[step]}", ""]
        if content["machine"] != machine:
            lines += [f"On {describe(content['machine'])}.", ""]
        lines += [section(step, content), ""]
    return "\n".join(lines)


def describe(machine: dict[str, str]) -> str:
    """The card and the versions, in a line."""
    card = machine["device"] + (f" ({machine['memory']})" if "memory" in machine else "")
    return ", ".join([card, *(f"{name} {machine[name]}" for name in
                              ("driver", "python", "torch", "torchvision", "cuda", "cudnn")
                              if name in machine)])


def section(step: str, content: dict) -> str:
    """What a step found."""
    lines = _SECTIONS[step](content)
    if failed := content.get("failed"):
        lines += ["", "It failed:", "", "```", str(failed).strip(), "```"]
    return "\n".join(lines).strip()


def _tests(content: dict) -> list[str]:
    if "passed" not in content:
        return []
    said = [f"{len(content[word])} {word}" for word in ("passed", "failed", "skipped", "errors")]
    end = " Not all had their turn: no time was left." if content["stopped"] else ""
    lines = [f"{', '.join(said)}, in {content['seconds']:.0f} s.{end}"]
    for word in ("failed", "errors", "skipped"):
        lines += ["", *(f"- {word}: `{name}`" for name in content[word])] if content[word] else []
    return lines


def _determinism(content: dict) -> list[str]:
    answers = {True: "the same bytes", False: "**different**", None: "not shown"}
    return [f"- {what}: {answers[shown['same']]}"
            + (f" ({' '.join(shown['why'].split())[-400:]})" if shown.get("why") else "")
            for what, shown in content.get("shown", {}).items()]


def _throughput(content: dict) -> list[str]:
    rows = []
    for cell in content.get("cells", []):
        name = (cell["case"], cell["precision"], str(cell["batch_size"]))
        if "failed" in cell:
            rows.append((*name, "failed: " + _last_line(cell["failed"])[:200], *[""] * 6))
            continue
        rounds, memory = cell["images_per_second"], cell["memory_bytes"]
        waits = "; ".join(f"{place}: {times:g}" for place, times in cell["waits"].items())
        rows.append((
            *name, *(f"{statistics.median(each[side] for each in rounds):,.0f}"
                     for side in ("plain", "ours", "step")),
            *(_ratio([each["ours"] / each[side] for each in rounds]) for side in ("plain", "step")),
            f"{memory['ours'] / 1e9:.2f}", f"{memory['step'] / 1e9:.2f}", waits or "-"))
    lines = _table(("case", "precision", "batch", "plain (img/s)", "unfreeze (img/s)",
                    "ceiling (img/s)", "unfreeze / plain (min..max)", "/ ceiling (min..max)",
                    "peak memory (GB)", "of the ceiling (GB)", "waits for the device, a step"),
                   rows) if rows else []
    if compiled := content.get("compiled"):
        lines += ["", "The ceiling of the compiled model, with CUDA graphs:", "", *_table(
            ("case", "precision", "batch", "compiled (img/s)", "until it is compiled (s)"),
            [(each["case"], "failed: " + _last_line(each["failed"])[:200], "", "", "")
             if "failed" in each else
             (each["case"], each["precision"], str(each["batch_size"]),
              f"{statistics.median(each['images_per_second']):,.0f}",
              f"{each['until_compiled_seconds']:.0f}") for each in compiled])]
    if left := content.get("not_measured"):
        lines += ["", "No time was left for " + ", ".join(
            f"{case} in {precision} at batch {size}" for case, precision, size in left) + "."]
    return lines


def _several(content: dict) -> list[str]:
    cases = content.get("cases", [])
    if not cases:
        return []
    counts = list(cases[0]["images_per_second"])
    return _table(
        ("case", "precision", "batch", *(f"{count} at once (img/s)" for count in counts),
         *(f"{count} / 1" for count in counts[1:])),
        [(each["case"], each["precision"], str(each["batch_size"]),
          *(f"{speed:,.0f}" for speed in each["images_per_second"].values()),
          *(f"{each['images_per_second'][count] / each['images_per_second'][counts[0]]:.2f}"
            for count in counts[1:])) for each in cases])


def _published(content: dict) -> list[str]:
    if skipped := content.get("skipped"):
        return [f"Not run: {skipped}."]
    lines = []
    for study, progress in content.get("studies", {}).items():
        times = ", ".join(f"{run} {seconds:.0f} s" for run, seconds in progress["seconds"].items())
        lines += [f"- {study}, {progress['at_once']} runs at once: {times or 'none ended'}"]
        lines += [f"  - {run} failed: {' '.join(_last_line(log).split())[:300]}"
                  for run, log in progress["failed"].items()]
        if progress.get("not_run"):
            lines += [f"  - not ended: {', '.join(progress['not_run'])}"]
    return lines


_TITLES = {"tests": "Tests marked cuda", "determinism": "The same bytes",
           "throughput": "Throughput", "several": "Several runs at once",
           "published": "Studies at their published settings"}
_SECTIONS = {"tests": _tests, "determinism": _determinism, "throughput": _throughput,
             "several": _several, "published": _published}


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cells) + " |"

    return [line(header), "|" + "---|" * len(header), *map(line, rows)]


def _ratio(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1].replace("|", "/")
