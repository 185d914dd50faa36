"""What was asked, which runs cannot be told apart, which to take, and how sure that is."""

import shlex
from pathlib import PurePosixPath

from unfreeze import places
from unfreeze.data.acquire.cards import majority
from unfreeze.reporting import cells
from unfreeze.reporting.document import (
    Block,
    Code,
    Items,
    Paragraph,
    Parts,
    Section,
    Strong,
    line,
    listed,
)
from unfreeze.reporting.sections.common import (
    changes_text,
    difference,
    in_words,
    score_text,
    settings_of,
)
from unfreeze.reporting.study import Rows, Study
from unfreeze.words import count, interval, quantity, share

Row = dict[str, str]


def section(study: Study) -> Section:
    measured = study.measured_budget
    blocks = advice(study, study.rows, {cost: limit for cost, limit in study.plan.budget.items()
                                        if cost not in measured})
    if measured:
        limits = ", ".join(
            f"{cost}: {quantity(study.plan.budget[cost], study.quantities[cost].unit)}"
            for cost in measured)
        blocks.append(line(f"Left out here is what has to be measured ({limits}), and so is "
                           "different on another machine: ", Code(str(places.PAGE)),
                           " judges by the whole budget."))
    return Section("Recommendation", blocks)


def advice(study: Study, tables: dict[str, Rows], budget: dict[str, float],
           short: bool = False) -> list[Block]:
    """The recommendation that tables hold, those of plots/tables or those of _made/measured.

    Args:
        tables: with `recommendation` and `further`. budget: {cost: at most}, what they have been
            judged by. short: without what does not depend on the budget.
    """
    rows = [row for row in tables["recommendation"] if row["run"] not in study.failed]
    within = [row for row in rows if row["within_budget"] == "yes" and row["loss"]]
    chosen = next((row for row in rows if row["recommended"] == "yes"), None)
    best = next((row for row in rows if row["best"] == "yes"), None)
    blocks: list[Block] = [_asked(study, budget)]
    items: list[Parts] = []
    if chosen and best:
        blocks.append(_told_apart(study, within, best))
        items += [_taken(study, chosen), _why(study, within, chosen)]
        items += [*_best(study, chosen, best), *_edge(study, chosen["run"])]
        if not short:
            items += [_evidence(study, within, chosen), *_reach(study)]
        items += _further(study, tables["further"])
        items += [*_guessing(study, chosen), *_unequal(study, chosen["run"])]
        if not short:
            items.append(_use(study))
    elif rows:
        blocks.append(line(Strong("No run is within the budget.")))
    else:
        blocks.append(line(Strong("No run has finished.")))
    items += _over(study, rows)
    if not short:
        items += [(Strong(row["run"]), f": {row['note']}.") for row in rows if row["note"]]
        items += [(Strong(run), f" failed: {why}.") for run, why in study.failed.items()]
    return [*blocks, *([Items(items)] if items else [])]


def _asked(study: Study, budget: dict[str, float]) -> Paragraph:
    limits = "; ".join(f"at most {quantity(limit, study.quantities[cost].unit)} "
                       f"({study.quantities[cost].text})" for cost, limit in budget.items())
    least = "lowest" if study.score.better == "lower" else "highest"
    under = f" within the budget: {limits}." if limits else ", whatever it costs."
    return line(f"Asked: which of {count(len(study.plan.runs), 'run')} has the {least} "
                f"{study.score.text} on {' and '.join(study.dataset_names)}{under}")


def _told_apart(study: Study, within: Rows, best: Row) -> Paragraph:
    """Whether there is one best run at all, before anything is advised."""
    tied = [row for row in within if row["tied"] == "yes" and _may_be_best(row)]
    if len(within) == 1:
        one = "one run" if len(study.plan.runs) == 1 else "one run within the budget"
        return line(f"There is but {one} to choose from: ", Strong(best["run"]), ".")
    if len(tied) > 1:
        of_all = f"{len(tied)} of the {len(within)}" if len(tied) < len(within) else "The"
        tied.sort(key=lambda row: -float(row["chance"]))
        return line(Strong(f"{of_all} runs cannot be told apart"),
                    ": the best may be ", _or([
                        f"{row['run']} (with a chance of {_chance(row)})" if place == 0 else
                        f"{row['run']} ({_chance(row)})" for place, row in enumerate(tied)]), ".")
    others = "the other" if len(within) == 2 else f"all {len(within) - 1} others"
    if sum(row["tied"] == "yes" for row in within) > 1:
        return line(Strong(f"{best['run']} is probably the best"), f", with a chance of "
                    f"{_chance(best)}: {others} may be, but hardly.")
    return line(Strong(f"{best['run']} is ahead of {others}"),
                " by more than chance explains.")


