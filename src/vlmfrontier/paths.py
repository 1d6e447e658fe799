"""Where everything lies under `results/<study>/`: the grammar of paths, in one place; nothing is read here."""

from dataclasses import dataclass
from pathlib import Path

from vlmfrontier.errors import UserError
from vlmfrontier.study.evaluation import EvaluateConfig
from vlmfrontier.study.models import ModelsConfig, TowerConfig


def _at(name: str) -> property:
    """Return the path of `name` in a folder, as a property."""
    return property(lambda folder: folder.root / name)


def level_name(T: int, V: int) -> str:
    """Return what the levels that a model is tested at are called, in files and behind the @ of a row's name."""
    return f"T{T}_V{V}"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    root: Path

    finetuned = _at("finetuned.json")
    """Summary of the finished training, written last."""
    result = _at("result.json")
    """Everything about the run, written last by its evaluation."""
    model = _at("model")
    """Finetuned weights."""
    adapter = _at("adapter")
    """Low-rank updates, where a study keeps them beside the merged weights."""
    answers = _at("answers")
    """One file of answered questions per task."""
    answered = _at("answered.json")
    """Summary of the answers to benchmarks, written when all are given."""
    benchmarks = _at("benchmarks")
    """What lmms-eval left, answers and ratings as they came; declared by no rule."""
    state = _at("state")
    """Checkpoints and log of the training, declared by no rule."""
    log = _at("state/train.jsonl")
    """Losses and events of all attempts at the training."""

    @property
    def has_weights(self) -> bool:
        """Whether finetuned weights are there; a study may have them dropped once they have been evaluated."""
        return any(self.model.glob("*.safetensors"))

    def tested(self, T: int, V: int) -> Path:
        """Return the result of the model at T and V that are not its own."""
        return self.tested_at(level_name(T, V))

    def tested_at(self, levels: str) -> Path:
        """Return the same of levels by their name."""
        return self.root / "tested" / f"{levels}.json"

    def tested_answers(self, T: int, V: int) -> Path:
        """Return the folder of answers at T and V that are not the model's own, where a study keeps them."""
        return self.root / "tested" / level_name(T, V)


@dataclass(frozen=True)
class LawsFolder:
    """The folder of the laws of one target."""

    root: Path

    weights = _at("weights.json")
    """The share of every form in the pool, written last."""
    forms = _at("forms.csv")
    """How every form predicts, and which one is chosen."""
    predictions = _at("predictions.csv")
    """Every run under every form, seen and left out."""
    profile = _at("profile.csv")
    """Profile likelihoods of the chosen form."""

    def law(self, form: str) -> Path:
        """The fitted law of a form."""
        return self.root / f"{form}.json"

    def words(self, form: str) -> Path:
        """The same in words, with lmfit's report."""
        return self.root / f"{form}.txt"

    def bag(self, form: str) -> Path:
        """Its pairs bootstrap, a row per resample."""
        return self.root / f"{form}.bag.csv"


@dataclass(frozen=True)
class ResultsFolder:
    """The results folder of one study."""

    root: Path

    study_json = _at("study.json")
    """The study, resolved: every key with its value."""
    plan_csv = _at("plan.csv")
    """Every run, what it costs and how far it is."""
    plan_md = _at("plan.md")
    """The same for readers, with totals."""
    runs_csv = _at("runs.csv")
    """One row per run: the one door of the analysis."""
    runs_json = _at("runs.json")
    """What the laws must know of these rows."""
    next_runs_csv = _at("next_runs.csv")
    """Runs that would make the frontier surest."""
    next_runs_yaml = _at("next_runs.yaml")
    """The sweep that trains them."""
    report_html = _at("report.html")
    """The study as a page to read; the same as Markdown beside it."""
    explorer_html = _at("explorer.html")
    """The frontier as a page that answers any budget and n."""
    recommendation_yaml = _at("recommendation.yaml")
    """What to deploy, for programs: configuration, checkpoint, cost and error."""
    captions = _at("captions")
    """What `snakemake --report` says of every result, a file each."""
    figures = _at("figures")
    """All figures of the main target; those of others in folders of their names."""
    figures_index = _at("figures/index.md")
    """All figures with their captions."""
    forms_csv = _at("tables/forms.csv")
    """The forms of all targets, compared."""
    made = _at("made")
    """What every result of the analysis was made from."""
    logs = _at("logs")
    """Logs of all jobs but those of runs."""
    models = _at("models")
    """Starting models that this study pretrained itself."""
    fetched_models = _at("models/fetched.json")
    """What was found when the published models were fetched."""
    fetched = _at("data/benchmarks.json")
    """What was found when the benchmarks were fetched."""

    def laws_folder(self, target: str) -> LawsFolder:
        """The folder of the laws of a target."""
        return LawsFolder(self.root / "laws" / target)

    def frontier_csv(self, target: str) -> Path:
        """The frontier of a target, a row per budget and n."""
        return self.root / "frontier" / f"{target}.csv"

    def table_csv(self, name: str) -> Path:
        """A table, which stands as Markdown and LaTeX beside it."""
        return self.root / "tables" / f"{name}.csv"

    def figure(self, name: str) -> Path:
        """A figure of the main target, which stands as SVG, and with its numbers as CSV, beside it."""
        return self.root / "figures" / f"{name}.png"

    def split(self, name: str) -> Path:
        """Videos and questions of the split called `name`."""
        return self.root / "data" / name

    def fetched_data(self, split: str) -> Path:
        """What was found when the sets of a split were fetched."""
        return self.split(split) / "fetched.json"

    def run(self, key: str) -> RunFolder:
        """The folder of the run with this key."""
        return RunFolder(self.root / "runs" / key)

    def hub(self, models: ModelsConfig) -> Path:
        """Where fetched models are kept."""
        return Path(models.hub) if models.hub is not None else self.models / "hub"

    def tower(self, models: ModelsConfig, tower: TowerConfig) -> Path:
        """The folder of a published tower: fetched from the hub, or the user's own."""
        if not tower.from_hub:
            return Path(tower.pretrained)
        revision = f"@{tower.revision}" if tower.revision else ""
        return self.hub(models) / f"{tower.pretrained}{revision}".replace("/", "--")

    def benchmarks(self, evaluate: EvaluateConfig) -> Path:
        """Data sets and videos of the benchmarks."""
        shared = evaluate.lmms_eval.benchmarks
        return self.root / "data" / "benchmarks" if shared is None else Path(shared)

    def start(self, models: ModelsConfig, language: str, vision: str = "") -> Path:
        """Return the folder of the starting model of a pair; `UserError` if a finished one is not there."""
        name = models.start_name(language, vision)
        if models.start is None:
            return self.models / name
        folder = Path(models.start) / name
        if not (folder / "model.safetensors").exists():
            raise UserError(
                f"models.start: no model.safetensors in {folder}; name a folder with one folder per language model, "
                "or set it to null to pretrain the starting models"
            )
        return folder
