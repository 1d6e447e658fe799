"""Before the runs: `plan`, `fetch`, `data`, and the schema of what a study may say."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from vlmfrontier import command_line
from vlmfrontier.errors import UserError
from vlmfrontier.files import REPOSITORY

MOST_PROCESSES = 1024
FETCHED = ("models", "data", "benchmarks")
"""What a study may have fetched."""


def plan_arguments(parser: ArgumentParser) -> None:
    from vlmfrontier.cluster.site import shipped_site

    parser.add_argument(
        "--configfile", type=Path, nargs="*", default=[Path("config.yaml")], help="later files change earlier ones"
    )
    parser.add_argument("--set", default="{}", metavar="JSON", help='changes on top: \'{"finetune": {"epochs": 2}}\'')
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all studies")
    parser.add_argument("--site", type=Path, default=shipped_site(), help="cluster that GPUs and hours are counted for")


def plan(given: Namespace) -> None:
    """Resolve a study and plan its runs: vlmfrontier plan --configfile mine.yaml

    Writes results/<study>/study.json (what every other command reads), plan.csv and plan.md. Starts no job.
    """
    from vlmfrontier import made
    from vlmfrontier.cluster.site import read_site
    from vlmfrontier.paths import ResultsFolder
    from vlmfrontier.study.load import load_study, write_study
    from vlmfrontier.sweep.evaluations import uncounted
    from vlmfrontier.sweep.plan import write_plan
    from vlmfrontier.sweep.plan_page import assumptions, stage_1, summary, sweep_totals
    from vlmfrontier.sweep.runs import plan_runs
    from vlmfrontier.sweep.status import REFUSED
    from vlmfrontier.workflow import not_installed, own_table, with_forms

    site = read_site(given.site)
    try:
        overrides = json.loads(given.set)
    except json.JSONDecodeError as error:
        raise UserError(f"--set {given.set!r} is not JSON: {error}") from None
    study = load_study(given.configfile, overrides)
    study, notes = with_forms(study, plan_runs(study), None if study.trained else own_table(study))
    folder = given.results / study.study
    write_study(study, folder / "study.json")
    runs = write_plan(study, folder, site)
    made.note(study, ResultsFolder(folder), "plan.csv")
    print(f"study {study.study}: {summary(runs, uncounted(study, folder))} → {folder / 'plan.md'}")
    for table in (sweep_totals(runs), stage_1(study, site, folder)):
        if not table.empty:
            print(table.to_string(index=False))
    for note in [*notes, *not_installed(study)]:
        print(f"note: {note}")
    for sentence in assumptions(study, site, folder):
        print(f"assumed: {sentence}")
    for run, reason in runs.loc[runs.status == REFUSED, ["run", "reason"]].itertuples(index=False):
        print(f"refused: {run}: {reason}")


def fetch_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser)
    parser.add_argument("what", nargs="?", choices=("all", *FETCHED), default="all", help="default: all that it has")
    parser.add_argument("--split", choices=("train", "align"), help="of the data: align is the set of stage 1")
    parser.add_argument("--offline", action="store_true", help="of benchmarks: fetch nothing, look at what is there")


def fetch(given: Namespace) -> None:
    """Fetch what a study takes from the network, the one step that needs one: vlmfrontier fetch models --study paper

    models       into models.hub, else models/hub/, safetensors only; writes models/fetched.json: commit, size
    data         annotations and videos of training sets, where data.llava says, archives unpacked; writes
                 data/<split>/fetched.json: commit, files, records and missing videos of each set
    benchmarks   data sets and videos of evaluate.lmms_eval; writes data/benchmarks.json when everything is there

    What is there already is not fetched again, so a call that was stopped goes on. Models and data behind a licence
    need `hf auth login`, or HF_TOKEN, of an account that has accepted it. Models in folders of your own are only
    looked at.
    """
    from vlmfrontier.paths import ResultsFolder
    from vlmfrontier.study.load import read_study

    study, results = read_study(given.study), ResultsFolder(given.study.parent)
    if not study.trained:
        raise UserError(f"study {study.study}: it starts from a table; there is nothing to fetch")
    if given.what == "models" or (given.what == "all" and study.models.pretrained):
        _fetch_models(study, results)
    if given.what in ("all", "data"):
        every = [name for name in ("train", "align") if study.data.fetched(name)]
        for split in [given.split] if given.split else every:
            _fetch_data(study, split, results)
    if given.what == "benchmarks" or (given.what == "all" and study.evaluate.harness == "lmms-eval"):
        _fetch_benchmarks(study, results, given.offline)


def _fetch_models(study, results) -> None:
    from vlmfrontier.models.fetch import fetch_models

    for key, found in fetch_models(study, results).items():
        print(f"{key}: {found['parameters']:,} parameters, {found['gigabytes']:.1f} GB, commit {found['commit']}")
    print(f"models → {results.fetched_models}")


def _fetch_data(study, split: str, results) -> None:
    from vlmfrontier.data.fetch import fetch_split

    found = fetch_split(study, split, results, lambda line: print(line, flush=True))
    for name, entry in found.items():
        print(f"{name}: {entry['records']:,} records, {entry['videos']:,} videos, {entry['missing']:,} missing")
    print(f"data → {results.fetched_data(split)}")


def _fetch_benchmarks(study, results, offline: bool) -> None:
    from vlmfrontier.evaluation.lmms.harness import fetch as fetch_benchmarks

    for name, there in fetch_benchmarks(study, results, offline).items():
        print(f"{name}: {there['questions']} questions about {there['videos']} videos, {there['missing']} missing")
    print(f"benchmarks in {results.benchmarks(study.evaluate)} → {results.fetched}")


def data_arguments(parser: ArgumentParser) -> None:
    command_line.study_argument(parser, default=None)
    parser.add_argument("--split", help="of a study: train, test, or align (for stage 1)")
    parser.add_argument("--processes", type=int, default=1, help="processes that make or check videos")
    own = parser.add_argument_group("without a study")
    own.add_argument("--annotations", type=Path, nargs="+", help="LLaVA-style JSON or JSON Lines files")
    own.add_argument("--videos", type=Path, help="folder that the records' videos are in")
    own.add_argument("--output", type=Path, help="folder to write to")
    own.add_argument("--name", default="mine", help="name of the set, which its ids begin with")
    own.add_argument("--kind", choices=("video", "image"), default="video", help="what the records are about")
    own.add_argument("--count", type=int, help="records the files must have")
    own.add_argument("--ids", choices=("unique", "repeated"), default="unique", help="whether records share ids")
    own.add_argument("--extensions", nargs="*", default=[], help="endings to try behind names that are no file")
    own.add_argument("--failures", type=float, default=0.01, help="share of records that may have a problem")
    own.add_argument("--timeout", type=float, default=60.0, help="seconds after which a video is given up on")
    own.add_argument("--checked-frames", type=int, default=3, help="frames of each video to decode; 0: all")


def data(given: Namespace) -> None:
    """Write one split of a study's videos and questions, or check any set of videos with conversations.

        vlmfrontier data --study digits --split train
        vlmfrontier data --annotations mine.json --videos videos/ --output prepared/

    Writes data/<split>/, or the output folder: of a study with `data.source: digits` videos/*.mp4, conversations.json,
    questions.json and the cache of decoded frames; of real videos, which stay where they are, conversations.jsonl,
    videos.csv (length, rate, size, codec of each) and problems.csv (every record that was left out, and why).
    manifest.json comes last. What was looked into already is not looked into again, so a call that was stopped goes on.
    """
    if not 1 <= given.processes <= MOST_PROCESSES:
        raise UserError(f"--processes {given.processes}: from 1 to {MOST_PROCESSES}, as many as there are cores")
    manifest, folder = _prepare_of_study(given) if given.study else _prepare_own(given)
    left_out = sum(manifest.get("problems", {}).values())
    told = f", {left_out:,} records left out (problems.csv)" if left_out else ""
    print(f"{manifest['split']}: {manifest['videos']} videos, {manifest['questions']} questions{told} → {folder}")


def _prepare_own(given: Namespace) -> tuple[dict, Path]:
    """Return the manifest and the folder of a set that no study names."""
    from pydantic import ValidationError

    from vlmfrontier.data.prepare import build_llava
    from vlmfrontier.study.data import LlavaConfig, SourceConfig

    if not (given.annotations and given.videos and given.output):
        raise UserError("give either --study and --split, or --annotations, --videos and --output")
    try:
        source = SourceConfig(
            name=given.name,
            annotations=[str(path) for path in given.annotations],
            videos=str(given.videos),
            kind=given.kind,
            count=given.count,
            ids=given.ids,
            extensions=given.extensions,
        )
        settings = LlavaConfig(failures=given.failures, timeout=given.timeout, checked_frames=given.checked_frames)
    except ValidationError as error:
        wrong = [(str(mistake["loc"][0]).replace("_", "-"), mistake) for mistake in error.errors()]
        raise UserError("\n".join(f"--{name} {m['input']!r}: {m['msg']}" for name, m in wrong)) from None
    manifest = build_llava(
        given.output, given.name, [source], settings, 0, given.processes, lambda line: print(line, flush=True)
    )
    return manifest, given.output


def _prepare_of_study(given: Namespace) -> tuple[dict, Path]:
    """Return the manifest and the folder of one split of a study."""
    from vlmfrontier.data.prepare import prepare_split
    from vlmfrontier.paths import ResultsFolder
    from vlmfrontier.study.load import read_study

    if given.split is None:
        raise UserError("--split is missing: train, test or align")
    folder = ResultsFolder(given.study.parent).split(given.split)
    return prepare_split(read_study(given.study), given.split, folder, given.processes), folder


def schema_arguments(parser: ArgumentParser) -> None:
    default = REPOSITORY / "workflow" / "schemas" / "config.schema.json"
    parser.add_argument("--output", type=Path, default=default, help="default: the one in the repository")


def schema(given: Namespace) -> None:
    """Write the JSON schema of configuration files: vlmfrontier schema

    Writes workflow/schemas/config.schema.json, by which editors complete and check keys. Call it after a change.
    """
    from vlmfrontier.study.load import json_schema

    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    print(f"schema → {given.output}")
