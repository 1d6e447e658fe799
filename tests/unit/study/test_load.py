"""Configuration files: inheritance, merging, and what a mistake looks like."""

import os
from pathlib import Path

import pytest

from tests.calling import SMOKE
from vlmfrontier.errors import UserError
from vlmfrontier.study.load import load_study, merge, read_study, validate, write_study
from vlmfrontier.sweep.designs import design_points

BASE = """
study: tiny
data: {digits: {train: 1600}}
sweep:
  center: {N: m, T: 8, V: 16}
  designs:
    star: {design: star, vary: {N: [xs, m], T: [4, 8]}, n: [400, 800]}
    extra: {design: grid, n: [400]}
"""

USES_XL = {"designs": {"extra": {"N": ["xl"]}}}


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "study.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def mistakes(*files: Path, **overrides: object) -> list[str]:
    with pytest.raises(UserError) as raised:
        load_study(files, overrides)
    return str(raised.value).splitlines()


def test_maps_merge_and_everything_else_replaces():
    below = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert merge(below, {"a": {"c": [3]}, "e": 5}) == {"a": {"b": 1, "c": [3]}, "d": 4, "e": 5}
    assert below == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_a_base_is_read_relative_to_its_file_and_changed_key_by_key(write):
    write(BASE, "base.yaml")
    middle = "base: ../base.yaml\nfinetune: {epochs: 2, batch_size: 4}\n"
    write(middle, "studies/middle.yaml")
    top = write("base: middle.yaml\nstudy: top\nfinetune: {epochs: 3}\n", "studies/top.yaml")
    study = load_study([top], {"sweep": {"designs": {"extra": None}}})
    assert (study.study, study.finetune.epochs, study.finetune.batch_size) == ("top", 3, 4)
    assert list(study.sweep.designs) == ["star"]


def test_a_resolved_study_reads_back_equal(write, tmp_path):
    study = load_study([write(BASE)])
    write_study(study, tmp_path / "out/study.json")
    assert read_study(tmp_path / "out/study.json") == study


def test_numbers_may_have_units(write):
    star = load_study([write(BASE.replace("[400, 800]", "[0.4k, 0.8k]"))]).sweep.designs["star"]
    assert star.n == [400, 800]


def test_a_path_is_relative_to_the_file_that_names_it(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "{design: rows, file: rows.csv}"
    path = write(BASE.replace("{design: grid, n: [400]}", rows), "studies/a.yaml")
    assert load_study([path]).sweep.designs["extra"].file == "studies/rows.csv"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            {"finetune": {"batchsize": 3}},
            "study tiny: finetune.batchsize = 3: unknown key; did you mean 'batch_size'?",
        ),
        (
            {"models": {"attention": "flash_attention_2"}},
            "study tiny: models.attention = 'flash_attention_2': packed independent turns need a mask that it does not "
            "take; write data.turns: sequential",
        ),
        (
            {"finetune": {"sharding": "fsdp2", "lora": {"dropout": 0.1}}},
            "study tiny: finetune.lora.dropout = 0.1: activations that are computed again would drop others under "
            "fsdp2; write 0, or sharding: none",
        ),
        (
            {"models": {"language": {"m": {"hidden_size": 48, "layers": 3, "heads": 3, "pretrained": "Llama"}}}},
            "study tiny: models.language.m.pretrained = 'Llama': write owner/name of a model of the Hugging Face hub, "
            "or a folder beginning with ./",
        ),
        ({"finetune": {"epochs": "many"}}, "study tiny: finetune.epochs = 'many': expected a whole number"),
        (
            {"finetune": {"learning_rates": {"vision": "high"}}},
            "study tiny: finetune.learning_rates.vision = 'high': expected a number or a map",
        ),
        (
            {"sweep": {"center": {"V": 5}}},
            "study tiny: sweep.center.V = 5: the tokens of a frame form a square grid; write 4 or 9",
        ),
        (
            {"sweep": {"center": {"V": 81}}},
            "study tiny: sweep.center.V = 81: the vision model has 64 features a frame (8 x 8); write less",
        ),
        (
            {"sweep": {"center": {"T": 5}}},
            "study tiny: sweep.center.T = 5: the center's T is not among the levels [4, 8] of "
            "sweep.designs.star.vary.T; add it there or move the center",
        ),
        (
            {"sweep": {"center": None}},
            "study tiny: sweep.center: sweep.designs.star needs it; write center: { N: …, T: …, V: … }",
        ),
        (
            {"sweep": {"designs": {"star": {"n": [400, 2000]}}}},
            "study tiny: sweep.designs.star.n = 2000: the training data has 1600 examples; ask for at most as many",
        ),
        (
            {"sweep": {"center": {"N": "mm"}}},
            "study tiny: sweep.center.N = 'mm': no such language model; did you mean 'm'?",
        ),
        (
            {"sweep": {"designs": {"extra": {"design": "gird"}}}},
            "study tiny: sweep.designs.extra.design = 'gird': must be one of 'star', 'isoflop', 'ladder', 'grid', "
            "'rows'",
        ),
        (
            {"sweep": {"designs": {"extra": {"T": {"from": 1, "too": 4}}}}},
            "study tiny: sweep.designs.extra.T = {'from': 1, 'too': 4}: write a list, {from: 1, to: 16} (with an "
            "optional step) or {squares: 8} for 1, 4, 9, …, 64",
        ),
        (
            {"finetune": {"learning_rates": {"language": {"xs": None, "m": 1e-3}}}},
            "study tiny: finetune.learning_rates.language.xs: expected a number",
        ),
        (
            {"space": {"T": [1, 2], "V": [16, 100]}},
            "study tiny: space.V = 100: the vision model has 64 features a frame (8 x 8); write less",
        ),
        ({"space": {"T": [1, 2.5]}}, "study tiny: space.T = 2.5: is not a whole number"),
    ],
)
def test_a_mistake_is_one_line_with_study_key_value_and_mend(write, overrides, line):
    assert mistakes(write(BASE), **overrides) == [line]


