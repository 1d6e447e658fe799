"""The site file: shipped as the code says, mistakes in one line, found by a profile's default resources."""

from pathlib import Path

import pytest
import yaml
from snakemake.settings.types import DeploymentMethod

from vlmfrontier.cluster.options import without_container
from vlmfrontier.cluster.site import Site, read_site, shipped_site, site_file, site_or_exit
from vlmfrontier.errors import UserError

ROOT = Path(__file__).parents[3]
SITE_FILE = shipped_site()


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


TWO = """
gpu:
  - &one {partition: a, model: a100, memory: 40, flops: 19.5e12, flops_bf16: 312e12%s}
  - {<<: *one, partition: b%s}
"""
MISTAKES = [
    ("gpu: {memry: 80}", "gpu.memry: no such key; did you mean 'memory'?"),
    ("acount: lab", "acount: no such key; did you mean 'account'?"),
    ("mail: {adress: a}", "mail.adress: no such key; did you mean 'address'?"),
    ("cpu: {partion: a}", "cpu.partion: no such key; did you mean 'partition'?"),
    (TWO % ("", ", modell: x"), "gpu, entry 2.modell: no such key; did you mean 'model'?"),
    ("gpu: {mfu: 2}", "gpu.mfu = 2: Input should be less than or equal to 1"),
    ("cpu: {hours: 0}", "cpu.hours = 0: "),
    ("gpu: {hours: .nan}", "gpu.hours = nan: must be a finite number"),
    ("gpu: {hours: 1e9}", "gpu.hours = "),
    ("gpu: {hours: 0.001}", "minutes = 30: longer than partition gpu takes (0.001 hours)"),
    ("minutes: 5000", "minutes = 5000: longer than partition cpu takes (24 hours)"),
    ("warning: 3000", "warning = 3000: not before the limit of partition gpu (48 hours)"),
    ("gpu: []", "gpu = []: "),
    ("gpu: gpu", "gpu = 'gpu': "),
    ("gpu: [gpu]", "gpu, entry 1 = 'gpu': "),
    ("gpu: null", "gpu = None: "),
    ("gpu: [{partition: a}, {partition: b}]", "gpu, entry 1: memory, flops, flops_bf16 missing: each of several"),
    ("gpu: [{partition: a}, {memory: 5}]", "gpu, entry 1: memory, flops, flops_bf16 missing"),
    ((TWO % ("", "")).replace("partition: b", "memory: 80"), "gpu, entry 2: a a100 is written twice; take one out"),
    (TWO % ("", ", price: 2"), "gpu: a price must be written for all GPUs, or for none"),
    ("choose: cheapest", "choose = 'cheapest': needs a price; write gpu.price for all GPUs"),
    ("choose: best", "choose = 'best': Input should be 'first', 'cheapest' or 'fastest'"),
    ("gpu: {price: -1}", "gpu.price = -1: "),
    ("gpu: {price: free}", "gpu.price = 'free': "),
    ("currency: 'a|b'", "currency = 'a|b': write a currency such as EUR, $ or credits"),
    ("currency: a currency with a long name", "currency = "),
    ("account: 1234", "account = 1234: must be text; write it in quotes"),
    ("account: yes", "account = True: must be text; write it in quotes"),
    ("account: a b", "account = 'a b': write a name of letters, digits and . _ - only"),
    ("account: '$(id)'", "account = '$(id)': write a name"),
    ("account: ''", "account = '': write a name"),
    ("qos: '-x'", "qos = '-x': write a name"),
    ("qos: [a]", "qos = ['a']: "),
    ("reservation: 'a;b'", "reservation = 'a;b': write a name"),
    ("constraint: 'a\"b'", "constraint = 'a\"b': write features as for sbatch"),
    ("constraint: a b", "constraint = 'a b': write features"),
    ("gpu: {partition: 'a,,b'}", "gpu.partition = 'a,,b': write each name once, with a comma between two"),
    ("gpu: {partition: [a, a]}", "gpu.partition = ['a', 'a']: write each name once"),
    ("gpu: {partition: []}", "gpu.partition = []: "),
    ("gpu: {partition: 'a b'}", "gpu.partition = 'a b': write names"),
    ("gpu: {model: 'a100:2'}", "gpu.model = 'a100:2': "),
    ("gpu: {cpus: 0}", "gpu.cpus = 0: "),
    ("gpu: {per_node: 1.5}", "gpu.per_node = 1.5: "),
    ("gpu: {cuda: maybe}", "gpu.cuda = 'maybe': "),
    ("exclude: 'a b'", "exclude, entry 1 = 'a b': write names of nodes: gpu07, or gpu[07-09]"),
    ("exclude: [--all]", "exclude, entry 1 = '--all': write names of nodes"),
    ("exclude: [7]", "exclude, entry 1 = 7: must be text; write it in quotes"),
    ("exclude: {a: b}", "exclude = {'a': 'b'}: "),
    ("mail: ann@lab.org", "mail = 'ann@lab.org': "),
    ("mail: {address: 'a b'}", "mail.address = 'a b': write an address such as name@lab.org"),
    ("mail: {when: [DONE]}", "mail.when, entry 1 = 'DONE': no time at which Slurm writes"),
    ("mail: {when: []}", "mail.when = []: "),
    (
        "extra: [--partition=x]",
        "extra, entry 1 = '--partition=x': --partition has a key of its own: write gpu.partition",
    ),
    ("extra: [--part=x]", "extra, entry 1 = '--part=x': --partition has a key of its own"),
    ("extra: [-px]", "extra, entry 1 = '-px': --partition has a key of its own"),
    ("extra: [--qos=x]", "extra, entry 1 = '--qos=x': --qos has a key of its own: write qos"),
    ("extra: [-xnode1]", "extra, entry 1 = '-xnode1': --exclude has a key of its own: write exclude"),
    ("extra: [--gres=gpu:1]", "extra, entry 1 = '--gres=gpu:1': --gres has a key of its own"),
    ("extra: [-t5]", "extra, entry 1 = '-t5': --time has a key of its own"),
    ("extra: [--output=x]", "extra, entry 1 = '--output=x': --output is set by the workflow; take it out"),
    ("extra: [-Jname]", "extra, entry 1 = '-Jname': --job-name is set by the workflow; take it out"),
    ("extra: [--array=1-3]", "extra, entry 1 = '--array=1-3': --array is set by the workflow"),
    ("extra: [--no-requeue]", "extra, entry 1 = '--no-requeue': --no-requeue is set by the workflow"),
    ("extra: [--wrap=id]", "extra, entry 1 = '--wrap=id': --wrap is set by the workflow"),
    ("extra: [nice]", "extra, entry 1 = 'nice': not one option; write --name or --name=value"),
    ("extra: ['--nice 100']", "extra, entry 1 = '--nice 100': not one option"),
    ("extra: [--nice, 100]", "extra, entry 2 = 100: must be text; write it in quotes"),
    ("extra: ['--']", "extra, entry 1 = '--': not one option"),
    ('extra: ["--a=b\\nrm"]', "extra, entry 1 = '--a=b\\nrm': not one option"),
    ("extra: ['--wckey=x -J y']", "'--wckey=x -J y': the Slurm plugin would take a part for its own option"),
    ("before: [7]", "before, entry 1 = 7: must be text; write it in quotes"),
    ("before: ['echo \"open']", "before = ['echo \"open']: bash cannot read these lines"),
    ("before: 'if true; then'", "before = 'if true; then': bash cannot read these lines"),
    ("container: 'my image.sif'", "container = 'my image.sif': write a path or an address"),
    ("container: 'a.sif; id'", "container = 'a.sif; id': write a path"),
    ("container: true", "container = True: must be text; write it in quotes"),
    ("scratch: ''", "scratch = '': "),
    ("minutes: ten", "minutes = 'ten': "),
    ('qos: "a\\x07b"', "qos = 'a\\x07b': "),
    ("account: " + "x y" * 400, "account = 'x y"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text.strip()[:50] for text, _ in MISTAKES])
