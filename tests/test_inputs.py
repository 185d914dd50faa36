"""What the pictures are drawn from."""

import json

import numpy as np
from tests.small_study import settled, study

from unfreeze.data.reading import arrays
from unfreeze.reporting import inputs


def test_names_that_look_like_numbers_or_nothing_stay_names(tmp_path):
    (tmp_path / "t.csv").write_text(
        "run,actual,accuracy,seed\nNA,nan,50,1\n1,,,2\n1e5,None,60.5,3\n")
    table = inputs.frame(tmp_path / "t.csv")
    assert list(table.run) == ["NA", "1", "1e5"] and list(table.actual) == ["nan", "", "None"]
    assert list(table.accuracy.isna()) == [False, True, False] and table.seed.sum() == 6


def test_an_empty_table_has_its_columns(tmp_path):
    (tmp_path / "t.csv").write_text("run,accuracy\n")
    assert list(inputs.frame(tmp_path / "t.csv").columns) == ["run", "accuracy"]


def _tiny_study(root):
    """Six test images, of which the subset holds four, in another order; image k is all k."""
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    arrays.save(root / "data/tiny", arrays.Arrays(images, np.zeros(6, int), images,
                                                  np.array([0, 1, 0, 1, 0, 1])), {})
    (root / "subsets").mkdir()
    (root / "subsets/s.json").write_text(json.dumps({"test": [5, 2, 0, 3]}))
    (root / "runs/base/scores").mkdir(parents=True)
    np.savez(root / "runs/base/scores/per_image.npz", seeds=[7, 8], labels=[1, 0, 0, 1],
             classes=["cat", "dog"], predicted=[[0, 0, 1, 0], [1, 0, 0, 1]],
             confidence=[[0.6, 0.99, 0.9, 0.6], [0.5] * 4])
    return study(plan={"base": settled() | {
        "map": None, "subsets": {7: "s.json", 8: "other.json"}}})


def test_the_most_confident_mistakes_of_the_first_seed(tmp_path):
    whole = _tiny_study(tmp_path)
    images, truths, predictions, confidences, run = inputs.mistakes(whole, tmp_path)
    # The second is right; of the two at 0.6 the first comes first.
    assert images[:, 0, 0, 0].tolist() == [0, 5, 3] and images.shape == (3, 2, 2, 3)
    assert truths == ["cat", "dog", "dog"] and predictions == ["dog", "cat", "cat"]
    assert confidences == [0.9, 0.6, 0.6] and run == "base"
    assert len(inputs.mistakes(whole, tmp_path, most=1)[1]) == 1


def test_a_failed_run_has_no_mistakes(tmp_path):
    whole = study(details=study().details | {"base": {"failed": "x", "test_images": 1}})
    images, *_, run = inputs.mistakes(whole, tmp_path)
    assert images is None and run == "base"
