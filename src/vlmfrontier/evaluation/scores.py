"""What an answer is worth: a score in 0–1 for each kind of question."""

from collections import Counter
from collections.abc import Collection, Sequence


def exact_match(answer: str, truth: str) -> float:
    """Return 1 if the answer is the truth, whatever the case and outer blanks, else 0."""
    return float(answer.strip().lower() == truth.strip().lower())


def most_likely(log_likelihoods: Sequence[float]) -> int:
    """Return the position of the largest log-likelihood, the first of equals."""
    return max(range(len(log_likelihoods)), key=lambda i: (log_likelihoods[i], -i))


def facts(caption: str, subjects: Collection[str]) -> Counter[tuple[str, str]]:
    """Return how often `caption` states each fact (subject, word): a word belongs to the subject named last."""
    stated: Counter[tuple[str, str]] = Counter()
    subject = None
    for word in caption.split():
        if word in subjects:
            subject = word
        elif subject is not None:
            stated[(subject, word)] += 1
    return stated


def facts_f1(caption: str, truth: str, subjects: Collection[str]) -> float:
    """Return the F1 of the facts in `caption` against `truth`: what is left out costs as much as what is made up."""
    stated, true = facts(caption, subjects), facts(truth, subjects)
    both = sum((stated & true).values())
    total = sum(stated.values()) + sum(true.values())
    return 2 * both / total if total else 1.0
