"""Tables of a user's own: what is read, what is refused with line and column, what is warned of."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.laws.checks import refuse_hopeless, table_warnings
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.forms import form_for
from vlmfrontier.laws.runs_file import read_runs, write_runs
from vlmfrontier.laws.selection import compare_forms
from vlmfrontier.laws.table import ResultsTable, from_arrays
from vlmfrontier.laws.user_table import as_runs, read_table
from vlmfrontier.records import Runs, read_checked
from vlmfrontier.study.load import validate
from vlmfrontier.study.table import TableConfig
from vlmfrontier.sweep.collect import describe

MESSY_TABLES = Path(__file__).parents[3] / "examples" / "messy"
CHINCHILLA = MESSY_TABLES.with_name("chinchilla") / "points.csv"
GOOD = "params,frames,tokens,acc,who\n1e9,4,100,40,a\n2.8B,8,200,50,b\n7.5e9,16,400,60,b\n"


def config(path, **changed) -> TableConfig:
    given = {
        "path": path,
        "factors": {"N": {"column": "params", "unit": 1e9}, "T": "frames"},
        "data": {"column": "tokens", "unit": 100},
        "targets": {"acc": {"column": "acc", "kind": "accuracy"}},
    }
    return TableConfig.model_validate(given | changed)


def test_columns_are_mapped_and_accuracy_becomes_error(csv):
    table = read_table(config(csv(GOOD)))
    assert table.factors["N"].tolist() == [1e9, 2.8e9, 7.5e9]
    assert table.data.tolist() == [100, 200, 400]
    assert table.targets["acc"].tolist() == [60, 50, 40]
    assert table.units == {"N": 1e9, "T": 1.0}
    assert table.data_unit == 100


def test_a_score_is_scaled_to_its_maximum(csv):
    path = csv("frames,judge\n1,0.75\n2,1.5\n")
    targets = {"judge": {"column": "judge", "kind": "score", "max": 3}}
    table = read_table(config(path, factors={"T": "frames"}, data=None, targets=targets))
    assert table.targets["judge"].tolist() == [75, 50]


def test_rows_are_excluded_and_split_by_conditions(csv):
    table = read_table(config(csv(GOOD), exclude="who == 'a'", split="frames < 10"))
    assert table.frame.index.tolist() == [3, 4]  # lines of the file: messages name them
    assert table.split.tolist() == [True, False]


def test_conditions_run_no_code(csv):
    with pytest.raises(UserError, match=r"table\.exclude"):
        read_table(config(csv(GOOD), exclude="__import__('os').system('true')"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("8,200", ",200", r"line 3, column 'frames' is empty"),
        ("8,200", "fps2,200", r"line 3, column 'frames' has 'fps2', which is not a number"),
        ("8,200", "-8,200", r"line 3, column 'frames' has -8, which is not positive"),
        ("8,200", "8,0", r"line 3, column 'tokens' has 0, which is not positive"),
        ("50,b", "100,b", r"line 3, column 'acc' has 100, and an accuracy must lie from 0 to below 100"),
        ("params", "parameters", r"table.factors.N: .* no column 'params'; its columns are parameters, frames"),
    ],
)
def test_bad_cells_are_refused_by_line_and_column(csv, old, new, message):
    with pytest.raises(UserError, match=message):
        read_table(config(csv(GOOD.replace(old, new, 1))))


def test_every_bad_cell_is_named_at_once(csv):
    with pytest.raises(UserError, match=r"line 2.*line 3"):
        read_table(config(csv(GOOD.replace(",4,", ",x,").replace(",8,", ",y,"))))


@pytest.mark.parametrize(("text", "message"), [("", "not a CSV"), ("params,acc\n", "no rows")])
def test_empty_files_are_refused(csv, text, message):
    with pytest.raises(UserError, match=message):
        read_table(config(csv(text)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: there is no such file"):
        read_table(config(tmp_path / "nowhere.csv"))


def test_a_split_must_divide_the_rows(csv):
    with pytest.raises(UserError, match="is true for 3 of 3 rows"):
        read_table(config(csv(GOOD), split="frames > 0"))


def numbers(rows: int, **targets):
    T = np.geomspace(1, 64, rows)
    return from_arrays({"T": T}, targets or {"e": 20 + 30 * T**-0.5})


def test_fewer_configurations_than_parameters_and_two_are_refused():
    with pytest.raises(UserError, match=r"4 distinct configurations in 4 rows, and form add with 3 .* at least 5"):
        fit(numbers(4), "add", "e")
    fit(numbers(5), "add", "e")


def test_repeats_do_not_count_as_configurations():
    table = numbers(4)
    with pytest.raises(UserError, match="4 distinct configurations in 8 rows"):
        fit(table.rows(np.tile(np.arange(4), 2)), "add", "e")


def test_an_error_of_zero_is_refused_with_its_line():
    error = np.linspace(10, 0, 8)
    with pytest.raises(UserError, match="line 7, column 'e': an error of 0 has no logarithm"):
        fit(numbers(8, e=error), "add", "e")


def test_a_target_that_never_changes_is_refused():
    with pytest.raises(UserError, match="'e' is 30 in every row"):
        fit(numbers(8, e=np.full(8, 30.0)), "add", "e")


def test_a_factor_that_never_changes_is_refused():
    table = from_arrays({"T": np.full(8, 32.0)}, {"e": np.linspace(20, 10, 8)})
    with pytest.raises(UserError, match="factor 'T' is 32 in every row"):
        refuse_hopeless(table, form_for("add", ["T"], False), "e")


def test_an_unknown_target_is_named_with_those_there_are():
    with pytest.raises(UserError, match="no target 'avg'; the targets are e"):
        fit(numbers(8), "add", "avg")


def test_duplicates_and_two_level_factors_are_warned_of():
    table = from_arrays({"T": [1, 2, 1, 2, 2, 1], "V": [1, 4, 9, 16, 16, 25]}, {"e": np.arange(6) + 10.0})
    duplicates, levels = table_warnings(table)
    assert "lines 3 and 4 have the same factors" in duplicates  # of a table without a file: row numbers
    assert levels.startswith("two_levels: T has only the values 1 and 2")


def test_a_seed_column_explains_duplicates(csv):
    path = csv("frames,acc,seed\n1,40,0\n1,41,1\n2,50,0\n")
    table = read_table(config(path, factors={"T": "frames"}, data=None, seed="seed"))
    assert table.configurations == 2
    assert not [warning for warning in table_warnings(table) if warning.startswith("duplicates")]


def test_a_table_that_no_form_fits_is_called_so(quick):
    rng = np.random.default_rng(0)
    table = from_arrays({"T": np.geomspace(1, 64, 24)}, {"e": rng.uniform(20, 60, 24)})
    found = compare_forms(table, "e", quick.model_copy(update={"forms": ["mult", "add"]}))
    assert [warning for warning in found.warnings if warning.startswith("poor_fit: the best form for e")]


MESSY = {
    "apollo, uniform sampling": (
        "apollo_table11.csv",
        {"T": "train_uniform_frames"},
        {"error": {"column": "overall_error_pct"}},
        "4 distinct configurations in 8 rows",
    ),
    "apollo, test sampling": (
        "apollo_table11.csv",
        {"T": "test_sampling"},
        {"error": {"column": "overall_error_pct"}},
        "line 6, column 'test_sampling' has 'fps2', which is not a number",
    ),
    "llava-video": (
        "llava_video_table8.csv",
        {"T": "T_train", "V": "tokens_per_frame"},
        {"nextqa": {"column": "nextqa_mc", "kind": "accuracy"}},
        "5 distinct configurations in 9 rows, and form .* no form fits so few",
    ),
    "longvu": (
        "longvu_context_tokens.csv",
        {"L": "context_length", "V": "tokens_per_frame"},
        {"videomme": {"column": "videomme", "kind": "accuracy"}},
        "line 8, column 'tokens_per_frame' has '64;144', which is not a number; line 9",
    ),
    "nvila": (
        "nvila_table2.csv",
        {"T": "frames", "V": "tokens_per_frame"},
        {"overall": {"column": "overall_videomme_wo_sub", "kind": "accuracy"}},
        "4 distinct configurations in 4 rows, and form .* no form fits so few",
    ),
}


@pytest.mark.parametrize("case", MESSY)
def test_messy_tables_are_refused_in_words(case):
    name, factors, targets, message = MESSY[case]
    with pytest.raises(UserError, match=message):
        fit(
            read_table(config(MESSY_TABLES / name, factors=factors, data=None, targets=targets)),
            "mult",
            next(iter(targets)),
        )


def test_internvl_fits_with_its_flaws_named(quick):
    targets = {"judge": {"column": "mmbench_video_score_0_to_3", "kind": "score", "max": 3}}
    factors = {"N": {"column": "total_params_billion"}, "T": "frames"}
    table = read_table(
        config(MESSY_TABLES / "internvl2_mmbench_video.csv", factors=factors, data=None, targets=targets)
    )
    law = fit(table, "add", "judge", quick)
    assert table.targets["judge"][0] == pytest.approx(68.333, abs=1e-3)  # the file's own error column has three digits
    assert {warning.split(":")[0] for warning in law.warnings} >= {"duplicates", "two_levels"}


def test_a_run_without_any_error_counts_as_half_a_wrong_answer_and_says_so(tmp_path):
    star = {"design": "star", "vary": {"T": [4, 8]}, "n": [50]}
    study = validate({"study": "s", "sweep": {"center": {"N": "m", "T": 8, "V": 16}, "designs": {"star": star}}})
    frame = pd.DataFrame({"run": ["a", "b"], "sweep": "star", "N": [1e4, 2e4], "T": [2, 4], "V": [4, 4], "n": [50, 50]})
    measured = dict.fromkeys(study.targets(), 20.0) | {"count": [0.0, 5.0]}
    frame = frame.assign(seed=0, c=1e6, **measured)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    table = read_runs(tmp_path / "runs.csv", describe(study, frame))
    assert table.error("count").tolist() == [50 / study.data.digits.test, 5.0]
    assert [w for w in table_warnings(table) if w.startswith("zero_errors: count has no error in lines 2;")]


def read_again(config: TableConfig, folder: Path) -> tuple[ResultsTable, ResultsTable]:
    """Return a user's own table as it is read, and as the analysis reads it out of `runs.csv` and `runs.json`."""
    table = read_table(config)
    write_runs(*as_runs(table, config), folder / "runs.csv")
    return table, read_runs(folder / "runs.csv", runs_record(folder))


