"""Names that become paths and command lines."""

import pytest

from vlmfrontier.errors import UserError
from vlmfrontier.study.load import validate

TOWER = {"hidden_size": 24, "layers": 2, "heads": 2}
BAD = [
    "../../../pwnt",
    "a/b",
    "<b>",
    "..",
    ".x",
    "-x",
    "a\0b",
    "a\nb",
    "{target}",
    " a",
    "a ",
    "",
    "x" * 300,
    "ä" * 60,
    "a\\b",
]


def with_target(name: str) -> dict:
    return {"study": "t", "table": {"path": "t.csv", "factors": {"N": "N"}, "targets": {name: "loss"}}}


@pytest.mark.parametrize("name", BAD)
def test_a_target_that_is_no_file_name_is_refused(name):
    with pytest.raises(UserError, match="cannot be a name"):
        validate(with_target(name))


@pytest.mark.parametrize("name", BAD)
def test_a_language_model_that_is_no_folder_name_is_refused(name):
    with pytest.raises(UserError, match="cannot be a name"):
        validate({"study": "t", "models": {"language": {name: TOWER}}})


@pytest.mark.parametrize("name", ["top-1 acc", "größe", "x;touch PWNED;y", "it's", "100%", "$(id)"])
def test_a_name_that_quoting_makes_safe_is_taken(name):
    assert validate(with_target(name)).targets() == [name]


def test_two_names_that_differ_in_case_only_are_refused():
    given = with_target("loss")
    given["table"]["targets"]["LOSS"] = "b"
    with pytest.raises(UserError, match="would be one file"):
        validate(given)
