"""Particle filtering: partial solutions are resampled by their scores, not ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.context import Context
from ttscale.search.fields import Pick, PositiveFloat
from ttscale.search.final import choose
from ttscale.search.resample import (
    Schedule,
    Scheme,
    entropic_temperature,
    particle_weights,
    resample,
)
from ttscale.search.scores import are_probabilities
from ttscale.search.stages import stages
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Problem


@dataclass(frozen=True)
class ParticleFilter(Strategy):
    """Sample from the policy weighted by the verifier's odds (Puri et al., 2025, 2502.01618).

    After every step the particles are drawn anew, in proportion to (r / (1 - r))^(1 / temperature)
    of their current scores r. A finished particle stays among them with its final score. Scores
    outside [0, 1] are taken as log-odds.

    n : particles.
    temperature : of the weights; large is even, small follows the scores.
    resampling : draw particles one by one, or `systematic`, with less variance.
    schedule : `entropic` flattens the weights in the first half of the steps while fewer than half
        of the particles are effective.
    max_steps : the last of them goes on to the end of the response.
    pick : the `best` finished particle, or the `weighted` vote of all.
    """

    needs_verifier: ClassVar[bool] = True
    n: Positive = 16
    temperature: PositiveFloat = 1.0
    resampling: Scheme = "multinomial"
    schedule: Schedule = "constant"
    max_steps: Positive = 40
    pick: Pick = "best"

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Move, weigh and resample until all particles are finished."""
        particles = [problem.root] * self.n
        for step, until in enumerate(stages(self.max_steps, self.n), start=1):
            ended = [particle for particle in particles if particle.done]
            active = [particle for particle in particles if not particle.done]
            particles = ended + await ctx.sample(active, until=until)
            scores = await ctx.score(particles)
            if all(particle.done for particle in particles):
                break
            bounded = are_probabilities(ctx.scores.values())
            weights = particle_weights(scores, self.temperature, probabilities=bounded)
            if self.schedule == "entropic":
                flatter = entropic_temperature(weights, step / self.max_steps) * self.temperature
                weights = particle_weights(scores, flatter, probabilities=bounded)
            drawn = resample(weights, self.n, ctx.rng, self.resampling)
            particles = [particles[i] for i in drawn]
        return await choose(particles, ctx, self.pick)