def runs_record(folder: Path) -> Runs:
    return read_checked(folder / "runs.json", Runs, "collect again", as_model=True)


def test_the_analysis_reads_a_users_table_to_the_last_digit(tmp_path):
    text = (
        "# first try\nrun,params,frames,tokens,acc,se,kept\n"
        "a,1e9,4,1e6,61.3,0.1,y\nb,2.5e9,8,3e6,,,y\nc,1e9,4,1e6,71.7,0.7,n\nd,3333333333.3,16,0.1e6,33.333333,.3,y\n"
    )
    path = tmp_path / "points.csv"
    path.write_text(text)
    table, again = read_again(
        TableConfig(
            path=str(path),
            factors={"N": {"column": "params", "unit": 1e9}, "T": "frames"},
            data={"column": "tokens", "unit": 1e6},
            targets={"quiz": {"column": "acc", "kind": "accuracy", "se": "se"}},
            split="kept == 'y'",
        ),
        tmp_path,
    )
    for name, values in {**table.points(), **table.targets, **table.se, "split": table.split}.items():
        found = {**again.points(), **again.targets, **again.se, "split": again.split}[name]
        np.testing.assert_array_equal(found, values)
    assert table_warnings(again) == table_warnings(table)  # lines are those of the user's file
    assert any("line 4" in warning for warning in table_warnings(again))
    same = ("name", "names", "units", "data_unit", "missing", "has_seeds")
    assert [getattr(again, name) for name in same] == [getattr(table, name) for name in same]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record | {"lines": record["lines"][1:]}, "rows, but runs.json lists"),
        (lambda record: record | {"factors": {}}, "factors"),
        (lambda record: record | {"targets": {"loss": {"largest": 1.0, "least": None}}}, "no possible error"),
        (lambda record: {}, "source field required"),
    ],
)
def test_rows_and_what_is_said_of_them_must_fit(tmp_path, change, said):
    targets = {"loss": {"column": "loss"}}
    config = TableConfig(path=str(CHINCHILLA), factors={"N": "model_size_params"}, targets=targets)
    read_again(config, tmp_path)
    record = json.loads((tmp_path / "runs.json").read_text())
    (tmp_path / "runs.json").write_text(json.dumps(change(record)))
    with pytest.raises(UserError, match=said):
        read_runs(tmp_path / "runs.csv", runs_record(tmp_path))
