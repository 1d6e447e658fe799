"""The prompt, in one place for training and evaluation: where the video stands, what is asked, what is supervised."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

from vlmfrontier.errors import UserError
from vlmfrontier.models.chat import VIDEO_TAG, chat_format, chat_switch, control_tokens, settle_chat
from vlmfrontier.models.video_vlm import IGNORED

Labelled = tuple[list[int], list[int]]
PRIVATE = 0xF0000
"""First character of a plane that stands for nothing in Unicode."""


class Writer:
    """Turns text into token ids. Of what may be control tokens only the template's own are; in questions and answers
    they are text, which neither ends a turn nor begins another."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, own: Sequence[str]):
        self.tokenizer, self.own = tokenizer, list(dict.fromkeys([*control_tokens(tokenizer), *own]))
        self._initials = {token[0] for token in self.own}

    def ids(self, *pieces: str) -> list[int]:
        """Return the token ids of `pieces` put together: by turns the template's (the first) and a user's."""
        if any(map(self._has_control_token, pieces[1::2])):
            return self._ids_of_plain_text(pieces)
        return self.tokenizer("".join(pieces), add_special_tokens=False).input_ids

    def _has_control_token(self, text: str) -> bool:
        return not self._initials.isdisjoint(text) and any(token in text for token in self.own)

    def _ids_of_plain_text(self, pieces: Sequence[str]) -> list[int]:
        """Return the ids when users' texts contain control tokens: characters of nobody stand for the template's."""
        tokenizer, originals = self._plain
        mine = re.compile("|".join(map(re.escape, sorted(self.own, key=len, reverse=True))))
        number = {token: chr(PRIVATE + i) for i, token in enumerate(self.own)}
        text = "".join(
            re.sub("[\U000f0000-\U000ffffd]", "\ufffd", piece) if i % 2 else mine.sub(lambda m: number[m[0]], piece)
            for i, piece in enumerate(pieces)
        )
        return [originals.get(token, token) for token in tokenizer.encode(text, add_special_tokens=False).ids]

    @cached_property
    def _plain(self) -> tuple[Tokenizer, dict[int, int]]:
        """The tokenizer without its control tokens but with a stand-in for each, and the token of every stand-in."""
        state = json.loads(self.tokenizer.backend_tokenizer.to_str())
        flags = {token["content"]: token for token in state["added_tokens"]}
        for token in self.own:
            flags[token]["special"] = True
        plain = Tokenizer.from_str(json.dumps(state))
        plain.encode_special_tokens = True  # "special tokens are encoded as text", says this switch
        plain.no_truncation()
        plain.no_padding()
        kept = ("lstrip", "rstrip", "single_word")
        plain.add_tokens(
            [
                AddedToken(
                    chr(PRIVATE + i), normalized=False, special=False, **{key: flags[token][key] for key in kept}
                )
                for i, token in enumerate(self.own)
            ]
        )
        return plain, {plain.token_to_id(chr(PRIVATE + i)): flags[token]["id"] for i, token in enumerate(self.own)}