def test_rows_and_a_whole_grid_need_no_center(write):
    whole = "grid: {design: grid, N: [m], T: [4], V: [9, 16], n: [400]}"
    rows = "chosen: {design: rows, rows: [{N: xs, T: 2, V: 9, n: 400}]}"
    study = load_study([write(f"study: tiny\nsweep: {{designs: {{{whole}, {rows}}}}}\n")])
    assert [(p.language, p.V) for name in ("grid", "chosen") for p in design_points(study, name)] == [
        ("m", 9),
        ("m", 16),
        ("xs", 9),
    ]


def test_a_missing_key_is_told_with_its_meaning(write):
    (line,) = mistakes(write("study: tiny\nsweep: {center: {N: m, T: 8, V: 16}}\n"))
    assert line.startswith("study tiny: sweep.designs: missing: Named designs")


def test_a_language_model_without_learning_rate_is_named(write):
    size = {"hidden_size": 32, "layers": 2, "heads": 2}
    (line, *_) = mistakes(write(BASE), models={"language": {"xs": size, "m": size, "xl": size}}, sweep=USES_XL)
    assert "finetune.learning_rates.projector" in line
    assert "no rate for the language model 'xl'" in line


def test_a_mistake_of_many_rows_is_named_once_and_many_mistakes_are_counted():
    rows = [{"N": "8b", "T": T, "V": 4, "n": 16} for T in (1, 2, 4)]
    other = [{"N": f"x{i}", "T": 1, "V": 4, "n": 16} for i in range(30)]
    for designs, lines in ((rows, 1), (other, 21), (rows + other, 21)):
        with pytest.raises(UserError) as refused:
            load_study([SMOKE], {"sweep": {"designs": {"mine": {"design": "rows", "rows": designs}}}})
        assert len(str(refused.value).splitlines()) == lines
    assert str(refused.value).endswith("and 11 more mistakes")


def test_what_snakemake_keeps_in_a_configuration_is_left_to_it(write):
    assert load_study([write(BASE + "pathvars: {results: elsewhere}\n")]).study == "tiny"


