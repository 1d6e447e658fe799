"""`VideoVLM`: vision tower → bilinear downsampling to V tokens a frame → two-layer MLP → language model.

The same class carries the tiny models of the digits study and a SoViT-400m with Llama-8B: both towers are AutoModels.

Several turns behind one video may be packed into one sequence, each seeing the video and itself, none another turn: a
prefix (segment 0: the video and what stands before it) and segments 1, 2, …; padding is segment −1. Positions of every
segment start where the prefix ends, so each turn is computed as if it stood alone behind the video.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from vlmfrontier.models.vision import HALF, build_tower, downsample, leading_tokens, normalise

PADDING = -1


def packed_mask(segments: torch.Tensor, num_queries: int | None = None) -> torch.Tensor:
    """Return which keys each query may see: (batch, 1, queries, keys) bool for `segments` (batch, keys).

    A key is seen if it does not come after the query and is of the prefix or of the query's own segment. The queries
    are the last `num_queries` positions (all by default). Padding sees itself alone, so that no softmax is empty.
    """
    length = segments.shape[1]
    queries = length if num_queries is None else num_queries
    own = segments[:, length - queries :, None]
    keys = segments[:, None, :]
    positions = torch.arange(length, device=segments.device)
    before = positions[None, :] <= positions[length - queries :, None]
    itself = positions[None, :] == positions[length - queries :, None]
    seen = before & ((keys == 0) | (keys == own)) & (keys != PADDING)
    return (seen | itself)[:, None]


def packed_positions(segments: torch.Tensor) -> torch.Tensor:
    """Return position ids, shaped as `segments`: the prefix counts up, every segment goes on from it."""
    same = segments[:, None, :] == segments[:, :, None]
    earlier = torch.ones(same.shape[1:], dtype=torch.bool, device=segments.device).tril(-1)
    inside = (same & earlier).sum(-1)
    prefix = (segments == 0).sum(-1, keepdim=True)
    return inside + prefix * (segments > 0)


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what attention adds to its scores: 0 where `mask` says seen, the lowest number elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


IGNORED = -100  # label of a position that is not supervised


class VideoVLMConfig(PreTrainedConfig):
    """Configurations of the two towers, V, the token that holds a place for each visual token, and what pixels are
    normalised by: `image_mean` and `image_std` as in the vision tower's preprocessor_config.json."""

    model_type = "video_vlm"
    sub_configs = {"vision_config": AutoConfig, "text_config": AutoConfig}  # noqa: RUF012  (transformers reads it)

    def __init__(
        self,
        vision_config=None,
        text_config=None,
        video_token_id: int = 0,
        tokens_per_frame: int = 16,
        image_mean: Sequence[float] = HALF,
        image_std: Sequence[float] = HALF,
        **kwargs,
    ):
        self.vision_config = _as_config(vision_config)
        self.text_config = _as_config(text_config)
        self.video_token_id = video_token_id
        self.tokens_per_frame = tokens_per_frame
        self.image_mean, self.image_std = list(image_mean), list(image_std)
        kwargs.setdefault("tie_word_embeddings", False)  # the language model ties its own
        super().__init__(**kwargs)


def _as_config(value):
    if isinstance(value, dict):
        settings = dict(value)
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    return value


class Projector(nn.Sequential):
    """Two linear layers with GELU between: from the width of the vision features to that of the language model."""

    def __init__(self, vision_width: int, text_width: int):
        super().__init__(nn.Linear(vision_width, text_width), nn.GELU(), nn.Linear(text_width, text_width))


