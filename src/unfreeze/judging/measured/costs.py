"""A row a run: what was measured of training it, and where. Seconds of a replicate: the mean and
the ends of the range over replicates; processor time on a CPU."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "seconds_per_replicate", "seconds_least", "seconds_most", "replicates",
          "search_seconds", "images_per_second", "peak_memory_mb", "device", "precision", "threads")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        (run.name, round(run.cost["seconds_per_replicate"], 2),
         *(round(end(run.cost["seconds"].values()), 2) for end in (min, max)),
         len(run.cost["seconds"]), round(run.cost["search_seconds"], 2),
         round(run.cost["images_per_second"], 1), round(run.cost["peak_memory_bytes"] / 1e6),
         *(run.cost[key] for key in ("device", "precision", "threads")))
        for run in outcome.runs.values()
    ]