def _may_be_best(row: Row) -> bool:
    """Whether that is worth naming."""
    return float(row["chance"]) >= 0.01 or row["best"] == "yes"


def _chance(row: Row) -> str:
    """Of being the best; nothing here is certain."""
    chance = float(row["chance"])
    return "over 99 %" if chance > 0.99 else "under 1 %" if chance < 0.01 else share(
        round(chance, 2))


def _taken(study: Study, chosen: Row) -> Parts:
    name, unit = chosen["run"], study.score.unit
    expected = quantity(float(chosen["expected"]), unit)
    article = "an" if study.score.text[0] in "aeio" else "a"
    ends = interval(float(chosen["expected_low"]), float(chosen["expected_high"]), unit)
    if _test_chose(study):
        why = (f": it had {score_text(study, name)} on the test images, and what comes out on top "
               "has had luck, too")
    else:
        why = ", as on the test images, which had no part in choosing it"
    return ("Take ", Strong(name), f" ({_settings(study, name)}). Expect {article} "
            f"{study.score.text} of {expected} (95 % interval {ends}){why}. It costs "
            f"{in_words(study, chosen, 'operations')} of training and trains "
            f"{in_words(study, chosen, 'parameters_trainable')}.")


def _test_chose(study: Study) -> bool:
    return study.rows["evidence"][0]["chosen_by"] == "test"


def _settings(study: Study, run: str) -> str:
    return f"{changes_text(study.plan.runs[run].changes)}; {settings_of(study, run)}"


def _why(study: Study, within: Rows, chosen: Row) -> Parts:
    margin = difference(study, study.plan.margin)
    enough = [row for row in within if row["enough"] == "yes"]
    by = "test" if _test_chose(study) else "validation"  # which may say otherwise than each other
    if len(within) == 1:
        why = "there is no other"
    elif len(enough) == 1:
        why = (f"by {by} images every other run is expected to be more than {margin} (the margin) "
               "behind it")
    else:
        why = (f"it is the cheapest (in operations of training) of the {len(enough)} runs that are "
               f"expected, by {by} images, to be at most {margin} (the margin) behind the best")
    return (f"Why: {why}. How sure: against the run that is best in truth it is expected to lose "
            f"{difference(study, chosen['loss'])}; with a chance of "
            f"{_chance(chosen)} it is that run.")


def _best(study: Study, chosen: Row, best: Row) -> list[Parts]:
    if chosen is best:
        return []
    return [("If only the score counts, take ", Strong(best["run"]),
             f" ({_settings(study, best['run'])}): {score_text(study, best['run'])}, "
             f"{in_words(study, best, 'operations')}; the chance that it is the best is "
             f"{_chance(best)}.")]


def _edge(study: Study, run: str) -> list[Parts]:
    """Where its settings may be better still than those that were tried."""
    edges = next((row["edges"] for row in study.rows["choices"] if row["run"] == run), "")
    return [("Its settings lie at the end of what was tried: ", f"{edges}.")] if edges else []


def _evidence(study: Study, within: Rows, chosen: Row) -> Parts:
    (row,) = study.rows["evidence"]
    seeds = count(int(row["seeds"]), "search seed" if row["knob"] == "search_seeds" else "seed")
    here = (" Seeds tell nothing here, so all this is about these trained models and no others."
            if row["here"] == "yes" else "")
    return (f"How chosen: {row['why']} ({count(int(row['images']), 'image')}, {seeds} a run)."
            f"{_better_on_test(study, within, chosen)}{here}",)


def _better_on_test(study: Study, within: Rows, chosen: Row) -> str:
    """Why it is not the first of the table of all runs."""
    sign = -1 if study.score.better == "lower" else 1
    best = max(within, key=lambda row: sign * float(row["score"]), default=chosen)
    if _test_chose(study) or sign * float(best["score"]) <= sign * float(chosen["score"]):
        return ""
    return (f" On test images {best['run']} did better: {score_text(study, best['run'])}; to "
            "choose by that would flatter what is chosen.")


