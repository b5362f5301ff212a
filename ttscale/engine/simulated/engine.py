"""The simulated engine: solutions of known law, served as a batching engine would serve them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ttscale.cost.policy import parse_policy
from ttscale.engine.protocol import Completion, ContextTooLong, EngineDied, Load, Sampling
from ttscale.engine.simulated import characters
from ttscale.engine.simulated.batching import BLOCK, GONE, PrefixCache, Slots, TimingConfig
from ttscale.engine.simulated.law import World, WorldConfig
from ttscale.engine.simulated.solution import Draft, Standing, Writer
from ttscale.engine.simulated.verdict import Verdict, find_verdict

_VERSION = 1
"""Of the law of samples: part of the fingerprint, so that no journal mixes two laws."""
_N_PROMPTS = 1024


class SimulatedConfig(BaseModel):
    """A simulated model and the engine that serves it.

    Attributes
    ----------
    model : name in the ledger.
    max_context : largest prompt plus generation, in tokens (characters).
    max_num_seqs : streams that run at once.
    cache_tokens : room of the prefix cache; 0 for none.
    world : what the model writes.
    timing : how fast.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["simulated"] = "simulated"
    model: str = "simulated"
    max_context: int = Field(default=32768, ge=16)
    max_num_seqs: int = Field(default=256, ge=1)
    cache_tokens: int = Field(default=1 << 20, ge=0)
    world: WorldConfig = WorldConfig()
    timing: TimingConfig = TimingConfig()


class Totals(NamedTuple):
    """What an engine has delivered, for the books to balance against.

    Attributes
    ----------
    n_streams : completions, those cut by `abort` included.
    n_prompt_tokens, n_cached_tokens, n_generated_tokens : sums over them.
    n_lost_streams, n_lost_tokens : streams whose future was cancelled, or ended by `close` or
        `die`, and what they had generated: nobody received it.
    """

    n_streams: int = 0
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    n_generated_tokens: int = 0
    n_lost_streams: int = 0
    n_lost_tokens: int = 0


@dataclass(slots=True)
class _Prompt:
    """A prefix, read once for all its streams: where it stands or which verdict it asks for, its
    cache blocks, what is left."""

    token_ids: array[int]
    standing: Standing
    verdict: Verdict | None
    blocks: list[int]
    rest: array[int]


