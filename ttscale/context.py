"""The one door between a strategy and everything else.

Strategies and verifiers sample, score, branch and draw random numbers through a `Context`. What is
sampled is keyed, journaled, billed and held to the budget here, once for all of them.
"""

from __future__ import annotations

import asyncio
import bisect
import contextvars
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from ttscale.branch import Branch, current, in_step
from ttscale.engine.protocol import Engine, Sampling
from ttscale.errors import InputError
from ttscale.record.journal import Stored
from ttscale.record.ledger import Entry
from ttscale.session import Call, Session
from ttscale.step_scores import StepScores
from ttscale.strategy import STEP, Until, Verifier
from ttscale.thinking import opening
from ttscale.trace import Path, Problem, held_tokens

T = TypeVar("T")

PARAGRAPH = Until(text=("\n\n",))
"""The field's usual step."""

PROMPT_END = 16
"""Tokens of a prompt's end in which a mark that opens thinking is looked for."""


class OutOfBudget(Exception):
    """The budget does not hold another sample; the runner answers with the best finished path."""


class Context:
    """One strategy's door, on one problem.

    Parameters
    ----------
    session : what the run shares.
    problem : the problem at hand.
    arm : label of the strategy as configured; the ledger's name for it.
    sampling : the experiment's sampling parameters; `max_tokens` bounds a whole response.
    verifier : what `score` calls; None if the experiment names none.
    budget : generated tokens this strategy may spend on the problem; None for no limit.
    step : what `STEP` means: where a step ends.
    chat : whether the problem's prompt is a conversation; `prompt` makes its prompts alike.
    """

    def __init__(
        self,
        session: Session,
        problem: Problem,
        arm: str,
        sampling: Sampling,
        verifier: Verifier | None = None,
        budget: int | None = None,
        step: Until = PARAGRAPH,
        chat: bool = True,
    ) -> None:
        self.problem, self.arm, self.sampling, self.verifier = problem, arm, sampling, verifier
        self.step, self.chat = step, chat
        self.finished: list[Path] = []
        """Every finished path that continues the problem's prompt, in order of asking."""
        self.grown: list[Path] = []
        """Every path that was sampled, in order of asking; a verifier's own are not among them."""
        self.scores: dict[Path, float] = {}
        """Scores given so far."""
        self.plain: dict[bytes, Sampling] = {}
        """Call keys of plain samples of the prompt: independent draws, whoever asked for them."""
        self.notes: Counter[str] = Counter()
        """What a strategy wants known beside its answer, such as tokens it cut: counts by name."""
        self.held_tokens: list[int] = []
        """Tokens in the tree of the paths that each step went on from: KV cache held by a search
        (Hooper et al., 2025, 2502.13575)."""
        self.n_generated_tokens = 0
        """Tokens generated for this strategy and its verifier, replayed ones included."""
        self._session = session
        self._payer = f"{arm}\x1f{problem.id}"
        self._answers: dict[Path, str | None] = {}
        self._engines: dict[Path, Engine] = {}
        self._step_scores = StepScores(session, problem, arm, self._payer)
        self._extended: set[Path] = set()
        entropy = f"{session.seed}\0{problem.id}".encode()
        current.set(Branch("", entropy, budget))

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of this branch, the same in every run with the same seed."""
        branch = current.get()
        if branch.rng is None:
            digest = blake2b(branch.entropy + b"\0" + branch.label.encode(), digest_size=16)
            branch.rng = np.random.default_rng(int.from_bytes(digest.digest(), "big"))
        return branch.rng

    @property
    def tokens_left(self) -> int | None:
        """Generated tokens this branch may still spend; None for no limit."""
        return current.get().tokens_left

    def prompt(self, text: str, *, chat: bool | None = None, model: str | None = None) -> Path:
        """A prompt of one's own, to be continued like any path: a judge's, a summary's.

        What it grows is billed like everything else, may be the answer, and is no sample of the
        problem's prompt.

        Parameters
        ----------
        text : the user's turn, or with `chat` off the text to continue.
        chat : left out, the policy is asked as the problem asks it, another model by a turn.
        model : name in the experiment's `models`; the policy if left out.
        """
        engine = self._session.generator(model)
        if chat is None:
            chat = self.chat if model is None else True
        turns = [{"role": "user", "content": text}]
        root = Path(engine.encode_chat(turns) if chat else engine.encode(text), text)
        self._engines[root] = engine
        return root

    def extend(self, path: Path, text: str) -> Path:
        """The path with words put into the model's mouth, unfinished, to be continued.

        What ended a finished path, such as a closing tag, is taken off first. The words cost what
        any prompt does: they are computed when the path is continued.
        """
        parent = self.cut(path) if path.done else path
        engine = self._engine(path)
        ids = engine.encode_more(text)
        if engine.decode(ids).strip() != text.strip():
            raise InputError(
                "the model's vocabulary cannot write these words",
                where=f"strategy {self.arm}",
                got=text,
                hint=f"it would read {engine.decode(ids)!r}; put in other words",
            )
        return Path(ids, text, parent, "step", n_prefix=parent.n_tokens, depth=parent.depth + 1)

    def cut(self, path: Path, n_generated: int | None = None, *, before: str = "") -> Path:
        """The beginning of a path, unfinished: its first `n_generated` tokens after the prompt.

        Without a number, all that its text shows, so without the tokens of what ended it; and of
        its last span only what comes before a text, such as a closing tag, if that stands there.
        """
        node = path
        if n_generated is None:
            place = node.text.find(before) if before else -1
            shown = node.text if place < 0 else node.text[:place]
            if place < 0 and not node.done:
                return node
            keep = _n_showing(node.token_ids, shown, self._engine(path).decode)
        else:
            while node.parent is not None and node.n_prefix - len(node.root.token_ids) >= (
                n_generated
            ):
                node = node.parent
            keep = n_generated - (node.n_prefix - len(node.root.token_ids))
        if node.parent is None or (keep >= len(node.token_ids) and not node.done):
            return node
        ids = node.token_ids[:keep]
        return replace(
            node,
            token_ids=ids,
            text=self._engine(path).decode(ids),
            finish="step",
            logprobs=node.logprobs[:keep],
            confidences=node.confidences[:keep],
        )

    def _n_computed(self, path: Path) -> int:
        """How many of a path's tokens some sequence has computed before it is first continued.

        All but the last of a sampled span, which was drawn and never fed back, and none of a prompt
        or of words that were put in.
        """
        node = path
        while node.stream is None and node.parent is not None:
            node = node.parent
        return 0 if node.parent is None else node.n_tokens - 1

    def began(self, path: Path) -> bool:
        """Whether a path begins with the problem's prompt, or with one that `prompt` made."""
        return path.root is self.problem.root or path.root in self._engines

    def room(self, path: Path) -> int:
        """How many tokens can follow a path; below 1 for none.

        What is left of `sampling.max_tokens`, in which words put in count, and of the context.
        """
        total = self.sampling.max_tokens - (path.n_generated if path.depth else 0)
        return min(total, self._engine(path).max_context - path.n_tokens)

    def _engine(self, path: Path) -> Engine:
        """The engine that continues a path: its prompt's."""
        return self._engines.get(path.root, self._session.engine)

    async def sample(
        self,
        paths: Path | Sequence[Path],
        n: int = 1,
        until: Until | None = None,
        **sampling: Any,
    ) -> list[Path]:
        """Continue every path n times.

        Asking again for the same continuation gives further samples, not the same ones.

        Parameters
        ----------
        paths : one unfinished path or several.
        n : continuations of each.
        until : where a step ends; to the end of the response if left out.
        sampling : parameters that differ from the experiment's, such as `temperature`.

        Returns the children, n for each path, in the order of the paths.

        Raises OutOfBudget once the budget does not hold another sample at its greatest length;
        what did fit was sampled and is among `finished`.
        """
        parents = [paths] if isinstance(paths, Path) else list(paths)
        assert n >= 1, f"a path can be continued 1 or more times, not {n}"
        if self.tokens_left is None:
            return await self._continue(parents, n, until, sampling)
        children: list[Path] = []
        for parent in parents:
            wanted = n
            while wanted:
                count = self._admit(self._sampling(parent, until, sampling).max_tokens, wanted)
                children += await self._continue([parent], count, until, sampling)
                wanted -= count
        return children

    async def _continue(
        self, parents: Sequence[Path], n: int, until: Until | None, changes: dict[str, Any]
    ) -> list[Path]:
        branch, session = current.get(), self._session
        if until is not None:
            self.held_tokens.append(held_tokens(parents))
        calls, jobs = [], []
        for parent, group in groupby(parents):
            count = n * sum(1 for _ in group)
            engine = self._engine(parent)
            sampling = self._sampling(parent, until, changes)
            call = session.call(engine, parent.all_token_ids(), sampling, branch.label)
            first = branch.taken.get(call.base, 0)
            branch.taken[call.base] = first + count
            own_prompt = parent is self.problem.root
            if first == 0 and own_prompt and not branch.label and until is None:
                asked = changes.get("max_tokens", self.sampling.max_tokens)
                self.plain[call.base] = replace(sampling, max_tokens=asked)
            calls.append((parent, call, first))
            jobs.append(session.sample(call, first, count, self._payer))
        outcome = [await jobs[0]] if len(jobs) == 1 else await in_step(jobs)
        return [
            self._grow(parent, call, index, stored, branch)
            for (parent, call, first), streams in zip(calls, outcome, strict=True)
            for index, stored in enumerate(streams, start=first)
        ]

    def _admit(self, max_tokens: int, wanted: int) -> int:
        """How many samples the budget holds, each at its greatest length."""
        left = self.tokens_left or 0
        fitting = min(wanted, left // max_tokens)
        if fitting < 1:
            raise OutOfBudget(f"{left} tokens are left, a sample may take {max_tokens}")
        return fitting

    def _sampling(self, parent: Path, until: Until | None, changes: dict[str, Any]) -> Sampling:
        """The parameters of one call: the experiment's, the caller's changes, what room is left."""
        assert not parent.done, "a finished path cannot be continued"
        total = self.sampling.max_tokens - (parent.n_generated if parent.depth else 0)
        context = self._engine(parent).max_context
        room = self.room(parent)
        limit = min(changes.get("max_tokens", room), room)
        if limit < 1:
            raise InputError(
                "a path has no room left to continue",
                where=f"problem {self.problem.id}",
                got=f"{parent.n_tokens} tokens of {context}, {total} of sampling.max_tokens left",
                hint="raise sampling.max_tokens or the model's max_context",
            )
        own = self._engine(parent) is self._session.engine
        if not own and self.sampling.attention != "dense":
            changes = {"attention": "dense", **changes}  # the policy is not the judge's
        if until is None and not changes and limit == self.sampling.max_tokens:
            return self.sampling
        if until is not None:
            rule = self.step if until is STEP else until
            changes = {
                **changes,
                "step": rule.text,
                "step_tokens": rule.n_tokens,
                "step_pattern": rule.pattern,
            }
        return replace(self.sampling, **{**changes, "max_tokens": limit})

    def _grow(
        self,
        parent: Path,
        call: Call,
        index: int,
        stored: Stored,
        branch: Branch,
    ) -> Path:
        """The child a stream makes, billed."""
        completion = stored.completion
        finish = completion.finish
        n_generated = len(completion.token_ids)
        self.n_generated_tokens += n_generated
        if branch.tokens_left is not None:
            branch.tokens_left -= n_generated
        if finish == "step" and n_generated >= self.room(parent):
            finish = "length"  # nothing can follow
        self._session.note_finish(call.sampling, finish)
        child = Path(
            completion.token_ids,
            completion.text,
            parent,
            finish,
            completion.logprobs,
            (call.base, index),
            parent.n_tokens,
            parent.depth + 1,
            completion.confidences,
            completion.watched,
        )
        # The first continuation computes the prompt, or the one token that its parent's last step
        # sampled but never fed back; its siblings share all of it.
        shared = parent.n_tokens
        if parent not in self._extended:
            self._extended.add(parent)
            shared = self._n_computed(parent)
        self._session.ledger.add(
            Entry(
                self.arm,
                self.problem.id,
                call.engine.model,
                branch.kind,
                parent.n_tokens,
                shared,
                completion.n_cached_tokens,
                n_generated,
                call.sampling.attention,
                completion.started,
                completion.seconds,
                stored.payer != self._payer,
                completion.n_attempts,
                completion.n_lost_tokens,
            )
        )
        if branch.kind == "generate":
            self.grown.append(child)
            if child.done and parent.root is self.problem.root:
                self.finished.append(child)
        return child

    async def race(
        self,
        paths: Path | Sequence[Path],
        n: int = 1,
        finish: int = 1,
        until: Until | None = None,
        **sampling: Any,
    ) -> list[Path]:
        """Continue every path n times until `finish` continuations are done; cut the others.

        The cut ones keep the tokens they have (finish `abort`) and are billed for them. Which ones
        finish first is journaled, so that a resumed run sees the same outcome. The samples are not
        shared with other strategies, whose samples are never cut.
        """
        parents = [paths] if isinstance(paths, Path) else list(paths)
        branch = current.get()
        label = f"{branch.label}/race{branch.n_forks}:{n}:{finish}"
        branch.n_forks += 1
        calls = [
            self._session.call(
                self._engine(parent),
                parent.all_token_ids(),
                self._sampling(parent, until, sampling),
                f"{label}:{place}",
            )
            for place, parent in enumerate(parents)
        ]
        if branch.tokens_left is not None:
            worst = n * sum(call.sampling.max_tokens for call in calls)
            if worst > branch.tokens_left:
                raise OutOfBudget(f"{branch.tokens_left} tokens are left, a race may take {worst}")
        outcome = await self._session.race(calls, n, finish, self._payer)
        return [
            self._grow(parent, call, index, stored, branch)
            for parent, call, streams in zip(parents, calls, outcome, strict=True)
            for index, stored in enumerate(streams)
        ]

    async def score(self, paths: Sequence[Path]) -> list[float]:
        """The verifier's score of each path; a path is scored once."""
        if self.verifier is None:
            raise InputError(
                "this strategy asks for scores and no verifier is configured",
                where=f"strategy {self.arm}",
                hint="add `verifier:` to it; `ttscale list verifiers` names them",
            )
        new = list(dict.fromkeys(path for path in paths if path not in self.scores))
        if new:
            branch = current.get()
            kind, branch.kind = branch.kind, "score"
            try:
                scores = await self.verifier(self.problem, new, self)
            finally:
                branch.kind = kind
            assert len(scores) == len(new), "a verifier gives one score for each path"
            self.scores.update(zip(new, map(float, scores), strict=True))
        return [self.scores[path] for path in paths]

    async def step_scores(
        self, model: str, paths: Sequence[Path], *, as_one_step: bool = False
    ) -> list[list[float]]:
        """A reward model's scores of every path's steps.

        What was scored before, the beginning of a path included, is not scored again. NaN for what
        the reward model's context does not hold.

        Parameters
        ----------
        model : name in the experiment's `models`.
        paths : finished or not, each with a response.
        as_one_step : whether the whole response is shown as one step, which gives one score.
        """
        return await self._step_scores.of(model, paths, self.step, as_one_step=as_one_step)

    async def gather(self, *branches: Coroutine[Any, Any, T]) -> list[T]:
        """Run branches at once, each with its own streams, random numbers and share of the budget.

        Results come in the order of the branches. All branches end before an error of the first
        failing one is raised, so that what they did does not depend on timing.
        """
        parent = current.get()
        strands = parent.fork(len(branches))
        tasks = []
        for strand, coroutine in zip(strands, branches, strict=True):
            context = contextvars.copy_context()
            context.run(current.set, strand)
            tasks.append(asyncio.get_running_loop().create_task(coroutine, context=context))
        results = await in_step(tasks)
        if parent.tokens_left is not None:
            parent.tokens_left = sum(strand.tokens_left or 0 for strand in strands)
        return results

    def response(self, path: Path) -> str:
        """What the model said, with the mark by which the prompt opened its thinking, if it did."""
        prompt_end = self._engine(path).decode(path.root.token_ids[-PROMPT_END:])
        return opening(prompt_end) + path.response

    def answer(self, path: Path) -> str | None:
        """The answer a finished path gives, None if there is none."""
        if path not in self._answers:
            found = self._session.grading.answer(self.problem, self.response(path))
            self._answers[path] = found
        return self._answers[path]

    async def classes(self, paths: Sequence[Path]) -> list[int | None]:
        """Equivalence classes of the paths' answers; None for a path without one."""
        answers = [self.answer(path) for path in paths]
        return await self._session.grading.classes(self.problem, answers)

    async def grade(self, paths: Sequence[Path]) -> list[bool | None]:
        """Whether each path's answer is right, None where the grader could not tell.

        Looks at the reference answer: for oracle verifiers, and for the runner.
        """
        answers = [self.answer(path) for path in paths]
        return await self._session.grading.grade(self.problem, answers)


def _n_showing(ids: array[int], text: str, decode: Callable[[Sequence[int]], str]) -> int:
    """How many of a span's first tokens show a text, and no more than that."""

    def n_characters(n_tokens: int) -> int:
        return len(decode(ids[:n_tokens]))

    counts = range(len(ids) + 1)
    keep = bisect.bisect_left(counts, len(text), key=n_characters)
    if keep == len(counts):
        return keep - 1
    return keep - 1 if n_characters(keep) > len(text) else keep
