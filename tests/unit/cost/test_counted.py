"""The counted cost against the built models, counted operation by operation."""

import numpy as np
import pytest

from vlmfrontier.cost.flops import CountedCost
from vlmfrontier.errors import UserError
from vlmfrontier.towers import Decoder, Encoder

DECODER = Decoder(hidden=48, layers=3, intermediate=128, vocabulary=100)
MODEL = CountedCost({0.0: Encoder(64, 3, 128, 8, 64)}, {83e3: DECODER}, text_tokens=10, answer_tokens=4)


@pytest.mark.parametrize("language", ["xs", "l"])
@pytest.mark.parametrize(("frames", "tokens"), [(1, 4), (4, 36)])
def test_counted_flops_are_those_of_the_built_models(language, frames, tokens):
    pytest.importorskip("torch", reason="counting built models needs torch")
    from vlmfrontier.models.build import build_model, count_flops, digits_tokenizer  # noqa: PLC0415
    from vlmfrontier.study.models import ModelsConfig  # noqa: PLC0415

    models, words = ModelsConfig(start=None), digits_tokenizer()
    counted = count_flops(build_model(models, language, words, tokens).config, frames, text_tokens=12)
    shape, vision = models.language[language], models.vision
    decoder = Decoder(shape.hidden_size, shape.layers, shape.mlp_size, len(words))
    encoder = Encoder(vision.hidden_size, vision.layers, vision.intermediate_size, vision.patch_size, vision.features)
    model = CountedCost({0.0: encoder}, {float(shape.parameters): decoder}, text_tokens=12, answer_tokens=1)
    parts = model.parts({"N": shape.parameters, "T": frames, "V": tokens})
    assert parts["vision"] == counted["vision"]
    assert parts["projector"] == counted["projector"]
    # Rotary positions add a product of a few numbers per token.
    assert parts["prefill"] == pytest.approx(counted["language"], rel=0.01)
    assert parts["decode"] == 0


def test_decoding_reads_what_came_before_one_token_at_a_time():
    steps = sum(float(DECODER.prefill(1)) + 4 * 3 * 48 * (50 + i) for i in range(1, 4))
    expected = steps + 3 * 4 * 3 * 48 * (-1)  # prefill(1) attends to itself; here each step attends to 50 + i
    assert float(DECODER.decode(50, 3)) == pytest.approx(expected)


def test_columns_broadcast_and_the_parts_sum_to_the_cost():
    table = {"N": np.full(3, 83e3), "T": np.array([1.0, 2, 4]), "V": np.array([4.0, 4, 16])}
    parts = MODEL.parts(table)
    np.testing.assert_allclose(MODEL.cost(table), sum(parts.values()))
    np.testing.assert_allclose(parts["vision"], parts["vision"][0] * table["T"])
    assert (np.diff(MODEL.cost(table)) > 0).all()
    assert MODEL.cost({"N": 83e3, "T": 1, "V": 4}) == pytest.approx(MODEL.cost(table)[0])


def test_unknown_language_models_are_refused():
    with pytest.raises(UserError, match="N = 83000, not 1e"):
        MODEL.cost({"N": 1e9, "T": 1, "V": 1})
