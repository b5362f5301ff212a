"""What lm-eval's filters and its exact match do to one response, for repeats it did not grade.

Of a task with `repeats`, lm-eval grades what a filter leaves: mostly the first response. Its
results file says which filter and metric that were. Where they are of the plain kind below they can
be applied to the other responses; a reader uses that only if it gives lm-eval's own answer and
verdict for every response that lm-eval did grade.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import digits, punctuation
from typing import Any

NO_ANSWER = ("", "[invalid]")
"""What a filter leaves where it finds nothing."""

Step = Callable[[str], str]


@dataclass(frozen=True)
class Regrader:
    """A filter and an exact match.

    Attributes
    ----------
    steps : from a response to its answer.
    ignored : regular expressions whose matches are taken out before comparing.
    ignore_case, ignored_characters : what else a comparison does not see.
    """

    steps: Sequence[Step]
    ignored: Sequence[re.Pattern[str]]
    ignore_case: bool
    ignored_characters: str

    def extract(self, response: str) -> str:
        """What the filter leaves of a response."""
        for step in self.steps:
            response = step(response)
        return response

    def is_right(self, answer: str, target: str) -> bool:
        """Whether an answer is the target."""
        return self._bare(answer) == self._bare(target)

    def _bare(self, text: str) -> str:
        for pattern in self.ignored:
            text = pattern.sub("", text)
        text = text.lower() if self.ignore_case else text
        return text.translate(str.maketrans("", "", self.ignored_characters))


def votes(config: Mapping[str, Any], filter_name: str) -> bool:
    """Whether a filter of a task looks at several responses for one answer."""
    steps = _functions(config, filter_name) or ()
    return any(step.get("function") == "majority_vote" for step in steps)


def make_regrader(config: Mapping[str, Any], filter_name: str, metric: str) -> Regrader | None:
    """The filter and metric of a task's configuration; None for what is not of the plain kind."""
    functions = _functions(config, filter_name)
    options = next(
        (each for each in config.get("metric_list") or () if each.get("metric") == metric), None
    )
    if functions is None or options is None or metric != "exact_match":
        return None
    if config.get("process_results") or config.get("doc_to_choice"):
        return None
    steps = [_step(function) for function in functions]
    if any(step is None for step in steps):
        return None
    try:
        ignored = [re.compile(pattern) for pattern in options.get("regexes_to_ignore") or ()]
    except re.error:
        return None
    characters = punctuation if options.get("ignore_punctuation") else ""
    characters += digits if options.get("ignore_numbers") else ""
    return Regrader(
        [step for step in steps if step is not None],
        ignored,
        bool(options.get("ignore_case")),
        characters,
    )


def _functions(config: Mapping[str, Any], filter_name: str) -> Sequence[Mapping[str, Any]] | None:
    """The steps of a filter; a task without filters takes the first response as it is."""
    filters = config.get("filter_list")
    if filters is None:
        return [{"function": "take_first"}] if config and filter_name == "none" else None
    return next((each["filter"] for each in filters if each["name"] == filter_name), None)


def _step(function: Mapping[str, Any]) -> Step | None:
    match function.get("function"):
        case "take_first":
            return lambda text: text
        case "lowercase":
            return str.lower
        case "uppercase":
            return str.upper
        case "remove_whitespace":
            return str.strip
        case "regex" if isinstance(function.get("regex_pattern"), str):
            return _regex(function)
        case _:
            return None


def _regex(function: Mapping[str, Any]) -> Step | None:
    """The chosen match, of its groups the first that matched; the fallback where there is none."""
    try:
        pattern = re.compile(function["regex_pattern"])
    except re.error:
        return None
    place = int(function.get("group_select", 0))
    fallback = str(function.get("fallback", "[invalid]"))

    def find(text: str) -> str:
        matches = pattern.findall(text)
        if not -len(matches) <= place < len(matches):
            return fallback
        found = matches[place]
        if isinstance(found, tuple):
            found = next(filter(None, found), fallback)
        return str(found).strip()

    return find
