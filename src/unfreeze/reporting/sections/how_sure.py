"""What intervals, p-values, the search and the recommendation mean."""

from unfreeze.reporting.document import Code, Section, line
from unfreeze.reporting.sections import common
from unfreeze.reporting.study import Study


def _level(study: Study) -> str:
    """Of the claims."""
    alpha = study.plan.race.alpha
    return "0.05" if alpha is None else f"{alpha} (what this look of the race has of 0.05)"


def section(study: Study) -> Section:
    searched = line(
        "A search looks at images held out of training and never at test images: its trials are "
        "not tested at all. What it chose is trained anew with other seeds (and, by default, on "
        "the images held out as well), and these models are tested once. Every searched run had "
        "its candidates under the same rules, so that a run is neither better nor worse for the "
        "settings that somebody happened to know for it; what was not tried is not known.")
    return Section("How sure is this", [
        *([searched] if common.searched(study) else []),
        line("An interval of 95 % covers both what other test images and what other seeds would "
             "have given. Test images are resampled with replacement (bootstrap, bias-corrected "
             "and accelerated, BCa), the same samples for all runs, so that runs are compared on "
             "the same images. Seeds, of which there are few, add a part after Student's t; the "
             "fewer a run has, the more of its variance is borrowed from the study's other runs, "
             "less for a run that varies more than chance explains. Where no run has several "
             "seeds, nothing is known of other seeds: such a verdict is one ",
             common.FOR_THESE_MODELS, ", over test images alone."),
        line("A claim holds, or is contradicted, where its p-value stays at or below "
             f"{_level(study)} after correction for all claims tested (step by step, from joint "
             "draws of images and seeds: Romano and Wolf 2005); else it is not distinguishable, "
             "which does not mean equal. In at most 5 of 100 studies is any verdict wrong that "
             "says more. A claim of several comparisons holds only if all of them do. The interval "
             "of one comparison may leave out 0 while its verdict is open: the one for all at "
             "once tells why. "
             "Counted costs are compared as they are; measured ones (time, memory) vary from one "
             "time to the next, so differences under 10 % do not count."),
        line("Recommended is the cheapest run, by the counted operations of training one seed, "
             "whose expected loss against the run that is best in truth is at most the margin (",
             Code("margin:"), ") above the least. What is expected comes from all runs together: "
             "the more of their differences seeds and images can explain, the more each is drawn "
             "towards the others, so that a run is not taken for good because it was lucky. The "
             "number that is expected of it is corrected in the same way."),
    ])
