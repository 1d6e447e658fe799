"""The prompt, in one place for training and evaluation: where the video stands, what is asked, what is supervised."""

from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from vlmfrontier.models.video_vlm import IGNORED

VIDEO_TAG = "<video>"


class PromptBuilder:
    """Turns questions and answers into token ids with the language model's own chat template.

    A sequence is `prefix` (all tokens up to and including the T·V places of the visual tokens) and what follows it for
    each question. The prefix does not depend on the question, so that several questions can share one video.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TAG)
        self.pad_token_id = tokenizer.pad_token_id
        self._head, _ = self._split(self._ids([_user("")], generate=True))
        self.question = lru_cache(maxsize=100_000)(self._question)
        self.turn = lru_cache(maxsize=100_000)(self._turn)

    def prefix(self, num_video_tokens: int) -> list[int]:
        """Return the token ids up to and including the places of `num_video_tokens` visual tokens."""
        return [*self._head, *[self.video_token_id] * num_video_tokens]

    def _ids(self, messages: list[dict], generate: bool) -> list[int]:
        text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=generate, tokenize=False)
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def _split(self, ids: list[int]) -> tuple[list[int], list[int]]:
        place = ids.index(self.video_token_id)
        return ids[:place], ids[place + 1 :]

    def _question(self, question: str) -> list[int]:
        """Return the token ids after the video that ask `question`, up to where the answer begins."""
        return self._split(self._ids([_user(question)], generate=True))[1]

    def _turn(self, question: str, answer: str) -> tuple[list[int], list[int]]:
        """Return the ids after the video of a question and its answer, and labels that leave the question out."""
        ids = self._split(self._ids([_user(question), {"role": "assistant", "content": answer}], generate=False))[1]
        asked = self.question(question)
        if ids[: len(asked)] != asked:
            raise ValueError("the chat template writes a question differently when its answer follows")
        return ids, [IGNORED] * len(asked) + ids[len(asked) :]

    def answer_tokens(self, question: str, answer: str) -> list[int]:
        """Return the token ids of `answer` to `question`, without what ends the turn."""
        eos = self.tokenizer.eos_token_id
        ids, _ = self.turn(question, answer)
        tokens = ids[len(self.question(question)) :]
        return tokens[: tokens.index(eos)] if eos in tokens else tokens


def _user(question: str) -> dict:
    return {"role": "user", "content": f"{VIDEO_TAG} {question}"}
