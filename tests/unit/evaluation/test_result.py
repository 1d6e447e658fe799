"""What stays of a run whose weights are not kept."""

import pytest
import torch
from safetensors.torch import save_file

from vlmfrontier.errors import UserError
from vlmfrontier.evaluation.result import check_model, drop_weights, model_config
from vlmfrontier.models.video_vlm import VideoVLMConfig
from vlmfrontier.paths import ResultsFolder


@pytest.mark.parametrize("files", [["model.safetensors"], ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]])
def test_without_its_weights_a_run_is_rated_again_but_not_answered(tmp_path, files):
    folder = ResultsFolder(tmp_path).run("N1_T1_V4_n1_s0")
    VideoVLMConfig().save_pretrained(folder.model)
    for name in files:
        save_file({"weight": torch.zeros(2)}, folder.model / name)
    (folder.model / "model.safetensors.index.json").write_text("{}")
    check_model(folder)
    drop_weights(folder)
    assert [path.name for path in folder.model.iterdir()] == ["config.json"]
    assert model_config(folder, 9).tokens_per_frame == 9
    with pytest.raises(UserError, match="the weights were removed; finetune the run again"):
        check_model(folder)
