"""A small made-up study, as the stage summarize leaves it, for the tests of reports: two runs with
two seeds, one with one, one that failed."""

import csv

from unfreeze.params.plan import Plan, PlannedPreprocessing, Run
from unfreeze.reporting.study import Study

FAILURE = "the logits of seed 1 are not finite: training diverged"


def rows(header: str, *lines: str) -> list[dict[str, str]]:
    """Rows as csv reads them."""
    return list(csv.DictReader([header, *lines]))


def settled(**changes) -> Run:
    """A run of the plan that sets these knobs itself."""
    knobs = {"dataset": "tiny", "fraction": 0.5, "image_size": 8, "seeds": [1, 2], "model": "cnn",
             "freeze": "none", "tune": "full", "phases": [], "epochs": 2, "lr": 0.1} | changes
    return Run(knobs=knobs, changes=changes, training_knobs={}, augmentations={}, phases=(),
               preprocessing=PlannedPreprocessing(8, "square", "bicubic", None, None), classes=2,
               decoded="", weights="", subsets={seed: f"{seed}.json" for seed in knobs["seeds"]})


def study(**changes) -> Study:
    """The study; `changes` replace attributes of Study or of its plan, or tables by their name."""
    tables = {
        "accuracy": rows(
            "run,accuracy,std,low,high,replicates,images,interval,seeds",
            "lora,80.0,1.0,76.0,84.0,2,50,seeds and images,79 81",
            "base,79.0,1.5,75.0,83.0,2,50,seeds and images,77.5 80.5",
            "one_seed,60.0,,55.0,65.0,1,50,images,60"),
        "scores": rows(
            "run,metric,mean,std,low,high,n",
            *(f"{run},{metric},{value},,{value},{value},2" for run in ("lora", "base", "one_seed")
              for metric, value in (("balanced_accuracy", 71.25), ("ece", 5.5))),
            "lora,ece_scaled,2.5,,,,2"),
        "claims": rows(
            "number,claim,note,comparison,quantity,unit,effect,low,high,p,p_corrected,verdict,"
            "claim_verdict,seeds,images,advice,why",
            "1,base > one_seed,as published,base > one_seed,accuracy,points,19,15,23,0.0001,"
            "0.0002,holds,holds,1,50,,one seed",
            "2,lora > base > one_seed,,lora > base,accuracy,points,1,-2,4,0.4,0.8,"
            "not distinguishable,not distinguishable,2,50,about 9 seeds would decide it,",
            "2,lora > base > one_seed,,base > one_seed,accuracy,points,19,15,23,0.0001,0.8,"
            "holds,not distinguishable,1,50,about 9 seeds would decide it,",
            "3,lora.stored_bytes < base,,lora.stored_bytes < base,stored_bytes,bytes,8500000,,,,,"
            "holds,holds,,,,",
            "4,base > exploded,,base > exploded,accuracy,points,,,,,,not computed,not computed,,,,"
            "exploded failed"),
        "reported": rows(
            "run,metric,ours,low,high,reported,difference,within",
            "base,accuracy,79,75,83,85,-6,no"),
        "recommendation": rows(
            "run,accuracy,low,high,within_budget,over,difference,p,tied,best,recommended,seconds,"
            "parameters_trainable,note",
            "lora,80,76,84,yes,,,,yes,yes,no,14,1000,",
            "base,79,75,83,yes,,-1,0.5,yes,no,yes,9,50000,",
            "one_seed,60,55,65,no,seconds 28 s of 15 s,-20,,no,no,no,28,90000,",
            "exploded,,,,yes,,,,no,no,no,9,50000,failed: diverged"),
        "costs": rows(
            "run,parameters_trainable,stored_mb,activation_mb,seconds_per_replicate,device,"
            "precision",
            *(f"{run},{trained},1.5,20,{seconds},a machine,fp32" for run, trained, seconds in (
                ("base", 50000, 9.0), ("lora", 1000, 14.0), ("one_seed", 90000, 28.0),
                ("exploded", 50000, 9.0)))),
        "wall_clock": rows(
            "run,seed,epoch,seconds,accuracy",
            "base,1,1,4.5,50", "base,1,2,9,78", "base,2,1,4.5,54", "base,2,2,9,80",
            "lora,1,1,7,60", "lora,1,2,14,82", "lora,2,1,7,62", "lora,2,2,14,80",
            "one_seed,1,1,16,40", "one_seed,1,2,28,58"),
        "matched": rows(
            "run,epochs_matched,accuracy_after_epochs,seconds_matched,set_by,accuracy_in_seconds,"
            "epochs_in_seconds,epochs,seconds",
            "base,2,79,15,,79,2,2,9", "lora,2,81,15,,81,2,2,14", "one_seed,2,58,15,,,,2,28"),
        "quantities": rows(
            "name,kind,text,unit,better",
            "accuracy,score,accuracy,%,higher",
            "balanced_accuracy,score,balanced accuracy,%,higher",
            "ece,score,expected calibration error,%,lower",
            "seconds,cost,training time of a replicate,s,lower"),
        "similar_parts": rows(
            "pair,part,measure,run,value",
            "both,stem,cosine_biases,,0.5", "both,stem,cka,,0.75"),
        "pareto": rows(
            "run,cost,text,unit,value,accuracy,low,high,dominated",
            "lora,seconds,training time,s,14,80,76,84,no",
            "base,seconds,training time,s,9,79,75,83,no",
            "one_seed,seconds,training time,s,28,60,55,65,yes"),
        "learning_curves": rows(
            "run,seed,epoch,split,loss,accuracy",
            *(f"{run},1,{epoch},{split},1.0,{40 * epoch}" for run in ("base", "lora")
              for epoch in (1, 2) for split in ("train", "validation"))),
        "confusion": rows("actual,predicted,images,percent", "cat,cat,8,80", "cat,dog,2,20",
                          "dog,cat,1,10", "dog,dog,9,90"),
        "fractions": [],
        "confused": rows("run,actual,predicted,percent", "base,cat,dog,20", "lora,dog,cat,15"),
        "movement": rows("run,part,seed,distance,relative_distance", "base,stem,1,2.0,0.1"),
        "reliability": rows("run,scaled,bin,images,confidence,accuracy", "base,no,9,50,64.0,60.0"),
        "similarity": rows(
            "pair,seed,measure,part,kind,tensor,shape,run,value",
            "both,1,cosine,stem,bias,conv.bias,4,,0.5", "both,1,cka,stem,,,,,0.75"),
    }
    details = {run: {"accuracy": {"mean": mean, "seeds": {"1": mean}},
                     "cross_entropy": {"mean": 0.9}, "test_images": 50}
               for run, mean in (("base", 79.0), ("lora", 80.0), ("one_seed", 60.0))}
    plan = {
        "runs": {"base": settled(), "lora": settled(tune="lora"), "one_seed": settled(seeds=[1]),
                 "exploded": settled(lr=10.0)},
        "datasets": {}, "decoded": {}, "weights": {}, "subsets": {}, "claims": (),
        "budget": {"seconds": 15}, "not_run": {}, "compare": {"both": ("base", "lora")}}
    whole = {"details": details | {"exploded": {"failed": FAILURE, "test_images": 50}},
             "cards": {}, "folder": "."}
    for name, value in changes.items():
        next(part for part in (tables, plan, whole) if name in part)[name] = value
    return Study(plan=Plan(**plan, reported={}), rows=tables, **whole)