def test_a_mistake_is_told_in_one_line_with_file_and_key(tmp_path: Path, text: str, message: str):
    file = tmp_path / "site.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_site(file)
    assert str(error.value).startswith(f"{file}: {message}")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(file)) + 300
    with pytest.raises(SystemExit, match=r"^error: "):
        site_or_exit(file)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("gpu: {partition: [a, b]}", lambda site: site.gpu[0].partition, "a,b"),
        ("exclude: gpu07", lambda site: site.exclude, ("gpu07",)),
        ("exclude: ['gpu[01-04,07]', x9]", lambda site: site.exclude, ("gpu[01-04,07]", "x9")),
        ("extra: --nice=100", lambda site: site.extra, ("--nice=100",)),
        ("extra: [--exclusive, -k, '--dependency=singleton', '--comm'+'x']".replace("+'x'", ""), None, None),
        ("before: |\n  module load cuda\n\n  export X='a b'\n", lambda site: site.before[1], "export X='a b'"),
        ("before: null", lambda site: site.before, ()),
        ("mail: {address: ann, when: end}", lambda site: site.mail.when, ("END",)),
        ("gpu: [{partition: a}]", lambda site: site.gpu[0].memory, 80),
        (TWO % ("", ""), lambda site: [gpu.partition for gpu in site.gpu], ["a", "b"]),
        ("currency: €", lambda site: site.currency, "€"),
        ("container: docker://ghcr.io/lab/image:1.0", lambda site: site.container, "docker://ghcr.io/lab/image:1.0"),
        ("account: Projekt_Ä-1", lambda site: site.account, "Projekt_Ä-1"),
        ("constraint: 'a100&nvlink|[h1*2|h2]'", lambda site: site.constraint, "a100&nvlink|[h1*2|h2]"),
    ],
)
def test_what_labs_write_is_taken(tmp_path: Path, text: str, key, value):
    file = tmp_path / "site.yaml"
    file.write_text(text)
    if key is None:
        with pytest.raises(UserError, match=r"extra, entry 4 = '--comm': --comment is set by the workflow"):
            read_site(file)
    else:
        assert key(read_site(file)) == value


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


