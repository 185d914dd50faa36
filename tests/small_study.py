"""A small made-up study, as the stage summarize leaves it, for the tests of reports: two runs with
two seeds, one with one, one that failed; the first two were searched over learning rates."""

import csv

from unfreeze.params.plan import Plan, PlannedPreprocessing, Run, Search
from unfreeze.params.race import Race
from unfreeze.reporting.study import Images, Study

SEARCH = Search((), {0: ("0.json",)}, "cross_entropy", 0, None)
FAILURE = "the logits of seed 1 are not finite: training diverged"


def rows(header: str, *lines: str) -> list[dict[str, str]]:
    """Rows as csv reads them."""
    return list(csv.DictReader([header, *lines]))


def settled(**changes) -> Run:
    """A run of the plan that sets these knobs itself."""
    knobs = {"dataset": "tiny", "fraction": 0.5, "image_size": 8, "seeds": [1, 2], "model": "cnn",
             "freeze": "none", "tune": "full", "phases": [], "epochs": 2, "lr": 0.1,
             "search": {}} | changes
    return Run(knobs=knobs, changes=changes, training_knobs={}, augmentations={}, phases=(),
               preprocessing=PlannedPreprocessing(8, "square", "bicubic", None, None), classes=2,
               decoded="", weights="", subsets={seed: f"{seed}.json" for seed in knobs["seeds"]})


