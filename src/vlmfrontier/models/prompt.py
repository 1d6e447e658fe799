"""The prompt, in one place for training and evaluation: where the video stands, what is asked, what is supervised."""

from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from vlmfrontier.models.video_vlm import IGNORED

VIDEO_TAG = "<video>"
DATE = "26 Jul 2024"
"""Today, for templates that tell the date (Llama 3): the prompt of a run must not depend on when it is trained."""
Labelled = tuple[list[int], list[int]]


class PromptBuilder:
    """Turns questions and answers into token ids with the language model's own chat template.

    A sequence is `prefix` (all tokens up to and including the T·V places of the visual tokens) and what follows it for
    each question. The prefix does not depend on the question, so that several questions can share one video.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TAG)
        self.pad_token_id = tokenizer.pad_token_id
        self._head, _ = self._split(self._ids(_messages([""]), generate=True))
        self.question = lru_cache(maxsize=100_000)(self._question)
        self.turn = lru_cache(maxsize=100_000)(self._turn)

    def prefix(self, num_video_tokens: int) -> list[int]:
        """Return the token ids up to and including the places of `num_video_tokens` visual tokens."""
        return [*self._head, *[self.video_token_id] * num_video_tokens]

    def conversation(self, turns: Sequence[tuple[str, str]]) -> Labelled:
        """Return the ids after the video of a whole conversation, and labels that leave all but the answers out."""
        texts = [text for turn in turns for text in turn]
        ids, labels = [], []
        for number in range(1, len(turns) + 1):
            asked = self._after_video(texts[: 2 * number - 1], generate=True)
            answered = self._after_video(texts[: 2 * number], generate=False)
            if asked[: len(ids)] != ids or answered[: len(asked)] != asked:
                raise ValueError("the chat template writes a turn differently when another follows")
            labels += [IGNORED] * (len(asked) - len(ids)) + self._supervised(answered[len(asked) :])
            ids = answered
        return ids, labels

    def answer_tokens(self, question: str, answer: str) -> list[int]:
        """Return the token ids of `answer` to `question`, without what ends the turn."""
        eos = self.tokenizer.eos_token_id
        ids, _ = self.turn(question, answer)
        tokens = ids[len(self.question(question)) :]
        return tokens[: tokens.index(eos)] if eos in tokens else tokens

    def _question(self, question: str) -> list[int]:
        """Return the token ids after the video that ask `question`, up to where the answer begins."""
        return self._after_video([question], generate=True)

    def _turn(self, question: str, answer: str) -> Labelled:
        """Return the ids after the video of a question and its answer, and labels that leave the question out."""
        return self.conversation([(question, answer)])

    def _supervised(self, answer: list[int]) -> list[int]:
        """Return the labels of an answer: up to the token that ends it, not the line break some templates add."""
        eos = self.tokenizer.eos_token_id
        end = answer.index(eos) + 1 if eos in answer else len(answer)
        return answer[:end] + [IGNORED] * (len(answer) - end)

    def _after_video(self, texts: Sequence[str], generate: bool) -> list[int]:
        return self._split(self._ids(_messages(texts), generate))[1]

    def _ids(self, messages: list[dict], generate: bool) -> list[int]:
        text = self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=generate,
            tokenize=False,
            date_string=DATE,
            strftime_now=lambda _: DATE,
        )
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def _split(self, ids: list[int]) -> tuple[list[int], list[int]]:
        place = ids.index(self.video_token_id)
        return ids[:place], ids[place + 1 :]


def _messages(texts: Sequence[str]) -> list[dict]:
    """Return questions and answers in turn as messages; the video stands before the first question."""
    contents = [text.replace(VIDEO_TAG, "") for text in texts]
    contents[0] = f"{VIDEO_TAG} {contents[0]}"
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
