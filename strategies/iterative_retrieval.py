"""Iterative retrieval: documents, worked examples and sub-questions as the budget."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.context import Context
from ttscale.retrieval.corpus import read_corpus
from ttscale.selection.asking import fitting_prompt
from ttscale.selection.listing import shown
from ttscale.strategy import Positive, Strategy
from ttscale.trace import Answer, Path, Problem

READ = """\
{documents}

{shots}{problem}{trail}

{request}"""
ANSWER = "Answer the problem above with the help of the documents."
STEP = """\
If one more fact is needed to answer the problem above, write only one short question for it after \
"Follow up:". Otherwise answer it."""
FOLLOW_UP = "Follow up:"
INTERMEDIATE = "Answer this question briefly with the help of the documents: {question}"


@dataclass(frozen=True)
class IterativeRetrieval(Strategy):
    """DRAG and IterDRAG: retrieval scaled at inference (Yue et al., 2024, 2410.04343).

    With one iteration (DRAG) the model answers with the best documents for the problem before it.
    With more (IterDRAG) it may ask a question first: documents for it are added, its answer is
    noted down, and so on, until it answers or the last iteration makes it. Documents the context
    does not hold lose their beginnings; how many questions it asked is noted.

    corpus : file of documents, JSON Lines or paragraphs; relative to where ttscale is run.
    documents : to retrieve, for the problem and again for each question.
    shots : worked examples, in the words they are to be shown in.
    iterations : the most; 1 is DRAG.
    tokens : of a question or an intermediate answer.
    """

    corpus: str
    documents: Positive = 5
    shots: tuple[str, ...] = ()
    iterations: Positive = 1
    tokens: Positive = 64

    async def __call__(self, problem: Problem, ctx: Context) -> Answer:
        """Retrieve, ask, and answer."""
        corpus = read_corpus(self.corpus)
        found = corpus.search(problem.question, self.documents)
        trail = ""
        for _ in range(self.iterations - 1):
            (step,) = await ctx.sample(self.reading(problem, found, trail, STEP, ctx))
            _, asked, question = shown(step.response).rpartition(FOLLOW_UP)
            question = question.strip().partition("\n")[0]
            if not asked or not question:
                return Answer(step)
            ctx.notes["follow_ups"] += 1
            new = corpus.search(question, self.documents)
            found = list(dict.fromkeys([*found, *new]))
            request = INTERMEDIATE.format(question=question)
            (fact,) = await ctx.sample(
                self.reading(problem, new, trail, request, ctx), max_tokens=self.tokens
            )
            trail += f"\n\n{FOLLOW_UP} {question}\nIntermediate answer: {shown(fact.response)}"
        (answer,) = await ctx.sample(self.reading(problem, found, trail, ANSWER, ctx))
        return Answer(answer)

    def reading(
        self, problem: Problem, found: list[str], trail: str, request: str, ctx: Context
    ) -> Path:
        """The prompt with documents, examples, the problem, what was asked so far, a request."""
        shots = "".join(f"{shot}\n\n" for shot in self.shots)
        return fitting_prompt(
            ctx,
            found,
            lambda listed: READ.format(
                documents=listed or "No documents were found.",
                shots=shots,
                problem=problem.root.text,
                trail=trail,
                request=request,
            ),
            name="Document",
        )