class _Stream(asyncio.Future[Completion]):
    """One stream: the future that is handed out, and a job for the slots."""

    __slots__ = (
        "draft",
        "end_round",
        "engine",
        "n_cached",
        "n_rounds",
        "prompt",
        "sampling",
        "seed",
        "submitted",
    )
    draft: Draft

    def __init__(
        self, engine: SimulatedEngine, prompt: _Prompt, sampling: Sampling, seed: int
    ) -> None:
        super().__init__(loop=engine.loop)
        self.engine, self.prompt, self.sampling, self.seed = engine, prompt, sampling, seed
        self.submitted = engine.slots.now
        self.end_round = GONE
        self.n_rounds = self.n_cached = 0

    def begin(self) -> int:
        """Enter a slot; the number of prompt tokens to compute."""
        return self.engine.begin(self)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel, and free the slot."""
        if not super().cancel(msg=msg):
            return False
        self.engine.lose(self)
        return True


class SimulatedEngine:
    """Implements `ttscale.engine.protocol.Engine` on a virtual clock.

    Tokens depend on prefix, sampling and seed only, whatever else runs. Times are virtual: seconds
    since the engine's start, from 0. Where `timing.time_scale` is 0 the clock stands while callers
    work, so that times depend on no machine.
    """

    simulated = True

    def __init__(self, config: SimulatedConfig | None = None) -> None:
        self.config = config or SimulatedConfig()
        self.model = self.config.model
        self.max_context = self.config.max_context
        self.slots: Slots[_Stream] = Slots(self.config.timing, self.config.max_num_seqs)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._writer = Writer(World(self.config.world))
        self._cache: PrefixCache | None = None
        if self.config.cache_tokens:
            self._cache = PrefixCache(-(-self.config.cache_tokens // BLOCK))
        self._prompts: dict[bytes, _Prompt] = {}
        self._dead: str | None = None
        self._handle: asyncio.Handle | None = None
        self._calm = 0
        timing = self.config.timing
        self._patience = 0 if timing.instant else timing.patience
        self._scale = timing.time_scale
        self._anchor = 0.0
        self._n_streams = self._n_prompt_tokens = self._n_cached_tokens = 0
        self._n_generated_tokens = self._n_lost_streams = self._n_lost_tokens = 0

    @property
    def fingerprint(self) -> str:
        """Hash of what determines samples: the world, the context length and the model's name."""
        identity = {
            "version": _VERSION,
            "model": self.model,
            "max_context": self.max_context,
            "world": self.config.world.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    async def start(self) -> None:
        """Bind to the running event loop."""
        self.loop = asyncio.get_running_loop()
        self._anchor = self.loop.time()

    async def close(self) -> None:
        """Cancel all streams; what is submitted later fails with EngineDied."""
        self._dead = self._dead or "the simulated engine was closed"
        for stream in self.slots.jobs():
            stream.cancel()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def die(self) -> None:
        """Fail as a real engine can: all streams, and those submitted later, end in EngineDied."""
        self._dead = "the simulated engine was told to die"
        for stream in self.slots.jobs():
            self.lose(stream)
            stream.set_exception(EngineDied(self._dead))

    def provenance(self) -> dict[str, object]:
        """The whole configuration, and that it is a simulation."""
        return {
            "engine": "simulated",
            "simulated": True,
            "fingerprint": self.fingerprint,
            "law_version": _VERSION,
            **self.config.model_dump(mode="json", exclude={"engine"}),
        }

    def encode(self, text: str) -> array[int]:
        """Token ids of plain text: its characters."""
        return characters.encode(text)

    def encode_more(self, text: str) -> array[int]:
        """Token ids of text that goes on from other tokens."""
        return characters.encode(text)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> array[int]:
        """Token ids of a conversation, ready for the reply."""
        return characters.encode_chat(messages)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return characters.decode(token_ids)

    def check_attention(self, policy: str, where: str = "attention") -> None:
        """Any policy will do: what is written here has a law and no attention.

        A policy is part of the call's key and of its price, and so of the draw; nothing else.
        """
        parse_policy(policy, where)

    def submit(
        self, prefix: array[int], sampling: Sampling, seed: int, n: int
    ) -> list[asyncio.Future[Completion]]:
        """Begin n streams with seeds seed, seed + 1, …

        Raises ContextTooLong, and InputError for a problem's marker that cannot be read.
        """
        assert self.loop is not None, "the engine has been started"
        if len(prefix) >= self.max_context:
            raise ContextTooLong(len(prefix), self.max_context)
        prompt = self._prompt(prefix)
        if self._scale:
            self._catch_up()
        streams = [_Stream(self, prompt, sampling, seed + i) for i in range(n)]
        if self._dead is not None:
            for stream in streams:
                stream.set_exception(EngineDied(self._dead))
        else:
            for stream in streams:
                self.slots.put(stream)
            self._wake()
        return [*streams]

    def abort(self, streams: Sequence[asyncio.Future[Completion]]) -> None:
        """End streams now, with the tokens they have by the virtual clock."""
        if self._scale:
            self._catch_up()
        for stream in streams:
            if stream.done():
                continue
            assert isinstance(stream, _Stream), "only streams of this engine can be aborted"
            n = self.slots.drop(stream)
            if not n:
                self._deliver(stream, Draft(array("i"), "", "abort", array("f")))
                continue
            ids = stream.draft.token_ids[:n]
            text, logprobs = characters.decode(ids), stream.draft.logprobs[:n]
            self._deliver(stream, Draft(ids, text, "abort", logprobs))
        self._wake()

    def load(self) -> Load:
        """How many streams run and wait."""
        return Load(self.slots.running, self.slots.waiting)

    def totals(self) -> Totals:
        """What has been delivered so far."""
        return Totals(
            self._n_streams,
            self._n_prompt_tokens,
            self._n_cached_tokens,
            self._n_generated_tokens,
            self._n_lost_streams,
            self._n_lost_tokens,
        )

    def chance(self, prefix: array[int]) -> float:
        """The true probability that a continuation of this prefix gives the right answer.

        What a perfect process reward model would say; with its first step's numbers half written,
        a step counts as not begun.
        """
        return self._prompt(prefix).standing.chance

    # What follows is between the engine, its streams and its clock.

    def _prompt(self, prefix: array[int]) -> _Prompt:
        name = prefix.tobytes()
        prompt = self._prompts.get(name)
        if prompt is None:
            blocks = self._cache.names(prefix) if self._cache else []
            rest = prefix[BLOCK * len(blocks) :]
            verdict = find_verdict(prefix, self._writer.world.person)
            prompt = _Prompt(prefix, self._writer.read(prefix), verdict, blocks, rest)
            if len(self._prompts) >= _N_PROMPTS:
                self._prompts.clear()
            self._prompts[name] = prompt
        return prompt

    def begin(self, stream: _Stream) -> int:
        """Write a stream that enters its slot; the number of prompt tokens to compute.

        At least the prompt's last token is always computed, as the next one is drawn from it.
        """
        prompt = stream.prompt
        n_prompt = len(prompt.token_ids)
        room = self.max_context - n_prompt
        if prompt.verdict is not None:
            stream.draft = prompt.verdict.write(stream.sampling, stream.seed, room)
        else:
            stream.draft = self._writer.write(prompt.standing, stream.sampling, stream.seed, room)
        stream.n_rounds = len(stream.draft.token_ids)
        if self._cache is not None:
            reusable = (n_prompt - 1) // BLOCK
            stream.n_cached = BLOCK * min(self._cache.n_known(prompt.blocks), reusable)
            self._cache.add(prompt.blocks)
        return n_prompt - stream.n_cached

    def lose(self, stream: _Stream) -> None:
        """Free a stream's slot; nobody receives what it has."""
        n = self.slots.drop(stream)
        self._n_lost_streams += 1
        self._n_lost_tokens += n

    def _deliver(self, stream: _Stream, draft: Draft) -> None:
        ids, prompt = draft.token_ids, stream.prompt
        self._n_streams += 1
        self._n_prompt_tokens += len(prompt.token_ids)
        self._n_cached_tokens += stream.n_cached
        self._n_generated_tokens += len(ids)
        if self._cache is not None:
            root = prompt.blocks[-1] if prompt.blocks else 0
            self._cache.add_grown(root, prompt.rest, ids)
        started = stream.submitted
        watch, verdict = stream.sampling.watch, prompt.verdict
        stream.set_result(
            Completion(
                ids,
                draft.text,
                draft.finish,
                draft.logprobs,
                stream.n_cached,
                started,
                self.slots.now - started,
                watched=verdict.watched(watch) if verdict else array("f"),
            )
        )

    def _wake(self) -> None:
        """Something came or went: see to it that the clock runs."""
        assert self.loop is not None, "the engine has been started"
        self._calm = 0
        if self._scale:
            self._wind()
        elif self._handle is None:
            self._handle = self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        """With no waiting: let callers react, then jump to the next end."""
        assert self.loop is not None, "the engine has been started"
        self._handle = None
        self.slots.admit()
        self._calm += 1
        if self._calm > self._patience:
            self._calm = 0
            for stream in self.slots.advance():
                self._deliver(stream, stream.draft)
            self.slots.admit()
        if self.slots.running or self.slots.waiting:
            self._handle = self.loop.call_soon(self._turn)

    def _catch_up(self) -> None:
        """In real time: bring the virtual clock to the real one."""
        assert self.loop is not None, "the engine has been started"
        now = (self.loop.time() - self._anchor) / self._scale
        self.slots.admit()
        while ended := self.slots.advance(now):
            for stream in ended:
                self._deliver(stream, stream.draft)
            self.slots.admit()

    def _wind(self) -> None:
        """In real time: fill the slots and set the alarm for the next end."""
        assert self.loop is not None, "the engine has been started"
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._catch_up()
        if self.slots.running:
            due = self._anchor + self._scale * self.slots.next_end()
            self._handle = self.loop.call_at(due, self._wind)