def test_the_example_of_several_gpus_in_the_docs_is_valid(tmp_path: Path):
    text = (ROOT / "docs/slurm.md").read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "site.yaml").write_text(text)
    assert [gpu.partition for gpu in read_site(tmp_path / "site.yaml").gpu] == ["a100", "small,preempt", "h100"]


def test_every_key_stands_in_the_docs():
    table = (ROOT / "docs/slurm.md").read_text().split("## The site file")[1].split("Several kinds of GPU")[0]
    assert [key for key in Site.model_fields if f"`{key}`" not in table] == []


@pytest.mark.parametrize(
    ("written", "deployment", "said"),
    [
        ("docker://lab/image", ["apptainer"], ""),
        ("docker://lab/image", [], "docker://lab/image needs Apptainer; add --software-deployment-method apptainer"),
        ("docker://lab/image", ["conda"], "needs Apptainer"),
        ("image.sif", [DeploymentMethod.CONDA, DeploymentMethod.APPTAINER], ""),
        ("other.sif", ["apptainer"], "other.sif: no such file; envs/apptainer.def says how to build it"),
    ],
)
def test_a_container_needs_its_image_and_apptainer(tmp_path: Path, written: str, deployment: list[str], said: str):
    (tmp_path / "image.sif").touch()
    (tmp_path / "site.yaml").write_text(f"container: {written}")
    image = read_site(tmp_path / "site.yaml").container
    assert "://" in image or image == str(tmp_path / written)  # beside the file that names it, wherever one calls from
    problem = without_container(image, deployment)
    assert (said in problem) if said else problem == ""
    assert without_container(None, deployment) == ""


def test_the_image_has_the_versions_of_the_constraints_and_a_python_of_its_own():
    recipe = (ROOT / "envs/apptainer.def").read_text()
    assert "-c /opt/source/constraints.txt" in recipe
    for line in recipe.split("%files\n")[1].split("\n\n")[0].splitlines():
        assert (ROOT / line.split()[0]).exists(), line
    assert "python -m venv /opt/" in recipe  # a Python in the place of the controller's must be the controller's