def _reach(study: Study) -> list[Parts]:
    """What the study could have shown at all."""
    if not study.rows["reach"]:
        return []
    (row,) = study.rows["reach"]
    low, high = row["seeds_low"], row["seeds_high"]
    seeds = (count(int(low), "seed") if low == high else f"{low} to {high} seeds" if high else
             f"at least {count(int(low), 'seed')}") if low else ""
    return [("A difference between two runs would probably have been shown from about "
             f"{difference(study, row['difference'])} on (in 80 of 100 such studies); one of "
             f"{difference(study, row['worth'])} (", Code("worth"),
             f") would take {seeds} a run." if seeds else ") is beyond more seeds alone.")]


def _further(study: Study, rows: Rows) -> list[Parts]:
    """What more seeds would bring, in one line; nothing where next to nothing is left to win.

    Args:
        rows: of a table further.csv, all of the same knob and runs.
    """
    if not rows or cells.number(rows[0]["loss_now"], _decimals(study)).text.strip("0.") == "":
        return []
    losses = [cells.number(row["loss"], _decimals(study)).text for row in rows]
    now = difference(study, rows[0]["loss_now"])
    prices = [quantity(float(row["operations"]), "operations").removesuffix(" operations")
              for row in rows]
    time = [quantity(float(row["seconds"]), "s") for row in rows if row.get("seconds")]
    return [("To know better: with ", _or([row["number"] for row in rows]), " ",
             Code(rows[0]["knob"]), " for ", *listed(rows[0]["runs"].split()),
             f" the loss to expect of what then looks best would go from {now} to {_or(losses)}, "
             f"for {_or(prices)} operations{f' ({_or(time)})' if time else ''} more.")]


def _decimals(study: Study) -> int:
    return cells.decimals(study.score.unit)


def _or(texts: list[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def _use(study: Study) -> Parts:
    """How one gets at the model."""
    folder = PurePosixPath(study.folder)
    name = shlex.quote(folder.name if folder.parent == PurePosixPath("studies") else study.folder)
    return ("To use it: ", Code(f"unfreeze predict {name} PHOTOS"), " names the class of photos, ",
            Code(f"unfreeze export {name} --to FOLDER"), " takes the model elsewhere.")


def _over(study: Study, rows: Rows) -> list[Parts]:
    """The runs over the budget, of which those are named that would be better."""
    over = [row for row in rows if row["within_budget"] == "no"]
    better = [f"{row['run']} ({quantity(float(row['score']), study.score.unit)}; {row['over']})"
              for row in over if row["behind"] and float(row["behind"]) < 0]
    if not over:
        return []
    names = listed(better, "; ") if better else ("none that would be better",)
    return [(f"Over the budget: {count(len(over), 'run')}: " if better else
             f"Over the budget: {count(len(over), 'run')}, ", *names, ".")]


def _guessing(study: Study, chosen: Row) -> list[Parts]:
    """Whether a run may be no better than to give one answer always."""
    card = study.cards.get(study.plan.runs[chosen["run"]].knobs["dataset"])
    if not card or study.plan.score != "accuracy":
        return []
    of_class = card["counts"]["test"]
    most = max(of_class)
    part = 100 * most / sum(of_class)
    if float(chosen["expected_low"]) > part:
        return []
    return [(Strong("Hardly better than guessing"),
             f": always to answer {card['classes'][of_class.index(most)]} is right for "
             f"{quantity(part, '%')} of the test images, and the interval holds that.")]


def _unequal(study: Study, run: str) -> list[Parts]:
    """What the accuracy of a run is to be held against where classes are unequal."""
    card = study.cards.get(study.plan.runs[run].knobs["dataset"])
    largest = card and majority(card["classes"], card["counts"]["test"])
    if not largest:
        return []
    name, part = largest
    mean = next((row["mean"] for row in study.rows["scores"]
                 if (row["run"], row["metric"]) == (run, "balanced_accuracy")), None)
    that = f"; that of {run} is {quantity(float(mean), '%')}" if mean else ""
    return [(Strong("Unequal classes"),
             f": to answer {name} always is right for {quantity(100 * part, '%')} of the test "
             f"images, with a balanced accuracy of {quantity(100 / len(card['classes']), '%')}"
             f"{that}.")]
