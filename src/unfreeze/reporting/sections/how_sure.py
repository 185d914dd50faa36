"""What intervals, p-values and the recommendation mean."""

from unfreeze.reporting.document import Section, line
from unfreeze.reporting.study import Study


def section(_: Study) -> Section:
    return Section("How sure is this", [
        line("An interval of 95 % covers both what other test images and what other seeds would "
             "have given. Test images are resampled with replacement (bootstrap, bias-corrected "
             "and accelerated, BCa), the same samples for all runs, so that runs are compared on "
             "the same images. Seeds, of which there are few, add a part after Student's t; with "
             "two or three of them its variance is borrowed in part from the study's other runs, "
             "less for a run that varies more than chance explains. With one seed there is no such "
             "part: the interval is over test images only and holds for these trained models, and "
             "two runs' hits and misses are compared by McNemar's exact test."),
        line("A claim holds, or is contradicted, where its p-value stays at or below 0.05 after "
             "Holm's correction for all claims tested; else it is not distinguishable, which does "
             "not mean equal. A claim of several comparisons holds only if all of them do. Counted "
             "costs are compared as they are; measured ones (training time, peak memory) are "
             "measured once a run, so differences under 10 % do not count."),
        line("Recommended is the cheapest of the runs that no test (one-sided, Holm) shows to be "
             "worse than the one with the highest accuracy: the run that is best in truth is left "
             "out in at most 5 % of studies."),
    ])
