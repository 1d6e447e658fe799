"""Scores of answers and their standard errors."""

import numpy as np
import pytest

from vlmfrontier.evaluation.result import exact_match, facts_f1, mean_over_strata, most_likely, task_errors

SUBJECTS = ("white", "red", "blue", "green")
TRUTH = "white 3 a2 5 b1 red 7 4 blue 9 green c3"  # eight facts


def test_exact_match_forgives_case_and_blanks_only():
    assert exact_match(" A1 ", "a1") == 1
    assert exact_match("a1 a1", "a1") == 0


def test_the_first_of_equally_likely_options_is_taken():
    assert most_likely([-3.0, -1.0, -1.0]) == 1


@pytest.mark.parametrize(
    ("caption", "score"),
    [
        (TRUTH, 1.0),
        ("", 0.0),
        ("white 3 a2", 2 * 2 / (2 + 8)),
        ("red 3 a2 5 b1 7 4", 2 * 2 / (6 + 8)),  # told of the wrong colour
        (TRUTH + " blue 1", 2 * 8 / (9 + 8)),  # made up
        ("3 a2 white 5", 2 * 1 / (1 + 8)),  # words before any subject state nothing
        ("white 3 3 3", 2 * 1 / (3 + 8)),  # repeating does not help
    ],
)
def test_captions_are_scored_by_the_facts_they_state(caption, score):
    assert facts_f1(caption, TRUTH, SUBJECTS) == pytest.approx(score)


def mean_and_error(scores, clusters) -> tuple[float, float]:
    """Return the mean and its standard error of one stratum."""
    return mean_over_strata(scores, clusters, [0] * len(scores), [1 / len(scores)] * len(scores))


def test_the_clustered_standard_error_is_the_plain_one_without_clusters():
    rng = np.random.default_rng(0)
    scores = rng.random(200)
    mean, error = mean_and_error(scores, [str(i) for i in range(200)])
    assert mean == pytest.approx(scores.mean())
    assert error == pytest.approx(scores.std(ddof=1) / np.sqrt(200))


def test_the_clustered_standard_error_is_right_when_questions_of_a_video_agree():
    rng = np.random.default_rng(1)
    estimates, errors = [], []
    for _ in range(400):
        video = rng.normal(size=50)
        scores = np.repeat(video, 8) + 0.1 * rng.normal(size=400)
        mean, error = mean_and_error(scores, np.repeat(np.arange(50), 8).astype(str))
        estimates.append(mean)
        errors.append(error)
    # The spread of 400 estimates is known to 1/√800 = 3.5%; three of them.
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.11)


def test_avg_is_the_mean_of_the_tasks_even_if_one_has_fewer_questions():
    answers = {
        "a": [{"score": s, "video": v} for s, v in ((1, "x"), (0, "y"), (1, "z"), (1, "w"))],
        "b": [{"score": s, "video": v} for s, v in ((0, "x"), (0, "y"))],
    }
    report = task_errors(["a", "b"], answers)
    assert report["a"]["error"] == pytest.approx(25)
    assert report["avg"]["error"] == pytest.approx((25 + 100) / 2)
    assert report["avg"]["questions"] == 6
    assert 0 < report["avg"]["standard_error"] < 50


def test_the_standard_error_of_the_mean_over_tasks_of_unlike_sizes_is_right():
    rng = np.random.default_rng(2)
    sizes = {"large": 400, "small": 40}
    estimates, errors = [], []
    for _ in range(400):
        answers = {
            task: [{"score": s, "video": f"{task}{i // 2}"} for i, s in enumerate(rng.binomial(1, p, n))]
            for (task, n), p in zip(sizes.items(), (0.8, 0.3), strict=True)
        }
        report = task_errors(list(sizes), answers)["avg"]
        estimates.append(report["error"])
        errors.append(report["standard_error"])
    # As above: the spread of 400 estimates is known to 3.5%; three of them.
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.11)


def test_measures_of_a_task_weigh_equally_whatever_their_questions():
    many = [{"id": str(i), "measure": "m", "score": 1.0, "video": str(i)} for i in range(30)]
    few = [{"id": str(i), "measure": "f", "score": 0.5, "video": str(i)} for i in range(3)]
    report = task_errors(["vcg"], {"vcg": many + few})
    assert report["vcg"]["error"] == pytest.approx(25)
    assert report["vcg"]["questions"] == 30
    assert report["vcg"]["standard_error"] == pytest.approx(0)  # within each measure all are alike
