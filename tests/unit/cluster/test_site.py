"""The site file: shipped as the code says, mistakes in one line, found by a profile's default resources."""

from pathlib import Path

import pytest
import yaml

from vlmfrontier.cluster.site import Site, read_site, shipped_site, site_file, site_or_exit
from vlmfrontier.errors import UserError

ROOT = Path(__file__).parents[3]
SITE_FILE = shipped_site(str(ROOT / "scripts/plan.py"))


def test_the_shipped_site_is_valid_and_shows_every_key_with_its_meaning():
    text = SITE_FILE.read_text()
    written = yaml.safe_load(text)
    assert read_site(SITE_FILE) == Site(account="lab")  # defaults, and an account that is there to be edited
    keys = Site().model_dump(mode="json")
    assert list(written) == list(keys)
    for section, shown in (("cpu", keys["cpu"]), ("gpu", keys["gpu"][0]), ("mail", keys["mail"])):
        assert sorted(written[section]) == sorted(shown)
    for line in text.splitlines():
        assert not line.strip() or "#" in line, f"{SITE_FILE.name}: {line.strip()}: says not what it is"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu: {memry: 80}", "gpu.memry: no such key; did you mean 'memory'?"),
        ("acount: lab", "acount: no such key; did you mean 'account'?"),
        ("gpu: {mfu: 2}", "gpu.mfu = 2: Input should be less than or equal to 1"),
        ("cpu: {hours: 0}", "cpu.hours = 0: "),
    ],
)
def test_a_mistake_is_told_in_one_line_with_file_and_key(tmp_path: Path, text: str, message: str):
    file = tmp_path / "site.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_site(file)
    assert str(error.value).startswith(f"{file}: {message}")
    assert "\n" not in str(error.value)
    with pytest.raises(SystemExit, match=r"^error: "):
        site_or_exit(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"gpu: [", "line 1: expected the node content"),
        (b"account: a\naccount: b\n", "line 2: the key 'account' is written twice"),
        ("account: lab".encode("utf-16"), "UTF-16"),
        (b"- 1", "expected a map of keys, found a list"),
        (b"\xff\x00\x80", "binary"),
    ],
)
def test_a_site_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes, message: str):
    file = tmp_path / "site.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_site(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_site_that_is_a_folder_or_a_loop_is_told(tmp_path: Path):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for path in (tmp_path, tmp_path / "loop.yaml"):
        with pytest.raises(UserError, match="cannot be read"):
            read_site(path)


def test_a_missing_site_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="no such file; the profile's `site` must name a site file"):
        read_site(tmp_path / "none.yaml")


def test_a_profile_names_its_site_by_a_default_resource():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert site_file(profile["default-resources"], ROOT) == SITE_FILE
    assert site_file(["tmpdir=system_tmpdir", "site=/a/b.yaml"], ROOT) == Path("/a/b.yaml")
    assert site_file(["tmpdir=system_tmpdir"], ROOT) is None
    assert site_or_exit(None) is None


def test_numbers_may_be_written_short():
    assert Site.model_validate({"gpu": {"flops": "312T"}}).gpu[0].flops == 312e12
