"""How a language model writes a conversation: what its chat template puts around questions and answers.

A template is tried with stand-ins for the texts, on one, two and three turns. What it writes around them is all that
is kept of it: texts are put there as they are, and what a template would do to a text (cut out `<think>`, for one)
does not happen. A template that writes something a training could not rest on is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
from transformers import PreTrainedTokenizerBase

from vlmfrontier.errors import UserError

VIDEO_TAG = "<video>"
DATE = "26 Jul 2024"
"""Today, for templates that tell the date (Llama 3): the prompt of a run must not depend on when it is trained."""
_TODAY = "{{%- macro strftime_now(format) %}}{date}{{% endmacro %}}"
_FIXED_DATE = f"{{%- set date_string = '{DATE}' %}}{_TODAY.format(date=DATE)}"
_SYSTEM = "[{'role': 'system', 'content': 'You are a helpful assistant.'}]"
SWITCHES = {
    "enable_thinking=False": "{%- set enable_thinking = false %}",
    "thinking=False": "{%- set thinking = false %}",
    "a system message": f"{{%- set messages = {_SYSTEM} + messages %}}",
}
"""What a template is tried with when it cannot be used as it is, and the line before it that says so for good."""


_OF_TEMPLATES = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What a template that is nonsense raises, besides Jinja's own."""


@dataclass(frozen=True)
class ChatFormat:
    """What stands around questions and answers, as text."""

    head: str
    """Before the video."""
    blank: str
    """Between the video and the first question."""
    ask: str
    """After the first question: all up to where generation begins."""
    ask_nothing: str
    """After the video if the first question is empty."""
    gap: str
    """Blanks that the template writes between there and the answer; the model has to learn them."""
    closing: str
    """After an answer, up to and including the token that ends the turn."""
    end: str
    """That token."""
    trailing: str
    """Blanks after it, if no turn follows; tokens that end the whole conversation (Phi-3) are left out."""
    follow: str
    """After it, up to the next question."""
    follow_ask: str
    """After a question that is not the first: all up to where generation begins."""
    kept: str
    """What the template takes out of a turn as soon as another follows (Qwen3's empty thinking block); it stays in."""

    def first(self, question: str) -> str:
        """Return the text up to where the first answer begins."""
        return f"{self.head}{VIDEO_TAG}{self.blank}{question}{self.ask}"


class UnusableTemplateError(Exception):
    """What a chat template writes, or fails to, in turn number `turn`."""

    def __init__(self, turn: int, what: str):
        super().__init__(f"turn {turn}: the template {what}")


def settle_chat(tokenizer: PreTrainedTokenizerBase, where: str) -> ChatFormat:
    """Return the format of a tokenizer's conversations; the switch it needs, and its date, are set in its template.

    So they are saved with the tokenizer, and whoever loads it writes what was trained. `where` names the model. Raises
    `UserError` if there is no template, or none that can be used.
    """
    template, problems = _template(tokenizer, where), []
    for line in ("", *SWITCHES.values()):
        try:
            found = _tried(tokenizer, line + template)
        except UnusableTemplateError as problem:
            problems.append(problem)
            continue
        tells_date = _render(tokenizer, line + template, ["x"], True, "1 Jan 2000") != found.first("x")
        settled = (_FIXED_DATE if tells_date else "") + line + template
        if settled != template:
            tokenizer.chat_template = settled
        return found
    raise _refused(tokenizer, where, problems[0], f"The same with {', with '.join(SWITCHES)}. ")


def chat_format(tokenizer: PreTrainedTokenizerBase) -> ChatFormat:
    """Return the format of a tokenizer's conversations. Raises `UserError` if its template cannot be used as it is."""
    where = str(tokenizer.name_or_path)
    try:
        return _tried(tokenizer, _template(tokenizer, where))
    except UnusableTemplateError as problem:
        raise _refused(tokenizer, where, problem) from None


