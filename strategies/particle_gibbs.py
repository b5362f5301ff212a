"""Particle Gibbs: particle filters in a row, each with a solution of the one before among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import ArrayLike

from ttscale.context import Context
from ttscale.search.fields import Pick, PositiveFloat
from ttscale.search.final import choose
from ttscale.search.resample import Scheme, particle_weights, resample
from ttscale.search.scores import are_probabilities
from ttscale.search.stages import stages
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem


@dataclass(frozen=True)
class ParticleGibbs(Strategy):
    """Iterated conditional particle filters (Andrieu et al., 2010; Puri et al., 2025, 2502.01618).

    A sweep draws one of its finished particles by weight: the reference. In the next sweep it is a
    fixed particle, of which as many steps are shown as the others have taken; one that is drawn
    from it goes on from there with steps of its own. One sweep is the particle filter.

    n : particles of a sweep, the reference included.
    sweeps : the last one's particles choose the answer.
    temperature : of the weights; large is even, small follows the scores.
    resampling : draw particles one by one, or `systematic`, with less variance.
    max_steps : the last of them goes on to the end of the response.
    pick : the `best` finished particle, or the `weighted` vote of all.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    sweeps: Positive = 2
    temperature: PositiveFloat = 1.0
    resampling: Scheme = "multinomial"
    max_steps: Positive = 40
    pick: Pick = "best"

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Sweep, each time with the reference of the sweep before."""
        pool: list[Path] = []
        weights: ArrayLike = ()
        for _ in range(self.sweeps):
            reference = [pool[i] for i in resample(weights, 1, ctx.rng)] if pool else []
            free = [problem.root] * (self.n - len(reference))
            for step, until in enumerate(stages(self.max_steps, self.n), start=1):
                ended = [particle for particle in free if particle.done]
                active = [particle for particle in free if not particle.done]
                moved = ended + await ctx.sample(active, until=until)
                pool = moved + [list(path.lineage())[: step + 1][-1] for path in reference]
                scores = await ctx.score(pool)
                bounded = are_probabilities(ctx.scores.values())
                weights = particle_weights(scores, self.temperature, probabilities=bounded)
                if all(particle.done for particle in pool):
                    break
                drawn = resample(weights, len(free), ctx.rng, self.resampling)
                free = [pool[i] for i in drawn]
        return await choose(pool, ctx, self.pick)
