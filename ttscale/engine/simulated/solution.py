"""Writing simulated solutions: where a prefix stands, and how it goes on."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from struct import Struct
from typing import Literal, NamedTuple

from ttscale.engine.protocol import Sampling
from ttscale.engine.simulated import characters
from ttscale.engine.simulated.law import (
    DIGITS,
    N_DRAWS,
    NO_ANSWER,
    RIGHT,
    ProblemLaw,
    World,
    filler,
)
from ttscale.engine.simulated.problems import Truth, find_truth
from ttscale.trace import Finish

_SUM = re.compile(r"([0-9]{6}) \+ ([0-9]{6}) = ([0-9]{7})")
_STEP = re.compile(r"Step ([0-9]+): " + _SUM.pattern + r"([^\n]*\n\n)?")
_OPENING = "\nStep 1: "
_SUM_SHAPE = "000000 + 000000"
_FORCED = "Answer:"
_WORDS = Struct("<8Q")
_N_PROBLEMS, _N_CONVERSATIONS = 1 << 16, 1 << 12


def steps_right(response: str) -> tuple[bool, ...]:
    """Whether each sum in a response is right: the truth that a process reward model estimates."""
    return tuple(int(a) + int(b) == int(total) for a, b, total in _SUM.findall(response))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a prefix stands.

    Attributes
    ----------
    law : the problem's.
    key : hash of the prefix's ids, from which its continuations draw; 32 bytes.
    stage : a step comes next, or the rest of the last line, or an answer that the prefix asks for
        ahead of time (it ends in `Answer:`), or nothing.
    done, n_steps : steps written, of how many; 0 while the first step's digits are not complete.
    outcome : where the solution leads by its steps so far.
    begun : what stands there already of the step, or of the last line.
    digits : what of it are the step's digits.
    gap : text that must come before: a newline after foreign text.
    chance : probability that a continuation to the end gives the right answer, by the sums that
        are written in full.
    """

    law: ProblemLaw
    key: bytes
    stage: Literal["step", "closing", "forced", "over"]
    done: int = 0
    n_steps: int = 0
    outcome: int = RIGHT
    begun: str = ""
    digits: str = ""
    gap: str = ""
    chance: float = 0.0


class Draft(NamedTuple):
    """A continuation."""

    token_ids: array[int]
    text: str
    finish: Finish
    logprobs: array[float]


_Passage = tuple[str, int, bool, int]
"""A piece of a solution: its text, how much of it the prefix has already (not in the text), whether
it is right, and a number that identifies it: what its log-probabilities depend on."""


