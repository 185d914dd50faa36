"""A row for each run, before and after temperature scaling, and each bin of confidence with images:
how many over all seeds, their mean confidence and their accuracy, in percent."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "scaled", "bin", "images", "confidence", "accuracy")


def rows(outcome: Outcome) -> list[tuple]:
    table = []
    for run in outcome.runs.values():
        totals: dict[tuple[str, str], list[float]] = {}
        for row in run.calibration:
            if images := int(row["images"]):
                total = totals.setdefault((row["scaled"], row["bin"]), [0, 0.0, 0.0])
                total[0] += images
                total[1] += images * float(row["confidence"])
                total[2] += images * float(row["accuracy"])
        table += [(run.name, scaled, bin_, images, round(confidence / images, 4),
                   round(accuracy / images, 4))
                  for (scaled, bin_), (images, confidence, accuracy) in totals.items()]
    return table