def test_several_mistakes_are_several_lines(write):
    assert len(mistakes(write(BASE), seed="x", finetune={"epochs": 0})) == 2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [1", "line 1"),
        ("a: 1\na: 2", "line 2: the key 'a' is written twice"),
        ("- 1", "expected a map"),
        ("base: study.yaml", "leads back to itself"),
        ("base: nowhere.yaml", "nowhere.yaml: no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(write, text, part):
    (line,) = mistakes(write(text))
    assert "study.yaml" in line or "nowhere" in line
    assert part in line


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("study: x".encode("utf-16"), "UTF-16"),
        ("study: x".encode("utf-16-be"), "UTF-16"),
        (b"study: caf\xe9", "line 1: is not text in UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00\x00\xff\xfe", "not text in UTF-8"),
        (b"study: a\x00b", "special characters are not allowed"),
        (b"# long\n" * 200_000, "larger than 1 MiB"),
        (BOMB.encode(), "stands for more than 100,000 values"),
        (b"study: &a [*a]", "line 1: an alias leads back to itself"),
        (b"data: &a {digits: *a}", "line 1: an alias leads back to itself"),
        (b"a: " + b"[" * 5_000, "nested more than"),
        (b"a: " + b"[" * 60 + b"]" * 60, "nested more than"),
        (b"a: 2026-13-45", "a value that cannot be read"),
        (b"seed: " + b"9" * 5_000, "a value that cannot be read"),
        (b"seed: 010", "line 1: '010' would be read in base 8 or 60"),
        (b"seed: 1:30", "line 1: '1:30' would be read in base 8 or 60"),
        (b"seed: -1:30.5", "line 1: '-1:30.5' would be read in base 8 or 60"),
        (b"base: pipe.yaml", "is a pipe"),
        (b"? [a, b]\n: c", "line 1: a key must be a word"),
        (b"? {a: b}\n: c", "line 1: a key must be a word"),
        (b"a: !!python/object/apply:os.system [ls]", "line 1: could not determine a constructor"),
        (b"a: 1\n---\nb: 2", "line 2: but found another document"),
        (b"data: {digits: {seed: 1, seed: 2}}", "line 1: the key 'seed' is written twice"),
        (b"<<: 3", "line 1: "),
        (b"*nowhere", "line 1: found undefined alias"),
        (b"\tstudy: x", "line 1: "),
        (b"just words", "expected a map of keys, found a text"),
        (b"base: 3", "base = '3': expected the path of another configuration file"),
        (b"base: [a.yaml]", "expected the path of another configuration file"),
        (b"base: {a: b}", "expected the path of another configuration file"),
        (b"base: ''", "expected the path of another configuration file"),
        (b"base: .", "cannot be read (is a directory)"),
        (b"base: loop.yaml", "loop.yaml: cannot be read"),
        (b"base: " + b"x" * 300, "cannot be read (file name too long)"),
        (b"base: study.yaml/more.yaml", "cannot be read (not a directory)"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_in_one_line(tmp_path, content, part):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "study.yaml").write_bytes(content)
    (line,) = mistakes(tmp_path / "study.yaml")
    assert part in line


def test_a_byte_order_mark_and_aliases_are_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + BASE.replace("[xs, m]", "&n [xs, m]").encode())
    assert load_study([tmp_path / "a.yaml"]).study == "tiny"


def test_bases_cannot_go_on_for_ever(write):
    for i in range(30):
        write(f"base: {i + 1}.yaml", f"{i}.yaml")
    (line,) = mistakes(write("base: 0.yaml"))
    assert "more than 20 files" in line


@pytest.mark.parametrize("text", ["[1]", "3", "", "{", "null", "[" * 100_000])
def test_a_study_json_that_is_none_is_told(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(UserError, match=r"study\.json: damaged"):
        read_study(tmp_path / "study.json")


def test_a_study_json_that_is_a_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_study(tmp_path)


def test_study_json_that_is_missing_tells_what_makes_it(tmp_path):
    with pytest.raises(UserError, match="run `snakemake plan`"):
        read_study(tmp_path / "study.json")


def test_a_table_is_not_split_by_the_laws():
    table = {"path": "t.csv", "factors": {"N": "N"}, "targets": {"loss": "loss"}}
    with pytest.raises(UserError, match=r"laws\.split = .*write it as table\.split"):
        validate({"study": "t", "table": table, "laws": {"split": "N < 2"}})
    resolved = validate({"study": "t", "table": table}).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert validate(resolved).table.split is None
