"""Where everything lies under `results/<study>/`: the grammar of paths."""

from dataclasses import dataclass
from pathlib import Path

from vlmfrontier.errors import UserError
from vlmfrontier.study.evaluation import EvaluateConfig
from vlmfrontier.study.models import ModelsConfig, TowerConfig


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    root: Path

    @property
    def finetuned(self) -> Path:
        """Summary of the finished training, written last."""
        return self.root / "finetuned.json"

    @property
    def result(self) -> Path:
        """Everything about the run, written last by its evaluation."""
        return self.root / "result.json"

    @property
    def model(self) -> Path:
        """Finetuned weights."""
        return self.root / "model"

    @property
    def has_weights(self) -> bool:
        """Whether finetuned weights are there; a study may have them dropped once they have been evaluated."""
        return any(self.model.glob("*.safetensors"))

    @property
    def adapter(self) -> Path:
        """Low-rank updates, where a study keeps them beside the merged weights."""
        return self.root / "adapter"

    @property
    def answers(self) -> Path:
        """One file of answered questions per task."""
        return self.root / "answers"

    @property
    def answered(self) -> Path:
        """Summary of the answers to benchmarks, written when all are given."""
        return self.root / "answered.json"

    @property
    def benchmarks(self) -> Path:
        """What lmms-eval left, answers and ratings as they came; declared by no rule."""
        return self.root / "benchmarks"

    @property
    def state(self) -> Path:
        """Checkpoints and log of the training, declared by no rule."""
        return self.root / "state"


@dataclass(frozen=True)
class ResultsFolder:
    """The results folder of one study."""

    root: Path

    def split(self, name: str) -> Path:
        """Videos and questions of the split called `name`."""
        return self.root / "data" / name

    def fetched_data(self, split: str) -> Path:
        """What was found when the sets of a split were fetched."""
        return self.split(split) / "fetched.json"

    def run(self, key: str) -> RunFolder:
        """The folder of the run with this key."""
        return RunFolder(self.root / "runs" / key)

    @property
    def models(self) -> Path:
        """Starting models that this study pretrained itself."""
        return self.root / "models"

    def hub(self, models: ModelsConfig) -> Path:
        """Where fetched models are kept."""
        return Path(models.hub) if models.hub is not None else self.models / "hub"

    @property
    def fetched_models(self) -> Path:
        """What was found when the published models were fetched."""
        return self.models / "fetched.json"

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

    @property
    def fetched(self) -> Path:
        """What was found when the benchmarks were fetched."""
        return self.root / "data" / "benchmarks.json"

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