def chat_switch(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return, in words, what a template is switched to because it could not be used as published."""
    template = _template(tokenizer, "")
    return next((name for name, line in SWITCHES.items() if line in template), None)


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the tokens that say something to the model rather than being text, the longest first."""
    added = tokenizer.added_tokens_decoder.values()
    special = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
    return sorted(special, key=len, reverse=True)


def _template(tokenizer: PreTrainedTokenizerBase, where: str) -> str:
    if tokenizer.chat_template is None:
        raise UserError(f"{where} has no chat template; take the model's instruct variant")
    try:
        template = tokenizer.get_chat_template()
        template.encode()
    except (AttributeError, TypeError, UnicodeEncodeError):
        raise UserError(f"{where}: its chat template is no text in UTF-8; correct it in the model's folder") from None
    except ValueError as error:  # several by name, none of them the default
        raise UserError(f"{where}: {error}") from None
    return template


def _refused(
    tokenizer: PreTrainedTokenizerBase, where: str, problem: UnusableTemplateError, tried: str = ""
) -> UserError:
    hint = "Take an instruct model that answers at once, or change the chat template in its folder"
    return UserError(
        f"{where}: the chat template of its {type(tokenizer).__name__} cannot be used. {problem}. {tried}{hint}"
    )


def _render(
    tokenizer: PreTrainedTokenizerBase, template: str, texts: Sequence[str], generate: bool, date: str = DATE
) -> str:
    """Return what `template` writes for questions and answers in turn, the video before the first question."""
    contents = [f"{VIDEO_TAG} {texts[0]}", *texts[1:]]
    messages = [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
    try:
        return tokenizer.apply_chat_template(
            messages,
            chat_template=_TODAY.format(date=date) + template,  # a function in its place would not be called
            add_generation_prompt=generate,
            tokenize=False,
            date_string=date,
        )
    except (jinja2.TemplateError, *_OF_TEMPLATES) as error:
        raise UnusableTemplateError((len(texts) + 1) // 2, f"fails ({type(error).__name__}: {error})") from None


def _split(turn: int, text: str, marks: Sequence[str]) -> list[str]:
    """Return what stands before, between and after `marks`, which must come once each and in this order."""
    parts, rest = [], text
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found or text.count(mark) > 1:
            what = "the video's place" if mark == VIDEO_TAG else f"the text {mark!r}"
            raise UnusableTemplateError(turn, f"does not write {what} once, in its turn, but {text!r}")
        parts.append(before)
    return [*parts, rest]


def _tried(tokenizer: PreTrainedTokenizerBase, template: str) -> ChatFormat:
    """Return what `template` writes around texts. Raises `UnusableTemplateError` if it is nothing to train on."""

    def written(*texts: str) -> list[str]:
        generate = len(texts) % 2 == 1
        text = _render(tokenizer, template, texts, generate)
        return _split((len(texts) + 1) // 2, text, (VIDEO_TAG, *texts))

    (q1, a1), (q2, a2), q3 = ("[?1]", "[!1]"), ("[?2]", "[!2]"), "[?3]"
    head, blank, ask = written(q1)
    *begin, before, tail = written(q1, a1)
    _same(1, begin, [head, blank], "with an answer", "without")
    gap = _gap(1, ask, before)
    end = _end_of_turn(tokenizer, tail)
    closing = tail[: tail.index(end) + len(end)]
    *begin, earlier, between, follow_ask = written(q1, a1, q2)
    _same(2, begin, [head, blank], "with another turn", "without")
    kept = _taken_out(2, before, earlier, control_tokens(tokenizer))
    if not between.startswith(closing):
        raise UnusableTemplateError(2, f"writes {between!r} after the first answer, but {closing!r} in one turn")
    *rest, before, last = written(q1, a1, q2, a2)
    _same(2, rest, [head, blank, earlier, between], "with its answer", "without")
    _same(2, [_gap(2, follow_ask, before), last], [gap, tail], "around its answer", "in turn 1")
    *rest, earlier_again, between_again, ask_again = written(q1, a1, q2, a2, q3)
    before_that = [head, blank, earlier, between, between, follow_ask]
    _same(3, [*rest, between_again, ask_again], before_that, "with three turns", "with two")
    _taken_out(3, before, earlier_again, control_tokens(tokenizer))
    return ChatFormat(
        head,
        blank,
        ask,
        _ask_nothing(tokenizer, template, ask),
        gap,
        closing,
        end,
        trailing="" if tail[len(closing) :].strip() else tail[len(closing) :],
        follow=between[len(closing) :],
        follow_ask=follow_ask,
        kept=kept,
    )


def _same(turn: int, parts: Sequence[str], others: Sequence[str], here: str, there: str) -> None:
    for part, other in zip(parts, others, strict=True):
        if part != other:
            raise UnusableTemplateError(turn, f"writes {part!r} {here} and {other!r} {there}")


def _gap(turn: int, ask: str, before: str) -> str:
    """Return the blanks between `ask`, where generation begins, and the answer that `before` stands before."""
    gap = before.removeprefix(ask)
    if not before.startswith(ask):
        raise UnusableTemplateError(turn, f"writes {before!r} before an answer, but asks for one with {ask!r}")
    if gap.strip():
        raise UnusableTemplateError(turn, f"writes {gap!r} before an answer, which would be learnt as a part of it")
    return gap


def _ask_nothing(tokenizer: PreTrainedTokenizerBase, template: str, ask: str) -> str:
    """Return what follows the video if the first question is empty: some templates cut the blank before it."""
    try:
        _, found, rest = _render(tokenizer, template, [""], True).partition(VIDEO_TAG)
    except UnusableTemplateError:
        found, rest = "", ask
    return rest if found else ask


def _end_of_turn(tokenizer: PreTrainedTokenizerBase, tail: str) -> str:
    """Return the token that ends a turn, the first in what follows an answer."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    for tokens in (control_tokens(tokenizer), sorted(filter(str.strip, added), key=len, reverse=True)):
        found = [(tail.index(token), -len(token), token) for token in tokens if token in tail]
        if found and not tail[: min(found)[0]].strip():
            return min(found)[2]
    raise UnusableTemplateError(1, f"writes {tail!r} after an answer, which begins with no token that ends a turn")


def _taken_out(turn: int, whole: str, rest: str, control: Sequence[str]) -> str:
    """Return the piece of `whole`, which stands before a last answer, that is not in `rest`, before an earlier one.

    Only text may be taken out: with control tokens it would be another conversation.
    """
    same = next((i for i, (a, b) in enumerate(zip(whole, rest, strict=False)) if a != b), min(len(whole), len(rest)))
    piece = whole[same : len(whole) - len(rest) + same]
    if piece.join((rest[:same], rest[same:])) != whole or any(token in piece for token in control):
        raise UnusableTemplateError(turn, f"writes {rest!r} before an answer when another turn follows, else {whole!r}")
    return piece
