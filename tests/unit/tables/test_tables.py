"""Tables as people have them: what is read, and what is refused in one line that names the place and a hint."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from vlmfrontier.cost.measured import read_measured
from vlmfrontier.errors import UserError
from vlmfrontier.laws.checks import check_study, table_warnings
from vlmfrontier.laws.fit import fit
from vlmfrontier.laws.table import from_arrays
from vlmfrontier.laws.user_table import read_table
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.load import validate
from vlmfrontier.study.table import TableConfig
from vlmfrontier.sweep.runs import plan_runs

GOOD = "N,T,acc,failed,who\n1e9,4,40,False,a\n3e9,8,50.5,True,b\n7e9,16,60,False,c\n"
N, ERROR = [1e9, 3e9, 7e9], [60.0, 49.5, 40.0]


def config(path: Path, **changed) -> TableConfig:
    given = {"path": path, "factors": {"N": "N", "T": "T"}, "targets": {"acc": {"column": "acc", "kind": "accuracy"}}}
    return TableConfig.model_validate(given | changed)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cell(text: str, at: str = "50.5") -> str:
    return GOOD.replace(at, f'"{text}"', 1)


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


def each_line(text: str, change) -> str:
    return "\n".join(change(i, line) for i, line in enumerate(text.splitlines())) + "\n"


READ = {
    "commas": GOOD,
    "semicolons": GOOD.replace(",", ";"),
    "tabs": GOOD.replace(",", "\t"),
    "decimal commas": GOOD.replace(",", ";").replace("50.5", "50,5"),
    "a delimiter that is named": "sep=;\n" + GOOD.replace(",", ";"),
    "a byte order mark": "\ufeff" + GOOD,
    "line ends of Windows": GOOD.replace("\n", "\r\n"),
    "line ends of an old Mac": GOOD.replace("\n", "\r"),
    "blanks around names and cells": GOOD.replace("N,T,acc", " N , T, acc ").replace("3e9,8", " 3e9 , 8"),
    "an index without a name": each_line(GOOD, lambda i, line: f"{i - 1 if i else ''},{line}"),
    "a comma after every row": GOOD.replace("\n", ",\n"),
    "a comma after rows only": each_line(GOOD, lambda i, line: line + ("," if i else "")),
    "a comma after names only": GOOD.replace("who\n", "who,\n"),
    "a comment above": '# from a sweep, "x\n' + GOOD,
    "a comment between": GOOD.replace("3e9", "#2e9,4,40,False,a\n3e9"),
    "empty rows": GOOD.replace("3e9", "\n,,,,\n3e9"),
    "a line break in a cell": GOOD.replace(",b\n", ',"b\nc"\n'),
    "semicolons inside cells": GOOD.replace("who", "who;when").replace(",b", ",b;c"),
    "thousands that are certain": cell("3,000,000,000", "3e9"),
    "suffixes": GOOD.replace("3e9", "3 B"),
    "a column called #": each_line(GOOD, lambda i, line: f"{i or '#'},{line}"),
    "names that all begin with #": "who," + each_line(GOOD, lambda i, line: line if not i else f"#{i},{line}"),
}


@pytest.mark.parametrize("case", READ)
def test_what_can_mean_one_thing_is_read(tmp_path, case):
    content = READ[case].replace("who,N,T,acc,failed,who", "which,N,T,acc,failed,who")
    table = read_table(config(written(tmp_path, content)))
    assert table.factors["N"].tolist() == N
    assert table.targets["acc"].tolist() == ERROR


@pytest.mark.parametrize(("text", "said"), [(cell("3", "3e9"), "range: N reaches"), (cell("0.001"), "range: acc")])
def test_values_far_apart_are_asked_about(tmp_path, text, said):
    given = config(written(tmp_path, text), targets={"acc": {"column": "acc", "kind": "error"}})
    assert any(note.startswith(said) for note in table_warnings(read_table(given)))


def test_what_was_read_in_another_way_is_said(tmp_path):
    text = GOOD.replace(",", ";").replace("50.5", "50,5").replace("3e9", "#2e9;4\n3e9")
    notes = table_warnings(read_table(config(written(tmp_path, text))))
    assert notes[0] == "comments: left out line 3, beginning with #"
    assert notes[1] == "commas: column 'acc' has numbers with commas; '50,5' is read as 50.5"


REFUSED = {
    "UTF-16": (GOOD.encode("utf-16"), "UTF-16 text.*save it as CSV UTF-8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "UTF-16 text"),
    "Latin-1": (GOOD.replace(",a\n", ",é\n").encode("latin-1"), "line 2 has the byte 0xe9, which is no UTF-8"),
    "xlsx": (zipped("xl/workbook.xml"), r"an Excel workbook \(xlsx\); save it as CSV"),
    "zip": (zipped("points.csv"), "a zip archive; unpack it first"),
    "gzip": (gzip.compress(GOOD.encode()), "this is gzip; unpack it first"),
    "Parquet": (b"PAR1\0\0", "this is Parquet; save it as CSV"),
    "JSON": ('[{"N": 1}]', "this is JSON"),
    "HTML": ("<!DOCTYPE html><html>", "HTML or XML, perhaps a page in place of a download"),
    "Markdown": ("| N | T |\n|---|---|\n| 1 | 2 |\n", "a table of Markdown"),
    "binary": (b"N,T\0\0,acc\n", "a binary file"),
    "a pointer": ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "empty": ("", "the file is empty"),
    "blank": ("\n \n", "the file is empty"),
    "names only": ("N,T,acc\n", "no rows below its names"),
    "no names": (GOOD.split("\n", 1)[1], "no column 'N'; its columns are 1e9, 4, 40"),
    "numbers for names": ("1,2,3\n4,5,6\n", "line 1 has numbers where the names of the columns should be"),
    "names behind #": ("# " + GOOD, "take the # off line 1"),
    "a title above": ("My results\n" + GOOD, "line 2 has 5 cells.*names in line 1 are 1; begin lines above"),
    "blanks between": (GOOD.replace(",", " "), "the file has one column, 'N T acc failed who'; separate columns with"),
    "two delimiters": ("N,T;acc\n1,2;3\n4,5;6\n", "both comma and semicolon could separate the cells"),
    "a longer first row": (each_line(GOOD, lambda i, line: f"{i},{line}" if i else line), "6 cells.*name every column"),
    "a short row": (GOOD.replace("50.5,True,b", "50.5"), "line 3 has 3 cells, and the names in line 1 are 5"),
    "a long row": (
        GOOD.replace("True,b", "True,b,c"),
        "line 3 has 6 cells, and the names in line 1 are 5; quote cells",
    ),
    "an open quote": (GOOD.replace(",b\n", ',"b\n'), "row that begins in line 3 has a quote out of place"),
    "a quote inside": (GOOD.replace(",b\n", ',"b"x\n'), "row that begins in line 3 has a quote out of place"),
    "names alike": (GOOD.replace("who", "acc"), "columns 3 and 5 are both called 'acc' in line 1; rename one"),
    "names alike but for blanks": (GOOD.replace("who", " N "), "columns 1 and 5 are both called 'N'"),
    "a column without a name": (GOOD.replace("acc,failed", "acc,"), "column 4 has no name in line 1, and 'False' in"),
    "a row twice": (GOOD + "7e9,16,60,False,c\n", "line 5 is the same as line 4 in every cell; .*table.seed"),
    "a point among decimal commas": (
        GOOD.replace(",", ";").replace("50.5", "50,5").replace("3e9", "3.000"),
        "line 3, column 'N' has '3.000' in a file with decimal commas, which may be 3000 or 3,000",
    ),
    "an empty factor": (cell("", "3e9"), "line 3, column 'N' is empty; .* table.exclude"),
    "NA in a factor": (cell("NA", "3e9"), "line 3, column 'N' has 'NA', which says that there is no value"),
    "an endless cell": (
        GOOD.replace(",b\n", f",{'b' * 200_000}\n"),
        "line 3 has a cell of more than",
    ),
    "no number of anything": (cell("1e300", "3e9"), "line 3, column 'N' has 1e.300.*so large or small"),
    "nearly nothing": (cell("1e-300", "3e9"), "line 3, column 'N' has 1e-300.*so large or small"),
    "a negative N": (cell("-3", "3e9"), "line 3, column 'N' has -3, which is not positive"),
    "N of zero": (cell("0", "3e9"), "line 3, column 'N' has 0, which is not positive"),
    "nothing measured": (GOOD.replace(",40,", ",,").replace("50.5", "").replace(",60,", ",NA,"), "empty in every row"),
    "fractions": (
        GOOD.replace(",40,", ",.4,").replace("50.5", ".5").replace(",60,", ",.6,"),
        r"column 'acc' has 0.4 to 0.6, and an accuracy is taken as per cent; write table.targets.acc.max: 1",
    ),
    "a fraction among per cents": (cell("0.505"), "column 'acc' has 0.505 in line 3 among per cents up to 60"),
    "above 100": (cell("100"), "line 3, column 'acc' has 100, and an accuracy must lie from 0 to below 100"),
    "an error of a spreadsheet": (cell("#DIV/0!"), "line 3, column 'acc' has '#DIV/0!'.*correct its formula"),
    "per cent": (cell("50.5%"), "line 3, column 'acc' has '50.5%'.*without the sign"),
    "a comma of two meanings": (cell("50,123"), "line 3, column 'acc' has '50,123'.*with or without decimals"),
    "1e400": (cell("1e400"), "line 3, column 'acc' has '1e400', which is too large"),
    "infinity": (cell("inf"), "line 3, column 'acc' has 'inf'.*only finite numbers"),
    "underscores": (cell("5_0"), "'5_0'.*without separators"),
    "blanks in a number": (cell("5 000"), "'5 000'.*without separators"),
    "other digits": (cell("١٢"), "'١٢'.*the digits 0 to 9"),
    "hexadecimal": (cell("0x10"), "'0x10'.*decimal digits"),
    "a date": (cell("8-Jan"), "'8-Jan'.*a date, which spreadsheets make"),
    "another date": (cell("2024-01-08"), "'2024-01-08'.*a date or a fraction"),
    "a unit": (cell("32 frames"), "'32 frames'.*the number alone"),
    "b for billions": (cell("3b", "3e9"), "'3b'.*7B, 1.5M"),
    "a spread": (cell("50±1"), "'50±1'.*standard error in a column of its own"),
    "a long minus": (cell("−5"), "'−5'.*minus sign as -"),
    "too narrow": (cell("#####"), "'#####'.*too narrow"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_rest_is_refused_in_one_line(tmp_path, case):
    content, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as error:
        read_table(config(written(tmp_path, content)))
    assert len(str(error.value).splitlines()) == 1


def test_what_is_no_file_is_refused(tmp_path):
    for path, message in (
        (tmp_path, "this is a folder"),
        (tmp_path / ("x" * 5000), "cannot be read"),
        (Path("/dev/zero"), "no plain file"),
        (tmp_path / "none.csv", "there is no such file"),
    ):
        with pytest.raises(UserError, match=message) as error:
            read_table(config(path))
        assert len(str(error.value)) < 400


TEXT_IN_T = GOOD.replace("3e9,8", "3e9,fps2")
CONDITIONS = {
    "failed == True": (GOOD, [2, 4]),
    "failed == 'True'": (GOOD, [2, 4]),
    "failed": (GOOD, [2, 4]),
    "not (failed == False)": (GOOD, [2, 4]),
    "who in ['b', 'z'] and T >= 8": (GOOD, [2, 4]),
    "T == 'fps2'": (TEXT_IN_T, [2, 4]),
    "acc == ''": (cell(""), [2, 4]),
    "acc == 'NA'": (cell("NA"), [2, 4]),
    "acc == '' or acc > 90": (cell(""), [2, 4]),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_leave_out_what_they_say(tmp_path, condition):
    text, lines = CONDITIONS[condition]
    assert read_table(config(written(tmp_path, text), exclude=condition)).frame.index.tolist() == lines


MISTAKEN = {
    "who == 'z'": (GOOD, "is true for no row of .*: who has 'a', 'b', 'c'; correct it"),
    "T > 99": (GOOD, "is true for no row of .*: T has numbers from 4 to 16"),
    "T > 0": (GOOD, "leaves no row"),
    "fail == True": (GOOD, "uses 'fail'; the names are .*did you mean 'failed'"),
    "who > 3": (GOOD, "column 'who' has text, for example 'a' in line 2, and it is compared with numbers"),
    "T > 5": (TEXT_IN_T, "column 'T' has text, for example 'fps2' in line 3"),
    "T == '8'": (GOOD, "column 'T' holds numbers and '8' is text; take off the quotes"),
    "T == True": (GOOD, "column 'T' has numbers such as 4, which are not True or False"),
    "who == True": (GOOD, "compared with True and False"),
    "T": (GOOD, "no condition on columns"),
    "T + 1": (GOOD, "no condition on columns"),
    "1 == 1": (GOOD, "no condition on columns"),
    "acc < 45": (cell(""), "cannot be decided for line 3, where acc is empty; .*acc == ''"),
}


@pytest.mark.parametrize("condition", MISTAKEN)
def test_conditions_that_cannot_be_meant_are_refused(tmp_path, condition):
    text, message = MISTAKEN[condition]
    with pytest.raises(UserError, match=message):
        read_table(config(written(tmp_path, text), exclude=condition))


ACCURACY = {"column": "acc", "kind": "accuracy"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": "sed"}, "table.seed: .* has no column 'sed'"),
        ({"targets": {"acc": {**ACCURACY, "se": "sem"}}}, "table.targets.acc.se: .* has no column 'sem'"),
        ({"targets": {"acc": {"column": "ACC"}}}, "table.targets.acc: .* has no column 'ACC'.*did you mean 'acc'"),
        ({"split": "T > 0"}, "is true for 3 of 3 rows, and must be true for some only; T has numbers from 4 to 16"),
        ({"targets": {"acc": {"column": "T", "kind": "score"}}, "factors": {"N": "N"}}, "must lie from 0"),
    ],
)
def test_keys_that_name_nothing_are_refused(tmp_path, changed, message):
    text = GOOD.replace("16,60", "160,60")
    with pytest.raises(UserError, match=message):
        read_table(config(written(tmp_path, text), **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"targets": {"N": "acc"}},
        {"targets": {"n": "acc"}},
        {"targets": {"a": "acc", "a_se": "failed"}},
        {"targets": {"acc": "N"}},
        {"targets": {"acc": {"column": "acc", "se": "acc"}}},
        {"seed": "acc"},
    ],
)
def test_one_column_has_one_use_and_one_name(tmp_path, changed):
    with pytest.raises(ValidationError):
        config(tmp_path / "table.csv", **changed)


def test_scales_that_are_named_are_taken(tmp_path):
    path = written(tmp_path, GOOD.replace(",40,", ",.4,").replace("50.5", ".5").replace(",60,", ",.6,"))
    fractions = read_table(config(path, targets={"acc": {**ACCURACY, "max": 1}}))
    assert fractions.targets["acc"].tolist() == pytest.approx([60, 50, 40])
    small = read_table(config(path, targets={"acc": {**ACCURACY, "max": 100}}))
    assert small.targets["acc"].tolist() == pytest.approx([99.6, 99.5, 99.4])


def test_seeds_that_repeat_are_warned_of(tmp_path):
    text = "N,T,acc,seed\n1,4,40,0\n1,4,41,0\n1,4,42,1\n2,8,50,0\n3,16,55,0\n"
    table = read_table(config(written(tmp_path, text), seed="seed"))
    (found,) = [warning for warning in table_warnings(table) if warning.startswith("duplicates")]
    assert "lines 2 and 3 have the same factors, and 'seed' too" in found


def test_an_empty_cell_costs_its_target_a_row_and_no_other(tmp_path):
    quick = LawsConfig(preset="fast", starts=20)
    T = np.geomspace(1, 64, 9)
    rows = [f"{t},{20 + 30 * t**-0.5},{10 + 20 * t**-0.7}" for t in T]
    rows[4] = f"{T[4]},,{10 + 20 * T[4] ** -0.7}"
    given = {"factors": {"T": "T"}, "targets": {"a": "a", "b": "b"}}
    table = read_table(config(written(tmp_path, "\n".join(["T,a,b", *rows])), **given))
    check_study(table, LawsConfig(forms=["add"]))
    assert "missing: a has no value in line 6; its laws are fitted to the other 8 rows" in table_warnings(table)
    without = from_arrays({"T": np.delete(T, 4)}, {"a": np.delete(20 + 30 * T**-0.5, 4)})
    law = fit(table, "add", "a", quick)
    assert law.objective == pytest.approx(fit(without, "add", "a", quick).objective, abs=1e-15)
    assert "missing: a has no value" in law.warnings[0]
    assert not [w for w in fit(table, "add", "b", quick).warnings if w.startswith("missing")]


def test_what_cannot_carry_a_law_is_refused_before_any_fit(tmp_path):
    table = read_table(config(written(tmp_path, GOOD)))
    with pytest.raises(UserError, match="3 distinct configurations in 3 rows, and form mult"):
        check_study(table, LawsConfig(forms=["mult", "add"]))
    with pytest.raises(UserError, match="the table has no data column"):
        check_study(table, LawsConfig(forms=["add-interact"]))
    rows = "\n".join(f"{10**k},{2**k},{40 + k},{'' if k else 1}" for k in range(9))
    targets = {"acc": {**ACCURACY, "se": "se"}}
    table = read_table(config(written(tmp_path, f"N,T,acc,se\n{rows}\n"), targets=targets))
    assert [w for w in table_warnings(table) if w.startswith("no_standard_errors: column 'se' is empty")]
    with pytest.raises(UserError, match=r"laws\.weights is `se`"):
        check_study(table, LawsConfig(forms=["mult"], weights="se"))


CENTER = {"N": "m", "T": 8, "V": 16}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N;T;V;n\nm;8;16;100\ns;4;9;200\n", ""),
        ("\ufeff N , T,V,n,\nm,8,16,100,\n# off\ns,4,9,0.2k,\n", ""),
        ("N,T,V,n\nm,8,16,100\ns,4,9\n", "line 3 has 3 cells"),
        ("N,T,V,n,n\nm,8,16,100,1\n", "both called 'n'"),
        ("N,T,V,n\nm,8,16,1.5\n", "line 2: n = 1.5 is not a whole positive number"),
        ("N,T,V,n\nm,8,16,1e400\n", "line 2: column 'n' has '1e400', which is too large"),
        ("N,T,V\nm,8,16\n", "no column 'n'; it needs the columns N, T, V, n"),
        (b"PK\x03\x04", "a zip archive"),
    ],
)
def test_rows_of_sweeps_go_through_the_same_reader(tmp_path, text, message):
    design = {"design": "rows", "file": str(written(tmp_path, text))}
    study = validate({"study": "s", "sweep": {"center": CENTER, "designs": {"r": design}}})
    if message:
        with pytest.raises(UserError, match=message):
            plan_runs(study)
    else:
        assert [(run.language, run.T, run.V, run.n) for run in plan_runs(study)] == [
            ("m", 8, 16, 100),
            ("s", 4, 9, 200),
        ]


def test_measured_costs_go_through_the_same_reader(tmp_path):
    path = written(tmp_path, "frames;seconds\n1;0,5\n3;1,5\n")
    np.testing.assert_allclose(
        read_measured(path, {"T": "frames"}, "seconds", "s").cost({"T": [1, 2, 3]}), [0.5, 1, 1.5]
    )
    with pytest.raises(UserError, match="line 3, column 'seconds' is empty"):
        read_measured(written(tmp_path, "T,seconds\n1,2\n2,\n"), {"T": "T"}, "seconds", "s")