class PromptBuilder:
    """Turns questions and answers into token ids with the language model's own chat template.

    A sequence is `prefix` (all tokens up to and including the T·V places of the visual tokens) and what follows it for
    each question. The prefix does not depend on the question, so that several questions can share one video. Texts lose
    the blanks around them. Raises `UserError` if the template cannot be used.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer, self.chat = tokenizer, chat_format(tokenizer)
        self.video_token_id, self.end_token_id = tokenizer.convert_tokens_to_ids([VIDEO_TAG, self.chat.end])
        self.pad_token_id = tokenizer.pad_token_id
        ends = (self.end_token_id, tokenizer.eos_token_id)
        self.stop_token_ids = [token for token in dict.fromkeys(ends) if token is not None]
        """What ends an answer: the template's end of a turn, and what the tokenizer calls the end of a text."""
        self.writer = Writer(tokenizer, [VIDEO_TAG, self.chat.end])
        self._head = self.writer.ids(self.chat.head + VIDEO_TAG)[:-1]
        self._trailing = len(self.writer.ids(self.chat.end + self.chat.trailing)) - 1
        self.question = lru_cache(maxsize=100_000)(self._question)
        self.turn = lru_cache(maxsize=100_000)(self._turn)

    def record(self) -> dict[str, str | None]:
        """Return what there is to know about the template: what ends a turn, what it is switched to, what it would take
        out of earlier turns."""
        return {"end_of_turn": self.chat.end, "switch": chat_switch(self.tokenizer), "kept": self.chat.kept or None}

    def settings(self) -> dict[str, dict]:
        """Return what decides the text of a training beyond the template as published; mostly nothing."""
        record, eos = self.record(), self.tokenizer.eos_token
        decided = {
            **({"switch": record["switch"]} if record["switch"] else {}),
            **({"end_of_turn": self.chat.end} if self.chat.end != eos else {}),
        }
        return {"chat": decided} if decided else {}

    def prefix(self, num_video_tokens: int) -> list[int]:
        """Return the token ids up to and including the places of `num_video_tokens` visual tokens."""
        return [*self._head, *[self.video_token_id] * num_video_tokens]

    def conversation(self, turns: Sequence[tuple[str, str]]) -> Labelled:
        """Return the ids after the video of a whole conversation, and labels that leave all but the answers out.

        Each turn stands as it was when its answer was asked for, also where the template would rewrite it later.
        """
        ids, labels = [], []
        for number, (question, answer) in enumerate(turns, start=1):
            last = number == len(turns)
            pieces = self._asked(question, first=number == 1)
            asked, answered = self.writer.ids(*pieces)[1:], self._answer(pieces, answer, last)
            supervised = len(answered) - (self._trailing if last else 0)
            ids += asked + answered
            labels += [IGNORED] * len(asked) + answered[:supervised] + [IGNORED] * (len(answered) - supervised)
        return ids, labels

    def answer_tokens(self, question: str, answer: str) -> list[int]:
        """Return the token ids of `answer` to `question`, without what ends the turn."""
        _, labels = self.turn(question, answer)
        return [token for token in labels if token != IGNORED][:-1]

    def answer_text(self, tokens: Sequence[int]) -> str:
        """Return what the generated `tokens` say."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()

    def _question(self, question: str) -> list[int]:
        """Return the token ids after the video that ask `question`, up to where the answer begins."""
        return self.writer.ids(*self._asked(question, first=True))[1:]

    def _turn(self, question: str, answer: str) -> Labelled:
        """Return the ids after the video of a question and its answer, and labels that leave the question out."""
        return self.conversation([(question, answer)])

    def _asked(self, question: str, first: bool) -> list[str]:
        """Return the pieces that ask `question`, behind a control token of which tokenizers begin anew."""
        chat, question = self.chat, _cleaned(question)
        if first and not question:
            return [VIDEO_TAG + chat.ask_nothing]
        if first:
            return [VIDEO_TAG + chat.blank, question, chat.ask]
        return [chat.end + chat.follow, question, chat.follow_ask]

    def _answer(self, asked: list[str], answer: str, last: bool) -> list[int]:
        """Return the ids of an answer and what ends it, which follow those of `asked` whatever the answer is."""
        chat, before = self.chat, self.writer.ids(*asked)
        ending = chat.closing + (chat.trailing if last else "")
        whole = self.writer.ids(*asked[:-1], asked[-1] + chat.gap, _cleaned(answer), ending)
        if whole[: len(before)] == before:
            return whole[len(before) :]
        # The answer's first letters would merge with the prompt's last, which generation cannot take back.
        return self.writer.ids(chat.end + chat.gap, _cleaned(answer), ending)[1:]


def check_prompts(tokenizer: PreTrainedTokenizerBase, where: str, rows: int | None = None) -> PromptBuilder:
    """Try the chat template of a tokenizer on one to three turns before anything is trained; return what writes it.

    What the template has to be told to be of use is set in it. `where` names the model, `rows` is how many tokens it
    knows. Raises `UserError` if the template cannot be used, or what is written is not what was asked for.
    """
    settle_chat(tokenizer, where)
    if not tokenizer.is_fast:
        raise UserError(f"{where}: its tokenizer is no fast one; save it with a tokenizer.json")
    prompt = PromptBuilder(tokenizer)
    texts = _probes(tokenizer, prompt.chat.end)
    for text in texts:
        for turns in (1, 2, 3):
            _check_labels(prompt, [(texts[0], text)] * turns, where)
    written = max(prompt.prefix(0) + prompt.conversation([(texts[0], texts[0])] * 2)[0])
    if rows is not None and written >= rows:
        token = tokenizer.convert_ids_to_tokens(written)
        raise UserError(f"{where}: its chat template writes {token!r} ({written}), but the model knows {rows} tokens")
    return prompt


def _probes(tokenizer: PreTrainedTokenizerBase, end: str) -> list[str]:
    """Return texts to try a template with; of a tokenizer that knows no text but single words, two of these."""
    texts = ["A cat.", "", " 3\n", "{'a': \"b\"} <|c|>\n\n</s> [/INST] d", f"A {end} cat."]
    with suppress(Exception):  # tokenizers raises nothing narrower for a word that it does not know
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in texts[:3]]
        if tokenizer.decode(ids[0], clean_up_tokenization_spaces=False).strip() == texts[0]:
            return texts
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    known = [word for word, number in words if number not in tokenizer.added_tokens_decoder]
    return [" ".join(known[:2])]


def _check_labels(prompt: PromptBuilder, turns: Sequence[tuple[str, str]], where: str) -> None:
    """Raise `UserError` unless what is supervised is every answer with one token that ends it, behind its prompt."""
    ids, labels = prompt.conversation(turns)
    supervised = [token for token in labels if token != IGNORED]
    expected = [_cleaned(answer) for _, answer in turns]
    said, tokens = [], []
    for token in supervised:
        tokens.append(token)
        if token == prompt.end_token_id:
            said.append(prompt.answer_text(tokens[:-1]))
            tokens = []
    asked = prompt.question(turns[0][0])
    if tokens or said != expected or ids[: len(asked)] != asked:
        raise UserError(f"{where}: the answers {expected} would be learnt as {prompt.tokenizer.decode(supervised)!r}")


def _cleaned(text: str) -> str:
    """Return a question or answer without the video's tag, which says where it stands, and without outer blanks."""
    return text.replace(VIDEO_TAG, "").strip()
