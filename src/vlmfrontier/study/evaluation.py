"""Configuration of the evaluation."""

from typing import Annotated

from pydantic import Field

from vlmfrontier.study.base import Section


class EvaluateConfig(Section):
    """How a finetuned model is tested."""

    batch_size: Annotated[int, Field(gt=0)] = 50
    """Videos per batch; changes memory and speed, not results beyond rounding."""
    control_videos: Annotated[int, Field(ge=0)] = 100
    """Videos of the wrong-video control: questions answered while another video is shown; 0 leaves the control out."""
    max_new_tokens: Annotated[int, Field(gt=0)] = 20
    """Longest generated answer; the longest true caption of the digits study has 15 words."""