def study(**changes) -> Study:
    """The study; `changes` replace attributes of Study or of its plan, or tables by their name, and
    those of _made/measured by `measured_` and their name."""
    claims = ("number,claim,note,comparison,quantity,unit,effect,low,high,wide_low,wide_high,p,"
              "p_corrected,level,verdict,claim_verdict,seeds,images,settings,advice,why")
    pareto = "run,cost,text,unit,value,score,low,high,dominated"
    recommended = ("run,score,low,high,within_budget,over,expected,expected_low,expected_high,"
                   "difference,difference_low,difference_high,loss,behind,chance,tied,enough,best,"
                   "recommended,operations,parameters_trainable,search_operations,note")
    tables = {
        "ranking": rows(
            "run,score,std,low,high,replicates,images,interval,seeds,settings",
            "lora,80.0,1.0,76.0,84.0,2,50,seeds and images,79 81,lr 0.1 of 3 tried",
            "base,79.0,1.5,75.0,83.0,2,50,seeds and images,77.5 80.5,lr 0.01 of 3 tried",
            "one_seed,60.0,,55.0,65.0,1,50,images,60,not searched"),
        "scores": rows(
            "run,metric,mean,std,low,high,n",
            *(f"{run},{metric},{value},,{value},{value},2" for run in ("lora", "base", "one_seed")
              for metric, value in (("balanced_accuracy", 71.25), ("ece", 5.5))),
            "lora,ece_scaled,2.5,,,,2"),
        "claims": rows(
            claims,
            "1,base > one_seed,as `published`,base > one_seed,accuracy,points,19,15,23,14,24,"
            "0.0001,0.0002,0.025,holds for these models,holds for these models,1,50,"
            "base: lr 0.01 of 3 tried; one_seed: not searched,,one seed",
            "2,lora > base > one_seed,,lora > base,accuracy,points,1,-2,4,-3,5,0.4,0.8,0.05,"
            "not distinguishable,not distinguishable,2,50,,about 9 seeds would decide it,",
            "2,lora > base > one_seed,,base > one_seed,accuracy,points,19,15,23,14,24,0.0001,0.8,"
            "0.05,holds,not distinguishable,1,50,,about 9 seeds would decide it,",
            "3,lora.stored_bytes < base,,lora.stored_bytes < base,stored_bytes,bytes,8500000,,,,,,,"
            ",holds,holds,,,,,",
            *(f"4,exploded > *,,exploded > {run},accuracy,points,,,,,,,,,not computed,"
              "not computed,,,,,exploded failed" for run in ("base", "lora", "one_seed")),
            "5,lora.seconds < base,,lora.seconds < base,seconds,s,,,,,,,,,measured,measured,,,,,"
            "seconds are measured: judged in _made/report.html"),
        "reach": rows("difference,worth,seeds_low,seeds_high", "4.5,2,8,11"),
        "reported": rows(
            "run,metric,ours,low,high,reported,difference,within",
            "base,accuracy,79,75,83,85,-6,no"),
        "recommendation": rows(
            recommended,
            "lora,80,76,84,yes,,79.5,76,83,,,,0.4,,0.6,yes,yes,yes,no,9000000000,1000,,",
            "base,79,75,83,yes,,78.8,75,82,-0.7,-3,2,0.7,0.3,0.4,yes,yes,no,yes,1200000,50000,,",
            "one_seed,60,55,65,no,stored_bytes 28 MB of 15 MB,62,56,66,-18,-22,-14,,18,,no,no,no,"
            "no,28000000,90000,,",
            "exploded,,,,yes,,,,,,,,,,,no,no,no,no,9000,50000,,failed: diverged"),
        "evidence": rows("score,margin,chosen_by,why,seeds,images,knob,spread,here",
                         'accuracy,1,test,"one_seed was not searched, so test images choose",2,50,'
                         "seeds,3.5,no"),
        "further": rows("knob,number,runs,loss_now,loss,operations",
                        "seeds,4,lora base,0.4,0.3,18000000000",
                        "seeds,8,lora base,0.4,0.2,45000000000"),
        "choices": rows(
            "run,chosen,tried,listed,stopped,diverged,quantity,text,unit,better,score,worst,"
            "accuracy,seeds,folds,trials,operations,edges",
            "base,lr: 0.01,3,3,0,0,cross_entropy,cross-entropy,nats,lower,0.61,0.93,81.2,1,1,3,"
            "3600000,",
            "lora,lr: 0.1,3,3,0,1,cross_entropy,cross-entropy,nats,lower,0.58,0.9,82.5,1,1,3,"
            "27000000000,lr 0.1 is the highest that was tried: add 0.3"),
        "search": rows(
            "run,candidate,values,lr,others,quantity,text,unit,better,score,lowest,highest,"
            "accuracy,epochs,trials,operations,chosen,state",
            *(f"{run},{place},lr: {lr},{lr},,cross_entropy,cross-entropy,nats,lower,{score},"
              f"{score},{score},{accuracy},2,1,1200000,{chosen},{state}"
              for run, place, lr, score, accuracy, chosen, state in (
                  ("base", 1, 0.001, 0.93, 70, "no", "tried"),
                  ("base", 2, 0.01, 0.61, 81.2, "yes", "tried"),
                  ("base", 3, 0.1, 0.75, 78, "no", "tried"),
                  ("lora", 1, 0.001, "", "", "no", "diverged"),
                  ("lora", 2, 0.01, 0.9, 71, "no", "tried"),
                  ("lora", 3, 0.1, 0.58, 82.5, "yes", "tried")))),
        "expected_best": rows(
            "run,quantity,text,unit,better,candidates,expected,operations",
            *(f"{run},cross_entropy,cross-entropy,nats,lower,{some},{value},1200000"
              for run, some, value in (("base", 1, 0.763), ("base", 2, 0.657), ("base", 3, 0.61),
                                       ("lora", 2, 0.69), ("lora", 3, 0.58)))),
        "costs": rows(
            "run,settings,parameters_trainable,stored_mb,activation_mb,operations",
            *(f"{run},{settings},{trained},1.5,20,{operations}"
              for run, settings, trained, operations in (
                ("base", "lr 0.01 of 3 tried", 50000, 1200000),
                ("lora", "lr 0.1 of 3 tried", 1000, 9000000000),
                ("one_seed", "not searched", 90000, 28000000),
                ("exploded", "not searched", 50000, 9000)))),
        "matched": rows("run,epochs_matched,accuracy_after_epochs,epochs",
                        "base,2,79,2", "lora,2,81,3", "one_seed,2,58,2"),
        "quantities": rows(
            "name,kind,text,unit,better,measured",
            "accuracy,score,accuracy,%,higher,no",
            "balanced_accuracy,score,balanced accuracy,%,higher,no",
            "cross_entropy,score,cross-entropy,nats,lower,no",
            "ece,score,expected calibration error,%,lower,no",
            "seconds,cost,training time of a replicate,s,lower,yes",
            "operations,cost,of training a replicate,operations,lower,no",
            "parameters_trainable,cost,parameters that are trained,parameters,lower,no",
            "stored_bytes,cost,what a replicate adds,bytes,lower,no"),
        "similar_parts": rows(
            "pair,part,measure,run,value",
            "both,stem,cosine_biases,,0.5", "both,stem,cka,,0.75"),
        "pareto": rows(
            pareto,
            "lora,operations,of training a replicate,operations,9000000000,80,76,84,no",
            "base,operations,of training a replicate,operations,1200000,79,75,83,no",
            "one_seed,operations,of training a replicate,operations,28000000,60,55,65,yes"),
        "learning_curves": rows(
            "run,seed,epoch,split,loss,accuracy",
            *(f"{run},1,{epoch},{split},1.0,{40 * epoch}" for run in ("base", "lora")
              for epoch in (1, 2) for split in ("train", "validation"))),
        "confusion": rows("actual,predicted,images,percent", "cat,cat,8,80", "cat,dog,2,20",
                          "dog,cat,1,10", "dog,dog,9,90"),
        "fractions": [],
        "confused": rows("run,actual,predicted,percent", "base,cat,dog,20", "lora,dog,cat,15"),
        "movement": rows("run,part,seed,distance,relative_distance", "base,stem,1,2.0,0.1"),
        "reliability": rows("run,scaled,bin,images,confidence,accuracy", "base,no,9,50,64.0,60.0",
                            "base,yes,9,50,62.0,60.0"),
        "similarity": rows(
            "pair,seed,measure,part,kind,tensor,shape,run,value",
            "both,1,cosine,stem,bias,conv.bias,4,,0.5", "both,1,cka,stem,,,,,0.75"),
    }
    measured = {
        "claims": rows(
            claims,
            "1,lora.seconds < base,,lora.seconds < base,seconds,s,-5,,,,,,,,contradicted,"
            "contradicted,,,,,"),
        "costs": rows(
            "run,seconds_per_replicate,seconds_least,seconds_most,replicates,search_seconds,"
            "images_per_second,peak_memory_mb,device,precision,threads",
            *(f"{run},{seconds},{seconds - 1},{seconds + 1},{seeds},{searched},100,900,"
              "a processor,fp32,1" for run, seconds, seeds, searched in (
                ("base", 9.0, 2, 27), ("lora", 14.0, 2, 41.5), ("one_seed", 28.0, 1, 0),
                ("exploded", 9.0, 2, 0)))),
        "pareto": rows(
            pareto,
            "lora,seconds,training time of a replicate,s,14,80,76,84,no",
            "base,seconds,training time of a replicate,s,9,79,75,83,no",
            "one_seed,seconds,training time of a replicate,s,28,60,55,65,yes"),
        "recommendation": rows(
            recommended + ",seconds",
            "base,79,75,83,yes,,78.8,75,82,,,,0,,1,yes,yes,yes,yes,1200000,50000,,,9",
            "lora,80,76,84,no,seconds 14 s of 10 s,79.5,76,83,0.7,-2,3,,-0.7,,no,no,no,no,"
            "9000000000,1000,,,14"),
        "further": [],
        "wall_clock": rows(
            "run,seed,epoch,seconds,accuracy",
            "base,1,1,4.5,50", "base,1,2,9,78", "base,2,1,4.5,54", "base,2,2,9,80",
            "lora,1,1,7,60", "lora,1,2,14,82", "lora,2,1,7,62", "lora,2,2,14,80",
            "one_seed,1,1,16,40", "one_seed,1,2,28,58"),
        "matched": rows(
            "run,seconds_matched,set_by,accuracy_in_seconds,epochs_in_seconds,epochs,seconds",
            "base,10,,79,2,2,9", "lora,10,,61,1,2,14", "one_seed,10,,,,2,28"),
    }
    details = {run: {"accuracy": {"mean": mean, "seeds": {"1": mean}},
                     "cross_entropy": {"mean": 0.9}, "test_images": 50}
               for run, mean in (("base", 79.0), ("lora", 80.0), ("one_seed", 60.0))}
    plan = {
        "runs": {"base": settled(), "lora": settled(tune="lora"), "one_seed": settled(seeds=[1]),
                 "exploded": settled(lr=10.0)},
        "datasets": {}, "decoded": {}, "weights": {}, "subsets": {}, "claims": (),
        "budget": {"stored_bytes": 15e6, "seconds": 10}, "not_run": {},
        "compare": {"both": ("base", "lora")}, "searches": {"base": SEARCH, "lora": SEARCH},
        "score": "accuracy", "race": Race(), "share_photos": False,
        "warnings": ()}
    whole = {"details": details | {"exploded": {"failed": FAILURE, "test_images": 50}},
             "cards": {}, "folder": ".",
             "images": dict.fromkeys(plan["runs"], Images(90, 10, 50))}
    for name, value in changes.items():
        if name.startswith("measured_"):
            measured[name.removeprefix("measured_")] = value
        else:
            next(part for part in (tables, plan, whole) if name in part)[name] = value
    return Study(plan=Plan(**plan, reported={}), rows=tables, measured=measured, **whole)
