"""Which run to take under the budget, and what else could be taken."""

from unfreeze.data.acquire.cards import majority
from unfreeze.reporting.document import Inline, Items, Section, Strong, line, listed
from unfreeze.reporting.sections.common import accuracy_text, changes_text, percent
from unfreeze.reporting.study import Study
from unfreeze.words import count, quantity

Row = dict[str, str]
Item = tuple[Inline, ...]


def section(study: Study) -> Section:
    rows = [row for row in study.rows["recommendation"] if row["run"] not in study.failed]
    costs = study.quantities
    budget = "; ".join(f"at most {quantity(limit, costs[cost].unit)} ({costs[cost].text})"
                       for cost, limit in study.plan.budget.items())
    best = next((row for row in rows if row["best"] == "yes"), None)
    items: list[Item] = []
    if best:
        items += _chosen(study, rows, best, " within the budget" if budget else "")
    elif rows:
        items.append((Strong("No run is within the budget."),))
    else:
        items.append((Strong("No run has finished."),))
    items += _over(rows, best)
    items += [(Strong(row["run"]), f": {row['note']}.") for row in rows if row["note"]]
    items += [(Strong(run), f" failed: {why}.") for run, why in study.failed.items()]
    return Section("Recommendation", [
        line(f"Budget: {budget}." if budget else
             "No budget is set (`budget:` in params.yaml), so any cost will do."), Items(items)])


def _over(rows: list[Row], best: Row | None) -> list[Item]:
    """The runs over the budget, of which those are named that would be better."""
    over = [row for row in rows if row["within_budget"] == "no"]
    better = [f"{row['run']} ({percent(row['accuracy'])} %; {row['over']})" for row in over
              if not best or float(row["accuracy"]) > float(best["accuracy"])]
    some = f"{count(len(over), 'run')}; with a higher accuracy: " if best else ""
    return [(f"Over the budget: {some}", *listed(better or ["none"], "; "), ".")] if over else []


def _chosen(study: Study, rows: list[Row], best: Row, within: str) -> list[Item]:
    """The recommended run, why it is, and what it is chosen from.

    Args:
        rows: of tables/recommendation.csv; best: the one with the highest accuracy. within: the
            budget, in words.
    """
    chosen = next(row for row in rows if row["recommended"] == "yes")
    tied = [row for row in rows if row["tied"] == "yes" and row is not best]
    items: list[Item] = [
        ("Take ", Strong(chosen["run"]),
         f" ({changes_text(study.plan.runs[chosen['run']].changes)}): ",
         accuracy_text(study, chosen), f", {_seconds(chosen)} of training, "
         f"{quantity(float(chosen['parameters_trainable']), 'parameters')} trained."),
        ("Why: ", _why(study, rows, chosen, best, tied, within))]
    items += _unequal(study, chosen["run"])
    if chosen is not best:
        items.append((f"Highest accuracy{within}: ", Strong(best["run"]), ", ",
                      accuracy_text(study, best), f", {_seconds(best)}."))
    if tied:
        names = [f"{row['run']} ({percent(row['accuracy'])} %, {_seconds(row)})" for row in tied]
        items.append((f"Not distinguishable from {best['run']}: ", *listed(names), "."))
    return items


def _unequal(study: Study, run: str) -> list[Item]:
    """What the accuracy of a run is to be held against where classes are unequal."""
    card = study.cards.get(study.plan.runs[run].knobs["dataset"])
    largest = card and majority(card["classes"], card["counts"]["test"])
    if not largest:
        return []
    name, share = largest
    mean = next((row["mean"] for row in study.rows["scores"]
                 if (row["run"], row["metric"]) == (run, "balanced_accuracy")), None)
    return [(Strong("Unequal classes"),
             f": to answer {name} always is right for {quantity(100 * share, '%')} of the test "
             f"images, with a balanced accuracy of {quantity(100 / len(card['classes']), '%')}"
             f"{f'; that of {run} is {percent(mean)} %' if mean else ''}.")]


def _why(study: Study, rows: list[Row], chosen: Row, best: Row, tied: list[Row],
         within: str) -> str:
    if sum(row["within_budget"] == "yes" for row in rows) == 1:
        why = f"it is the only run{within}{' that finished' if study.failed else ''}."
    elif not tied:
        why = (f"it has the highest accuracy{within}, and no other run{within} that could be "
               "compared with it is tied with it.")
    elif chosen is best:
        why = (f"it has the highest accuracy{within}, and it is the cheapest of the "
               f"{len(tied) + 1} runs that are not distinguishable by their accuracy.")
    else:
        why = (f"it is the cheapest of {len(tied) + 1} runs{within}: {best['run']}, which has the "
               "highest accuracy, and those not distinguishable from it by their accuracy.")
    if tied:
        why += (" Cheapest: the least training time, or fewer trained parameters where that "
                "differs by less than 10 %.")
    return why


def _seconds(row: Row) -> str:
    return quantity(float(row["seconds"]), "s")
