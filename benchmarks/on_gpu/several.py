"""Step 4: several runs at once on one GPU, each in a process of its own, against one alone: what a
batch of 64 leaves unused. On made-up images."""

from on_gpu.setting import Setting
from on_gpu.workers import Worker, workers

NAME = "several"
CASES = ("resnet18-cifar-32", "mobilenet_v2-224")
COUNTS = (1, 2, 4, 8)
_IMAGES, _SECONDS, _BATCH_SIZE, _PRECISION = 6_000, 2.5, 64, "bf16"


def run(setting: Setting) -> None:
    cases, counts = (("resnet18-32",), (1, 2)) if setting.rehearse else (CASES, COUNTS)
    content: dict = {"cases": []}
    setting.write(NAME, content)
    with workers(setting, ["ours"] * max(counts), setting.work / f"{NAME}.log") as runs:
        for case in cases:
            if setting.left() <= 0:
                break
            content["cases"].append(_measure(setting, runs, case, counts))
            setting.write(NAME, content)


def _measure(setting: Setting, runs: list[Worker], case: str, counts: tuple[int, ...]) -> dict:
    """Images per second of all together."""
    images, seconds, batch_size, precision = (
        (80, 0.1, 8, "fp32") if setting.rehearse else (_IMAGES, _SECONDS, _BATCH_SIZE, _PRECISION))
    for worker in runs:
        worker.tell("begin", case=case, batch_size=batch_size, precision=precision, images=images)
    for worker in runs:
        worker.answer()
    speeds: dict = {"case": case, "precision": precision, "batch_size": batch_size,
                   "images_per_second": {}}
    for count in counts:
        for worker in runs[:count]:
            worker.tell("time", seconds=seconds)
        speeds["images_per_second"][str(count)] = round(sum(
            worker.answer()["images_per_second"] for worker in runs[:count]), 1)
    return speeds
