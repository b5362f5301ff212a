"""Prompts: chat turns and completions out of templates and examples."""

from ttscale.benchmark.config import PromptConfig, Shot
from ttscale.benchmark.item import Item
from ttscale.benchmark.prompt import completion, messages

ITEM = Item("1", "What is {choices} of 2?", "4", {"choices": ("three", "four")})


def test_a_question_is_the_users_turn():
    assert messages(Item("1", "2 + 2?", "4"), PromptConfig()) == [
        {"role": "user", "content": "2 + 2?"}
    ]


def test_examples_are_turns_before_the_question():
    prompt = PromptConfig(
        system="Be brief.",
        template="Q: {question}",
        few_shot=(Shot(question="1 + 1?", answer="2"), Shot(question="1 + 2?", answer="3")),
    )
    assert [(turn["role"], turn["content"]) for turn in messages(Item("1", "2?", "2"), prompt)] == [
        ("system", "Be brief."),
        ("user", "Q: 1 + 1?"),
        ("assistant", "2"),
        ("user", "Q: 1 + 2?"),
        ("assistant", "3"),
        ("user", "Q: 2?"),
    ]


def test_fields_are_filled_in_once_and_other_braces_stay():
    prompt = PromptConfig(template="{question}\n{choices}\nPut it in \\boxed{}, {or not}.")
    (turn,) = messages(ITEM, prompt)
    assert turn["content"] == (
        "What is {choices} of 2?\n(A) three\n(B) four\nPut it in \\boxed{}, {or not}."
    )


def test_a_completion_is_one_text():
    prompt = PromptConfig(
        chat=False,
        system="Sums.",
        template="Question: {question}\nAnswer:",
        few_shot=(Shot(question="1 + 1?", answer="2"),),
    )
    assert completion(Item("1", "2 + 2?", "4"), prompt) == (
        "Sums.\n\nQuestion: 1 + 1?\nAnswer: 2\n\nQuestion: 2 + 2?\nAnswer:"
    )


def test_examples_may_have_choices_of_their_own():
    prompt = PromptConfig(
        template="{question} {choices}",
        few_shot=(Shot(question="Which?", answer="A", choices=("this",)),),
    )
    assert messages(ITEM, prompt)[0]["content"] == "Which? (A) this"