class Writer:
    """Continues solutions in a world; a continuation depends on prefix, sampling and seed alone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._laws: dict[Truth, ProblemLaw] = {}
        self._law_of: dict[bytes, ProblemLaw] = {}

    def read(self, prefix: array[int]) -> Standing:
        """Where a prefix stands. Text that is no solution of ours starts a fresh attempt.

        Raises InputError for a marker that cannot be read.
        """
        key = blake2b(prefix, digest_size=32, person=self.world.person).digest()
        asked, reply = characters.split_reply(prefix)
        if reply is None:
            law, text = self._find_law(asked)
            return _standing(law, key, text, opens=False)
        law_of = self._law_of
        if asked not in law_of:
            if len(law_of) >= _N_CONVERSATIONS:
                law_of.clear()
            law_of[asked], _ = self._find_law(asked)
        return _standing(law_of[asked], key, reply, opens=True)

    def _find_law(self, asked: bytes) -> tuple[ProblemLaw, str]:
        """The law of the last problem in a prompt, and the text after its marker."""
        text = characters.decode_bytes(asked)
        truth, end = find_truth(text)
        if truth not in self._laws:
            if len(self._laws) >= _N_PROBLEMS:
                self._laws.clear()
            self._laws[truth] = ProblemLaw(self.world, truth)
        return self._laws[truth], text[end:]

    def write(self, standing: Standing, sampling: Sampling, seed: int, room: int) -> Draft:
        """Continue a prefix, by at most `room` tokens.

        The seed's draws depend on the prefix too, so streams of equal seeds on different prompts
        are independent. Temperature 0 takes the likeliest outcome, any other the world's
        probabilities as they are; the other sampling parameters that shape a distribution have no
        effect. Nothing ends a stream before `min_tokens`; a solution that would is prolonged. A
        stop or step string that completes with the last token allowed still counts.
        """
        limit = min(sampling.max_tokens, room)
        at_limit: Finish = "length"
        if sampling.step_tokens is not None and sampling.step_tokens < limit:
            limit, at_limit = sampling.step_tokens, "step"
        marks = (*sampling.stop, *sampling.step)
        text, found, passages = "", None, []
        for passage in self._passages(standing, sampling.temperature <= 0, seed):
            passages.append(passage)
            scanned = len(text)
            text += passage[0]
            if marks and (found := _first(marks, text, max(sampling.min_tokens, scanned + 1))):
                break
            if len(text) > limit:
                break
        else:
            wanted = limit if sampling.ignore_eos else min(sampling.min_tokens, limit)
            if len(text) < wanted:
                passages.append(("\n" + filler(wanted - len(text) - 1), 0, True, 0))
                text += passages[-1][0]
                found = _first(marks, text, max(sampling.min_tokens, 1))
            if found is None and not sampling.ignore_eos and len(text) < limit:
                ids = characters.encode(text)
                ids.append(characters.END)
                passages.append((" ", 0, True, 0))
                return Draft(ids, text, "stop", self._logprobs(standing.law, passages, len(ids)))
        if found is None or found.end > limit:
            shown, n, finish = text[:limit], limit, at_limit
        elif found.mark in sampling.stop:
            shown, n, finish = text[: found.start], found.end, "stop"
        else:
            shown, n, finish = text[: found.end], found.end, "step"
        ids = characters.encode(text[:n])
        return Draft(ids, shown, finish, self._logprobs(standing.law, passages, n))

    def _logprobs(self, law: ProblemLaw, passages: list[_Passage], n: int) -> array[float]:
        """Of the first n tokens; empty where the model has none."""
        logprobs = array("f")
        if self.world.config.logprobs:
            for text, begun, right, name in passages:
                logprobs += self.world.logprobs(right, law.salt + 31 * name, begun, len(text))
        return logprobs[:n]

    def _passages(self, standing: Standing, greedy: bool, seed: int) -> Iterator[_Passage]:
        """The rest of the solution, piece by piece."""
        law, draws = standing.law, _draws(standing.key, seed)
        outcome, n_steps, begun = standing.outcome, standing.n_steps, len(standing.begun)
        if standing.gap:
            yield standing.gap, 0, True, 0
        if standing.stage == "step":
            digits, j = standing.digits, standing.done
            thresholds = law.thresholds(n_steps) if n_steps else []
            while j < n_steps or not n_steps:
                n = next(draws) % N_DRAWS
                if greedy:
                    n = law.greedy_draw(j, n_steps, outcome)
                if digits:
                    n, digits = _completed(digits, n, greedy), ""
                if not n_steps:
                    n_steps = law.n_steps(n)
                    thresholds = law.thresholds(n_steps)
                text, mistake = law.step(j, n, thresholds)
                outcome = outcome or mistake
                yield text[begun:], begun, not mistake, n
                j += 1
                begun = 0
        if standing.stage == "forced":
            if outcome == RIGHT:
                chance, u = standing.chance, next(draws) / 2**64
                if greedy:
                    outcome = law.modal_outcome(chance)
                elif u >= chance:
                    outcome = self.world.miss((u - chance) / (1 - chance))
            if outcome != NO_ANSWER:
                yield f" {law.answers[outcome]}"[begun:], begun, not outcome, outcome
        elif standing.stage != "over":
            yield law.closings[outcome][begun:], begun, not outcome, outcome


def _draws(key: bytes, seed: int) -> Iterator[int]:
    """Random 64-bit numbers, fixed by prefix and seed."""
    name = seed.to_bytes(16, "little", signed=True)
    for block in count():
        yield from _WORDS.unpack(blake2b(name + block.to_bytes(4, "little"), key=key).digest())


def _completed(digits: str, n: int, greedy: bool) -> int:
    """A step's twelve digits from those already written and a draw of all twelve.

    The greedy draw counts only if it begins as written; a random one gives the missing digits.
    """
    if greedy:
        wanted = f"{n:0{DIGITS}d}"
        return n if wanted.startswith(digits) else int(digits.ljust(DIGITS, "0"))
    scale: int = 10 ** (DIGITS - len(digits))
    return int(digits) * scale + n % scale


class _Found(NamedTuple):
    mark: str
    start: int
    end: int


def _first(marks: tuple[str, ...], text: str, earliest: int) -> _Found | None:
    """The mark that completes first, after `earliest` characters or more; ties go to the first."""
    found: _Found | None = None
    for mark in marks:
        start = text.find(mark, max(0, earliest - len(mark)))
        if start >= 0 and (found is None or start + len(mark) < found.end):
            found = _Found(mark, start, start + len(mark))
    return found


def _standing(law: ProblemLaw, key: bytes, text: str, *, opens: bool) -> Standing:
    """Where the text after a problem stands; `opens`: whether it is a reply from its start."""
    start = text.rfind(_OPENING) + 1
    if not start and not (opens and text.startswith(_OPENING[1:])):
        return _not_begun(law, key, text, opens=opens)
    here = seen = _Progress()  # after the steps, and after the sums, that are written in full
    place = start
    while here.done < (here.n_steps or 1):
        match = _STEP.match(text, place)
        if match is None or int(match[1]) != here.done + 1:
            break
        seen = _after(law, here, match)
        if match[5] is None:
            break
        here, place = seen, match.end()
    rest = text[place:]
    chance = law.chance(seen.done, seen.n_steps) if seen.outcome == RIGHT else 0.0
    if here.done < (here.n_steps or 1):
        digits = _digits(law, here, rest)
        if digits is not None:
            return Standing(law, key, "step", *here, rest, digits, chance=chance)
    else:
        closing = law.closings[here.outcome]
        if closing.startswith(rest):
            return Standing(law, key, "closing", *here, rest, chance=chance)
        if rest == f"{closing}\n{filler(len(rest))}"[: len(rest)]:
            return Standing(law, key, "over", *here, chance=chance)
    last = rest[rest.rfind("\n") + 1 :]
    _, asked, begun = last.partition(_FORCED)
    if asked and begun in {"", " "}:
        return Standing(law, key, "forced", *seen, begun, chance=chance)
    for outcome, closing in enumerate(law.closings):
        if asked and closing.startswith(last):
            right = float(outcome == RIGHT)
            return Standing(law, key, "closing", outcome=outcome, begun=last, chance=right)
    return _not_begun(law, key, rest, opens=False)


class _Progress(NamedTuple):
    done: int = 0
    n_steps: int = 0
    outcome: int = RIGHT


def _after(law: ProblemLaw, before: _Progress, step: re.Match[str]) -> _Progress:
    """The progress with one more step, as it is written."""
    n = int(step[2] + step[3])
    n_steps, outcome = before.n_steps or law.n_steps(n), before.outcome
    if outcome == RIGHT and int(step[2]) + int(step[3]) != int(step[4]):
        # A mistake in a sum that the model would have got right was written by someone else.
        outcome = law.step(before.done, n, law.thresholds(n_steps))[1] or NO_ANSWER + 1
    return _Progress(before.done + 1, n_steps, outcome)


def _not_begun(law: ProblemLaw, key: bytes, text: str, *, opens: bool) -> Standing:
    """The standing before an attempt, of whose first step some letters may already be there."""
    first = _OPENING[1:]
    if opens and first.startswith(text):
        return Standing(law, key, "step", begun=text, chance=law.truth.p)
    for n in range(len(first), 0, -1):
        if text.endswith(_OPENING[:n]):
            return Standing(law, key, "step", begun=first[: n - 1], chance=law.truth.p)
    return Standing(law, key, "step", gap="\n", chance=law.truth.p)


def _digits(law: ProblemLaw, here: _Progress, rest: str) -> str | None:
    """The digits in the beginning of the step that is due; None if this is no such beginning."""
    head = f"Step {here.done + 1}: "
    if head.startswith(rest):
        return ""
    begun = rest.removeprefix(head)[: len(_SUM_SHAPE)]
    shape = re.sub("[0-9]", "0", begun)
    if not rest.startswith(head) or not _SUM_SHAPE.startswith(shape):
        return None
    digits = begun.rstrip("+ ").replace(" + ", "")
    if len(begun) == len(_SUM_SHAPE):
        n = int(digits)
        text, _ = law.step(here.done, n, law.thresholds(here.n_steps or law.n_steps(n)))
        if not text.startswith(rest):
            return None
    return digits
