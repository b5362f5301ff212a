"""Requests answered by strategies: each with a session of its own, of which nothing is kept."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ttscale.benchmark.grading import Grader
from ttscale.context import Context
from ttscale.engine.protocol import ContextTooLong, EngineDied
from ttscale.errors import InputError, TTScaleError
from ttscale.record.ephemeral import EphemeralJournal
from ttscale.record.ledger import Ledger, Totals
from ttscale.run.config import ExperimentConfig
from ttscale.run.models import Models
from ttscale.run.play import Ending, open_context, play
from ttscale.run.sweep import Arm
from ttscale.run.work import Status
from ttscale.serve.conversation import make_problem
from ttscale.serve.gate import Gate
from ttscale.serve.metrics import Metrics, Outcome
from ttscale.serve.reading import Reading
from ttscale.serve.refusal import (
    Refusal,
    engine_died,
    failed,
    refused_input,
    too_long,
    unknown_model,
)
from ttscale.serve.request import ChatRequest
from ttscale.session import Session
from ttscale.thinking import Thought, split
from ttscale.trace import Problem


class Reply(NamedTuple):
    """What a strategy made of a request.

    Attributes
    ----------
    status : as a run records it.
    thought : the chosen response, its thinking apart.
    truncated : whether the response ended at a limit.
    n_answer_tokens : generated tokens of the chosen response.
    spent : all that it took, by kind of call: `generate` and `score`.
    score, tied, abstained : as in `ttscale.trace.Answer`.
    notes : what the strategy and its verifier noted, counts by name.
    """

    status: Status
    thought: Thought
    truncated: bool
    n_answer_tokens: int
    spent: Mapping[str, Totals]
    score: float | None
    tied: int
    abstained: int
    notes: Mapping[str, int]


class Service:
    """Strategies as models.

    Parameters
    ----------
    config : the experiment.
    arms : its strategies.
    models : started.
    grader : entered.
    gate : how many requests there may be.
    say : takes what an operator should know of.
    template : whether messages are put as the benchmark puts questions.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        arms: Sequence[Arm],
        models: Models,
        grader: Grader,
        gate: Gate,
        say: Callable[[str], None],
        *,
        template: bool,
    ) -> None:
        self.arms = {arm.label: arm for arm in arms}
        self.policy = models.policy
        self.started = int(time.time())
        self.gate = gate
        self.metrics = Metrics(list(self.arms), gate, models.policy)
        self.death = asyncio.Event()
        """Set when the engine has died: the server is to end."""
        self._config, self._models, self._template = config, models, template
        self._reading = Reading(config.benchmark, grader)
        self._say = say
        self._tasks: set[asyncio.Task[Reply]] = set()

    def arm(self, model: str) -> Arm:
        """The strategy of a model's name. Raises Refusal."""
        if model not in self.arms:
            raise unknown_model(model, self.arms)
        return self.arms[model]

    def begin(self, asked: ChatRequest, request_id: str) -> asyncio.Task[Reply]:
        """Set to work on a request; whoever stops waiting for it cancels the task.

        The task raises Refusal; so does this, for what can be seen at once.
        """
        if self.death.is_set():
            raise engine_died()
        arm = self.arm(asked.model)
        self.gate.enter()
        try:
            problem = self._problem(asked)
        except Refusal:
            self.gate.leave()
            raise
        task = asyncio.get_running_loop().create_task(self._answer(arm, asked, problem, request_id))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Reply]) -> None:
        self._tasks.discard(task)
        self.gate.leave()
        if not task.cancelled():
            task.exception()  # seen, should nobody wait for it any more

    def cancel(self) -> None:
        """Cancel what is still worked on."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Cancel what is still worked on, and wait for the ends."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _problem(self, asked: ChatRequest) -> Problem:
        turns = [message.turn for message in asked.messages]
        prompt = self._config.benchmark.prompt
        try:
            return make_problem(turns, self.policy, prompt, template=self._template)
        except InputError as error:
            refusal = refused_input(error)
            refusal.param = "messages"
            raise refusal from error

    async def _answer(
        self, arm: Arm, asked: ChatRequest, problem: Problem, request_id: str
    ) -> Reply:
        """Play the strategy, and account for it however it ends."""
        models, ledger = self._models, Ledger()
        session = Session(
            models.policy,
            EphemeralJournal(),
            ledger,
            self._reading,
            seed=secrets.randbits(62) if asked.seed is None else asked.seed,
            engines=models.engines,
            scorers=models.scorers,
        )
        outcome: Outcome = "cancelled"
        started = time.monotonic()
        try:
            async with self.gate.place():
                reply = await self._play(session, ledger, arm, asked, problem, request_id)
            outcome = reply.status
            return reply
        except Refusal as refusal:
            outcome = "refused" if refusal.status < 500 else "failed"
            raise
        finally:
            seconds = time.monotonic() - started
            try:
                await session.abandon()
            finally:
                spent = ledger.totals()
                self.metrics.ended(arm.label, outcome, seconds, spent, _unbilled(session, ledger))

    async def _play(
        self,
        session: Session,
        ledger: Ledger,
        arm: Arm,
        asked: ChatRequest,
        problem: Problem,
        request_id: str,
    ) -> Reply:
        """The strategy's answer. Raises Refusal."""
        arm = arm._replace(sampling=asked.sampling(arm.sampling))
        bounds = [self._config.budget.generated_tokens, asked.budget]
        budget = min((bound for bound in bounds if bound is not None), default=None)
        ctx = open_context(session, self._config, arm, problem, budget)
        try:
            ending = await play(arm, ctx)
        except InputError as error:
            raise refused_input(error) from error
        except ContextTooLong as error:
            raise too_long(error.n_tokens, error.limit) from error
        except EngineDied as error:
            self._say(f"the engine died: {error}")
            self.death.set()
            raise engine_died() from error
        except TTScaleError as error:
            self._say(f"{request_id}: {error}")
            raise failed(request_id) from error
        if ending.error is not None:
            self._say(f"{request_id}: {arm.label} failed: {ending.error}")
            raise failed(request_id)
        return _reply(ctx, ending, ledger.totals())


def _unbilled(session: Session, ledger: Ledger) -> int:
    """Tokens that were generated for a strategy which did not stay to be billed for them."""
    billed = ledger.totals(fresh=True).get("generate", Totals()).n_generated_tokens
    return max(0, session.n_fresh_tokens - billed)


def _reply(ctx: Context, ending: Ending, spent: Mapping[str, Totals]) -> Reply:
    """The reply that an ending makes.

    Where no response gives an answer nothing was chosen, and the first whole one is shown.
    """
    chosen, path = ending.chosen, ending.chosen.path
    if path is None:
        whole = [path for path in ctx.finished if path.finish == "stop"]
        path = next(iter(whole or ctx.finished), None)
    return Reply(
        ending.status,
        split("" if path is None else ctx.response(path)),
        path is None or path.finish != "stop",
        0 if path is None else path.n_generated,
        spent,
        chosen.score,
        chosen.tied,
        chosen.abstained,
        +ctx.notes,
    )