class VideoVLM(PreTrainedModel, GenerationMixin):
    """A video language model: every frame is seen by itself, all visual tokens stand before the text."""

    config_class = VideoVLMConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: VideoVLMConfig):
        super().__init__(config)
        self.vision = build_tower(config.vision_config)
        self.leading = leading_tokens(config.vision_config)
        self.projector = Projector(config.vision_config.hidden_size, config.text_config.hidden_size)
        self.language = AutoModelForCausalLM.from_config(config.text_config)
        self.post_init()

    def get_input_embeddings(self):
        return self.language.get_input_embeddings()

    def get_output_embeddings(self):
        return self.language.get_output_embeddings()

    def encode_images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return features (batch, T, W, vision width) of `pixel_values`, those of the patches alone.

        These are frames as they are decoded, (batch, T, height, width, 3) uint8, or (batch, T, 3, height, width)
        normalised as the tower's family does.
        """
        if pixel_values.dtype == torch.uint8:
            pixel_values = normalise(pixel_values, self.config.image_mean, self.config.image_std)
        features = self.vision(pixel_values=pixel_values.flatten(0, 1).to(self.vision.dtype)).last_hidden_state
        return features[:, self.leading :].unflatten(0, pixel_values.shape[:2])

    def project(self, features: torch.Tensor, tokens_per_frame: int | None = None) -> torch.Tensor:
        """Return visual tokens (batch, T·V, language width) of vision `features` (batch, T, W, vision width)."""
        tokens = downsample(features.flatten(0, 1), tokens_per_frame or self.config.tokens_per_frame)
        return self.projector(tokens).reshape(len(features), -1, self.config.text_config.hidden_size)

    def encode_video(self, pixel_values: torch.Tensor, tokens_per_frame: int | None = None) -> torch.Tensor:
        """Return visual tokens (batch, T·V, language width) of `pixel_values` (batch, T, 3, height, width)."""
        return self.project(self.encode_images(pixel_values), tokens_per_frame)

    def embed(self, input_ids: torch.Tensor, visual: torch.Tensor | None) -> torch.Tensor:
        """Return embeddings (batch, length, width) of `input_ids`, the places of the video token filled with `visual`.

        Raises `ValueError` if the number of places is not that of the visual tokens.
        """
        places = input_ids == self.config.video_token_id
        # The video's token needs no row of the embedding, and a published model has none for it.
        embeddings = self.get_input_embeddings()(input_ids.masked_fill(places, 0))
        if visual is None:
            return embeddings
        if int(places.sum()) != visual.shape[0] * visual.shape[1]:
            raise ValueError(f"{int(places.sum())} places for {visual.shape[0] * visual.shape[1]} visual tokens")
        return embeddings.masked_scatter(places[..., None], visual.to(embeddings.dtype))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        logits_to_keep: int = 0,
        tokens_per_frame: int | None = None,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Return the loss over `labels` (mean, or sum over `num_items_in_batch`) or, without labels, the logits.

        `segments` (batch, length) packs several turns behind one video (see `packing`); otherwise attention is causal.
        The output head runs on supervised positions alone: with a vocabulary of 128k it would otherwise dominate
        memory. `tokens_per_frame` is a V other than the configuration's.
        """
        if inputs_embeds is None:
            visual = None if pixel_values is None else self.encode_video(pixel_values, tokens_per_frame)
            inputs_embeds = self.embed(input_ids, visual)
        if segments is not None:
            attention_mask = additive(packed_mask(segments), inputs_embeds.dtype)
            position_ids = packed_positions(segments)
        if labels is not None:
            kwargs["use_cache"] = False  # by default every layer would copy its keys and values into a cache
        outputs = self.language.model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, position_ids=position_ids, **kwargs
        )
        hidden = outputs.last_hidden_state
        if labels is not None:
            return CausalLMOutputWithPast(loss=self._loss(hidden, labels, num_items_in_batch))
        kept = hidden[:, -logits_to_keep:] if logits_to_keep else hidden
        logits = self.get_output_embeddings()(kept)
        return CausalLMOutputWithPast(logits=logits, past_key_values=outputs.past_key_values)

    def _loss(self, hidden: torch.Tensor, labels: torch.Tensor, num_items: torch.Tensor | int | None) -> torch.Tensor:
        """Return next-token cross-entropy: position i predicts label i + 1.

        A turn begins with an unsupervised question, so no supervised label is predicted from another turn's end.
        """
        targets = labels[:, 1:]
        supervised = targets != IGNORED
        if not supervised.any():  # no video of the batch could be decoded; the mean of nothing would not be a number
            # Through the head as well: processes that share gradients must have one for the same weights.
            return self.get_output_embeddings()(hidden[:, :1]).float().sum() * 0.0
        logits = self.get_output_embeddings()(hidden[:, :-1][supervised]).float()
        if num_items is None:
            return F.cross_entropy(logits, targets[supervised])
        return F.cross_entropy(logits, targets[supervised], reduction="sum") / num_items

    def prepare_inputs_for_generation(self, input_ids, pixel_values=None, past_key_values=None, **kwargs):
        """Return the inputs of one generation step: the video goes in with the first, then the cache holds it."""
        inputs = super().prepare_inputs_for_generation(input_ids, past_key_values=past_key_values, **kwargs)
        first = past_key_values is None or past_key_values.get_seq_length() == 0
        inputs["pixel_values"] = pixel_values if first else None
        return inputs


AutoConfig.register("video_vlm", VideoVLMConfig)
AutoModel.register(VideoVLMConfig, VideoVLM)
AutoModelForCausalLM.register(VideoVLMConfig, VideoVLM)
