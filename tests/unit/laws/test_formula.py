"""Forms by formula: what can be read, what is refused and why, and how laws are written out."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser

from benchmarks.synthetic import paper_sweep
from tests.made_studies import STUDY, fitted, made, points
from vlmfrontier.command.status import print_answer
from vlmfrontier.errors import UserError
from vlmfrontier.laws.bagging import cross_validated
from vlmfrontier.laws.fit import LawFit, fit, write_words
from vlmfrontier.laws.forms import FORMS, form_for
from vlmfrontier.laws.formula import read_formula
from vlmfrontier.laws.listing import settled
from vlmfrontier.laws.selection import fit_target
from vlmfrontier.laws.words import formula, formula_tex
from vlmfrontier.paths import LawsFolder
from vlmfrontier.report import laws_section
from vlmfrontier.report.blocks import markdown
from vlmfrontier.report.study_report import StudyReport
from vlmfrontier.study.analysis import LawsConfig
from vlmfrontier.study.load import write_study
from vlmfrontier.sweep.fingerprints import laws_fingerprint

NTV = ("N", "T", "V")
X = np.array([[1.0, 4.0, 9.0], [7.5, 32.0, 196.0]])
n = np.array([0.25, 2.0])


def read(text, factors=NTV, has_data=True):
    return read_formula(text, factors, has_data, "laws.forms.mine")


def flat(terms):
    """Return terms as text: `gamma T-p V-q`."""
    return [
        " ".join([term.coefficient, *(f"{p.variable}{'-' if p.sign < 0 else '+'}{p.exponent}" for p in term.powers)])
        for term in terms
    ]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (
            "alpha_N*N^-a_N + gamma*T^-p*V^-q + xi*n^-d + epsilon",
            ["alpha_N N-a_N", "gamma T-p V-q", "xi n-d", "epsilon"],
        ),
        ("E + A*N**-a + B/n^d", ["E", "A N-a", "B n-d"]),
        ("g*N^-a", ["g N-a"]),  # without a floor: errors fall to 0
        ("g*(T*V)^-p + e", ["g T-p V-p", "e"]),
        ("g*(T/V)^-p + e", ["g T-p V+p", "e"]),
        ("g/(T^p*V^q) + e", ["g T-p V-q", "e"]),
        ("+g*N^(-a)", ["g N-a"]),
        ("g*N^-(a) + h*V^+b*n^-d", ["g N-a", "h V+b n-d"]),
        ("f = α_N·N^(−a_N) + β_N·N^(b_N)·n^(−d) + ε", ["α_N N-a_N", "β_N N+b_N n-d", "ε"]),  # as laws are written
        ("g*N^--a", ["g N+a"]),
        ("g*N^-x +\n  h*T^-x\n  + e", ["g N-x", "h T-x", "e"]),  # one exponent of two factors
        ("g*N^-a*n^-d + h*n^-d", ["g N-a n-d", "h n-d"]),
        ("(g*N^-a) + (h*T^-b + e)", ["g N-a", "h T-b", "e"]),
        ("T^-p*g*V^-q", ["g T-p V-q"]),
        ("g*N^-a+h*N^-b", ["g N-a", "h N-b"]),
    ],
)
def test_sums_of_products_of_powers_are_read(text, terms):
    assert flat(read(text)) == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the formula is empty"),
        (" \n ", "the formula is empty"),
        ("epsilon", "depends on nothing"),
        ("N^-a", r"'N\^\(-a\)' has no coefficient; .* as in 'alpha\*N"),
        ("2*g*N^-a", "has the number 2; write a name"),
        ("1/N^a", "has the number 1; write a name"),
        ("g*N^-0.5 + e", "has the number 0.5 as an exponent; write a name"),
        ("g*N", "has N without an exponent"),
        ("g*n + e", "has n without an exponent"),
        ("T*V^-a", "has T without an exponent"),
        ("g*h*N^-a", "has two coefficients, g and h, which act as one"),
        ("g*N^-a + g*T^-b", "uses the coefficient g in two terms"),
        ("g*N^-g", "uses g as a coefficient and as an exponent"),
        ("g*N^-h + h*T^-a", "uses h as a coefficient and as an exponent"),
        ("g*K^-a", "no factor 'K'; powers are of N, T, V, n"),
        ("g*(T*K)^-p", "no factor 'K'"),
        ("g*N^T", "uses T, which is a factor, as a parameter"),
        ("g*N^n", "uses n, which is the data size, as a parameter"),
        ("g*(N^-a + T^-b)", "has the sum .* inside a product; multiply it out"),
        ("g*(N^-a - T^-b)", "has the sum .* inside a product"),
        ("g*N^-a - e", "subtracts 'e', and terms are only added"),
        ("-g*N^-a", "subtracts 'g'"),
        ("g*-N^-a", "subtracts"),
        ("g/h", "divides by 'h'"),
        ("g*N^-a*N^-b", "has two powers of N, which act as one"),
        ("g*N^-a + h*N^-a", "two terms that act as one, of g and h"),
        ("g*N^-a + e + h", "two terms that act as one, of e and h"),
        ("g*N^-a*n^-d + h*n^-q", "n with several exponents, d and q; a law has one power of n"),
        ("g*n^d", "a positive power of n; write n\\^-d"),
        ("g*log(N)", r"may not contain 'log\(N\)'"),
        ("g*N^(2*a)", r"has the exponent '2\*a'; write one name"),
        ("g*N^(a+b)", "has the exponent 'a \\+ b'"),
        ("g*N^-a^b", "has the exponent"),
        ("g*(N^a)^-b", r"has a power of 'N\^a'"),
        ("g*2^-a", "has a power of '2'"),
        ("C*N^-a", "uses the name C, which has a meaning of its own"),
        ("g*N^-c", "uses the name c, which"),
        ("objective*N^-a", "uses the name objective, which"),
        ("lambda*N^-a", "'lambda' is a word of Python .*; write lambda_1"),
        ("g*N^-a if 1 else 2", "'if' is a word of Python"),
        ("__import__('os').system('x')", "may not contain"),
        ("g*N[0]", "may not contain 'N\\[0\\]'"),
        ("x.y*N^-a", "may not contain 'x.y'"),
        ("g*N^-a == 3", "may not contain"),
        ("g % N", "may not contain"),
        ("g*N^", "is not a formula"),
        ("(g*N^-a", "is not a formula"),
        ("g N^-a", "is not a formula"),
        ("(" * 500 + "g" + ")" * 500, "is not a formula|too deeply|characters"),
        ("g*N^-a + " * 200 + "e", "characters; write at most"),
        (" + ".join(f"g{i}*N^-a{i}" for i in range(31)), "31 terms; write at most 30"),
    ],
)
def test_everything_else_is_refused_in_one_line_that_says_where(text, message):
    with pytest.raises(UserError, match=message) as refused:
        read(text)
    assert str(refused.value).startswith("laws.forms.mine: ")
    assert "\n" not in str(refused.value).replace(text, "")


def test_n_needs_a_data_column():
    with pytest.raises(UserError, match="has n, and the table has no data column"):
        read("g*N^-a + xi*n^-d", has_data=False)
    assert flat(read("g*N^-a + e", has_data=False)) == ["g N-a", "e"]


def test_a_form_by_formula_predicts_what_its_formula_says():
    form = form_for("mine", NTV, True, "g*(T/V)^-p*n^-q + h*N^-a + e")
    assert form.parameter_names == ("g", "p", "q", "h", "a", "e")
    assert form.data_exponent == "q"
    g, p, q, h, a, e = theta = np.array([3.0, 0.4, 0.3, 5.0, -0.2, 7.0])
    by_hand = g * (X[:, 1] / X[:, 2]) ** -p * n**-q + h * X[:, 0] ** -a + e
    assert form.predict(theta, X, n) == pytest.approx(by_hand, rel=1e-13)
    A, B, d = form.split_in_data(theta[None], X)
    assert (A + B * n**-d)[0] == pytest.approx(by_hand, rel=1e-13)


def test_a_formula_without_n_is_split_without_n():
    A, B, d = form_for("mine", NTV, True, "g*N^-a + e").split_in_data([[2.0, 0.5, 1.0]], X)
    assert A[0] == pytest.approx(2 * X[:, 0] ** -0.5 + 1)
    assert not B.any()
    assert not d.any()


def test_add_tokens_has_a_product_of_frames_and_tokens_that_data_dilute():
    form = form_for("add-tokens", NTV, True)
    assert flat(form.terms)[3:] == ["gamma T+g_T V+g_V n-d", "xi n-d", "epsilon"]
    assert len(form.parameter_names) == 12
    assert not any(form.is_main_exponent[form.index(name)] for name in ("g_T", "g_V"))  # a gain together, or a price
    with pytest.raises(UserError, match="add-tokens has a term in T and V, and there is no factor V"):
        form_for("add-tokens", ("N", "T"), True)


def test_what_is_written_can_be_read():
    for name in ("add-interact", "add-tokens", "mult"):
        form = form_for(name, NTV, True)
        assert flat(read(formula(form).replace("γ", "gamma"))) == [
            text.replace("alpha", "α").replace("beta", "β").replace("xi", "ξ").replace("epsilon", "ε")
            for text in flat(form.terms)
        ]


def test_vanished_terms_and_powers_are_not_written_nor_two_signs():
    form = form_for("add-ceiling", NTV, True)
    values = dict.fromkeys(form.parameter_names, 0.0) | {"alpha_T": 2.0, "a_T": -0.3, "alpha_V": 1.5, "epsilon": 6.3e-5}
    values["C"] = 87.25
    assert formula(form, values) == "f = g/(1 + (g/87.25)^4)^(1/4), g = 2·T^(0.3) + 1.5"
    assert formula_tex(form, values) == (r"f = g / \left(1 + (g/87.25)^{4}\right)^{1/4}, g = 2 \, T^{0.3} + 1.5")


def test_terms_that_are_written_alike_are_one():
    """As where n has no influence: d = 0, and interactions are main terms again."""
    form = form_for("add-interact-s", ("N", "T"), True)
    values = dict.fromkeys(form.parameter_names, 0.0) | {"alpha_T": 31.0, "a_T": 0.3911, "beta_T": 4.5, "b_T": -0.3911}
    assert formula(form, values | {"beta_N": 6.3e-5, "b_N": 3.0}) == "f = 35.5·T^(−0.3911) + 6.3e−05·N^(3)"
    assert formula_tex(form, values | {"d": 0.2}) == r"f = 31 \, T^{-0.3911} + 4.5 \, T^{-0.3911} \, n^{-0.2}"


def test_formulas_in_tex_have_letters_and_words():
    form = form_for("mine", ("N", "tokens"), True, "E_0 + beta_long*N^-alpha + γ*tokens^b*n^-d")
    assert formula_tex(form) == (
        r"f = E_{0} + \beta_{\mathrm{long}} \, N^{-\alpha} + \gamma \, \mathrm{tokens}^{b} \, n^{-d}"
    )
    assert formula_tex(form_for("mult-soft-ceiling", ("N",), False)) == (
        r"f = g/(1 + g/C), g = \alpha \, N^{-a_{N}} + \epsilon"
    )


@pytest.mark.parametrize("name", [f"{name}{suffix}" for name in FORMS for suffix in ("", "-ceiling", "-soft-ceiling")])
def test_all_formulas_are_valid_tex(name):
    form, parser = form_for(name, NTV, True), MathTextParser("path")
    numbers = dict(zip(form.parameter_names, np.geomspace(1e-9, 1e7, len(form.parameter_names)), strict=True))
    for text in (formula_tex(form), formula_tex(form, numbers)):
        assert parser.parse(f"${text}$").width > 100


def named(config=None, factors=NTV, has_data=True, ceiling=True, configurations=None):
    laws, notes = settled(config or LawsConfig(), factors, has_data, ceiling, configurations)
    return laws.forms, notes


def test_without_forms_they_follow_from_what_the_table_has():
    paper = ["mult", "add", "add-interact-s", "add-interact"]
    everything, notes = named()
    assert everything == [
        "mult", "add", "add-ceiling", "add-tokens", "add-interact-s", "add-interact-s-ceiling", "add-interact",
    ]  # fmt: skip
    assert notes == []
    assert named(ceiling=False, factors=("N", "T"))[0] == paper
    assert named(LawsConfig(ceiling=None), factors=("N", "T"))[0] == paper
    assert named(has_data=False)[0] == ["mult", "add", "add-ceiling"]
    assert named(LawsConfig(preset="paper"))[0] == paper
    assert named(LawsConfig(formulas={"mine": "g*T^-a + e"}), ceiling=False, has_data=False)[0] == [
        "mine",
        "mult",
        "add",
    ]


def test_a_default_form_with_too_many_parameters_is_left_out_and_a_named_one_stays():
    forms, notes = named(configurations=12)
    assert forms == ["mult", "add", "add-ceiling"]
    assert notes[-1].startswith("add-interact is left out of laws.forms: with 15 parameters it needs at least 17 dist")
    assert named(LawsConfig(forms=["add", "add-interact"]), configurations=12) == (["add", "add-interact"], [])
    assert named(configurations=3)[0] == ["mult"]  # which the fit then refuses


@pytest.mark.parametrize(
    ("config", "factors", "has_data", "forms"),
    [
        (LawsConfig(forms=["mult", "add"]), ("N",), False, ["mult"]),
        (LawsConfig(), ("N",), False, ["mult", "add-ceiling"]),
        (LawsConfig(forms=["mult", "add"]), ("N",), True, ["mult", "add"]),
        (LawsConfig(forms=["mult", "add"]), ("N", "T"), False, ["mult", "add"]),
        (LawsConfig(forms=["add", {"mine": "e + x*n^-q + y*N^-p"}]), ("N",), True, ["add"]),
        (LawsConfig(forms=["add", {"mine": "e + x*n^-q + y*N^p"}]), ("N",), True, ["add", "mine"]),
        (LawsConfig(forms=["add", "add-ceiling", "add-soft-ceiling"]), ("N",), True, None),
        (LawsConfig(forms=[{"a": "x*N^-p + y*T^-p + e"}, {"b": "x*N^-p + y*T^-q + e"}]), ("N", "T"), True, ["a", "b"]),
    ],
)
def test_two_forms_with_the_same_terms_are_listed_once(config, factors, has_data, forms):
    found, notes = named(config, factors, has_data)
    assert found == (forms or config.forms)
    asked = config.forms or []
    assert len(notes) == len([name for name in asked if name not in found])
    assert all("it is the same law as" in note for note in notes)


OWN = "alpha_N*N^-a_N + gamma*T^-p*V^-q + xi*n^-d + epsilon"


def with_product(noise: float = 0.01):
    """Return the rows of the made study with the error of a law in which frames and tokens gain together."""
    frame = points(0)
    N, T, V, size = frame.params / 1e9, frame.frames, frame.tokens, frame.examples / 1e6
    error = 12 * N**-0.4 + 160 * T**-0.5 * V**-0.4 + 4 * size**-0.4 + 8
    return frame.assign(avg=error * np.random.default_rng(1).lognormal(0, noise, len(frame)))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory):
    """A study of a table whose right form is one by formula, from its table to its frontier."""
    forms = {"forms": ["add", {"mine": OWN}], "starts": 20, "preset": "fast", "resamples": 10}
    targets = {"avg": STUDY["table"]["targets"]["avg"]}
    study = {**STUDY, "table": {**STUDY["table"], "targets": targets}, "laws": forms}
    return fitted(made(tmp_path_factory.mktemp("own"), study, with_product()))


def test_a_form_by_formula_is_fitted_chosen_and_in_the_frontier(own):
    assert own.form_names == ["mine", "add"]
    assert own.chosen_form("avg") == "mine"
    law = own.law("avg")
    assert law.form.text == OWN
    assert law.parameters["p"] == pytest.approx(0.5, abs=0.15)
    write_words(own.table, law, own.laws_folder("avg").words("mine"), own.study.laws)
    assert own.laws_folder("avg").words("mine").read_text().splitlines()[1] == (
        "f = α_N·N^(−a_N) + γ·T^(−p)·V^(−q) + ξ·n^(−d) + ε"
    )
    frontier = own.frontier("avg")
    best = law.predict({"N": frontier.N, "T": frontier["T"], "V": frontier.V, "n": frontier.n})
    assert frontier.f.to_numpy() == pytest.approx(best, rel=0.03)
    assert "mine" in json.loads(own.laws_folder("avg").weights.read_text())
    assert formula(law.form) in markdown(laws_section.laws(StudyReport(own)), own.root)


def test_a_table_of_few_rows_is_fitted_with_the_default_forms_that_it_can_carry(own, tmp_path):
    few = own.table.rows(np.arange(12) * 3)
    found = fit_target(few, "avg", LawsConfig(starts=10, resamples=3, preset="fast", split=None), LawsFolder(tmp_path))
    assert list(found.weights) == ["mult", "add"]
    said = LawFit.load(tmp_path / "mult.json").warnings
    assert (
        "left_out: add-tokens is left out of laws.forms: with 12 parameters it needs at least 14 distinct"
        in "".join(said)
    )


def test_a_formula_that_was_damaged_in_a_law_is_named(own):
    path = own.laws_folder("avg").law("mine")
    whole = path.read_text()
    path.write_text(whole.replace("gamma*T^-p", "gamma*K^-p"))
    with pytest.raises(UserError, match=r"mine\.json: damaged: not a fitted law.*no factor 'K'"):
        LawFit.load(path)
    path.write_text(whole)


def test_another_formula_means_other_laws(own):
    other = own.study.model_copy(
        update={"laws": own.study.laws.model_copy(update={"formulas": {"mine": OWN.replace("xi", "zeta")}})}
    )
    assert laws_fingerprint(other) != laws_fingerprint(own.study)


def test_add_tokens_finds_that_visual_tokens_dilute():
    table = paper_sweep(seed=5)
    x = {name: values / table.units[name] for name, values in table.factors.items()}
    size = table.data / table.data_unit
    diluted = 0.8 * x["T"] ** 0.5 * x["V"] ** 0.3 * size**-0.4
    error = 8 * x["N"] ** -0.4 + 20 * x["T"] ** -0.6 + 30 * x["V"] ** -0.5 + diluted + 3 * size**-0.4 + 8
    error *= np.random.default_rng(0).lognormal(0, 0.005, len(table))
    table = replace(table, targets={"avg": error}, se={"avg": None})
    config = LawsConfig(starts=40, preset="fast", folds=5)
    law = fit(table, "add-tokens", "avg", config)
    assert law.parameters["g_T"] == pytest.approx(0.5, abs=0.15)
    assert law.parameters["g_V"] == pytest.approx(0.3, abs=0.15)
    off = {
        form: np.mean(np.log(cross_validated(table, form, "avg", config) / error) ** 2)
        for form in ("add-tokens", "add", "add-interact-s")
    }
    assert off["add-tokens"] < 0.7 * off["add-interact-s"]
    assert off["add-tokens"] < 0.5 * off["add"]


def test_a_study_whose_laws_are_to_be_made_again_has_no_answer_and_no_error(own, tmp_path, capsys):
    """As after `snakemake collect` with another `laws.ceiling`, which ends with what `status --answer` prints."""
    own.note(own.laws_folder("avg").root)
    file = tmp_path / "made" / "study.json"
    shutil.copytree(own.root, file.parent)
    print_answer(own.study, file)
    assert "Deploy" in capsys.readouterr().out
    other = own.study.model_copy(update={"laws": own.study.laws.model_copy(update={"ceiling": 90.0})})
    write_study(other, file)
    print_answer(other, file)
    assert capsys.readouterr().out.startswith(f"results are in {file.parent}/: ")
