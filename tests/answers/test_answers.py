"""What people and models write for a choice: ordinary answers are read, nasty ones never as right."""

from __future__ import annotations

import time

import pytest
from answer_texts import BLANK, row, texts

from secura_bench.evaluation.extraction import extract

PROVERBS = ("Hindsight is better", "Foresight", "red", "dark red")
YES = ("Yes", "No")
COUNTS = ("5", "6", "50", "5.5")
SIGNS = ("*", "+", "-", "?")
PHYSICS = ("gravity", "magnetism", "friction", "light energy")
SUMS = ("5", "15", "50", "0.5")
PETS = ("a dog", "a cat")
HALVES = ("1/2", "0.5")
LETTERS = ("D", "C", "B", "A")  # each is another's label
GENES = ("only SS", "only Ss", "Ss or SS", "ss or SS")
CELLS = ("T cells", "B cells", "water", "heavy water")
SAYINGS = ("Never judge a book by its cover", "What can't be cured must be endured", "What does not kill us makes us")


# All of these name (B) of PROVERBS.
ORDINARY_CHOICES = texts(r"""
    Answer: B⏎Explanation: A is wrong, and D is. ¦ Option B is correct. ¦ B is the correct answer. ¦ It is (B).
    I would choose B ¦ B because it comes first ¦ B ¦ (B) ¦ [B] ¦ b) ¦ **B.** ¦ B⏎⏎Because.
    The correct answer is option B. ¦ The answer would be B. ¦ Answer: **B** ¦ answer = (b) ¦ \boxed{B}
    $\boxed{\text{B}}$ ¦ The answer is $\text{(B)}$. ¦ <answer>B</answer> ¦ Final answer⏎⏎B ¦ B - Foresight
    B: it is early ¦ I think it is B. ¦ I'd go with option B ¦ So B. ¦ My choice is B ¦ The best option is B.
    The answer is B. Foresight. ¦ B, because A is too late. ¦ B is right. ¦ The answer is B⏎The reason is clear.
    The answer is not A but B. ¦ A. Wait, no, B ¦ A? No, B. ¦ The answer is A. Sorry, the answer is B.
    It is not A; it is B. ¦ B, not A ¦ <think>A or C?</think>B ¦ A, I thought.</think>⏎⏎(B) ¦ It must be B.
    B⏎⏎Question: What is red?⏎Options:⏎(A) blood⏎(B) milk⏎Answer: A ¦ B<|im_end|>⏎<|im_start|>user⏎C? ¦ Ans: B
    Answer - B ¦ Probably B ¦ B! ¦ Based on the above, B ¦ The answer is B rather than A ¦ It is not A but B
    The answer is not A. It is B. ¦ Between A and B, B is better ¦ The answer is B, not C. ¦ Foresight ¦ foresight.
    **Foresight** ¦ Foresight, because it is early. ¦ The answer is Foresight. ¦ I would say foresight here
    Foresight, not red ¦ It is foresight rather than red. ¦ Option (B)
    Question: Which?⏎Options:⏎(A) Hindsight is better⏎(B) Foresight⏎Answer: B ¦ There is no doubt it is B.
""")

OTHER_CHOICES = [
    (YES, "Yes, because there is no other way.", "Yes"),
    (YES, "No, it is not. Yes-men say so.", "No"),
    (YES, "The answer is No.", "No"),
    (YES, "No", "No"),
    (COUNTS, "5", "5"),
    (COUNTS, "5.5", "5.5"),
    (COUNTS, "The answer is 5.", "5"),
    (COUNTS, "There are five.", "5"),
    (COUNTS, "B", "6"),
    (SIGNS, "*", "*"),
    (SIGNS, "The answer is +", "+"),
    (SIGNS, "(D)", "?"),
    (LETTERS, "B", "B"),  # the whole text is an option's
    (LETTERS, "(B)", "C"),
    (LETTERS, "B) C", "C"),
    (GENES, "only Ss", "only Ss"),
    (GENES, "The answer is only SS.", "only SS"),
    (GENES, "ss or SS", "ss or SS"),
    *(
        (SAYINGS, text, SAYINGS[0])
        for text in ("A. " + SAYINGS[0], "(A) " + SAYINGS[0], "A) " + SAYINGS[0], SAYINGS[0], "A")
    ),
    (SAYINGS, "The answer is (B) What can't be cured must be endured.", SAYINGS[1]),
    (CELLS, "The answer is B cells.", "B cells"),
    (CELLS, "B", "B cells"),
    (CELLS, "It is heavy water.", "heavy water"),
    *(
        (PHYSICS, text, "magnetism")
        for text in texts(r"""
            Answer: B⏎⏎A is wrong because it is weak. ¦ The answer is B.⏎⏎A is incorrect.
            B⏎⏎A is wrong because it is weak.
            B; A is weak ¦ B, A is weak. ¦ A and C are wrong. B is correct. ¦ A, C and D are wrong. B is right.
            It is magnetism because gravity is weak.
            Not A, B. ¦ Only B ¦ B must be it ¦ 答案是B ¦ 答案：B ¦ 答案是B。 ¦ B！
        """)
    ),
    (YES, "It's no because yes would be absurd", "No"),
    (YES, "Yes? No.", "No"),
    (YES, "There is no doubt: yes", "Yes"),
    (YES, "No there is none", "No"),
    (SUMS, "5 + 10 = 15", "15"),
    (SUMS, "3 * 5 = 15", "15"),
    (SUMS, "The answer is 5 + 10 = 15.", "15"),
    (SUMS, "15 / 3 = 5", "5"),
    (PETS, "cat", "a cat"),
    (PETS, "The cat", "a cat"),
    (PETS, "The answer is cat.", "a cat"),
    (HALVES, "0.5", "0.5"),
    (HALVES, "The answer is 1/2.", "1/2"),
]

UNTOLD_CHOICES = {
    PHYSICS: texts("""
        A. gravity B. magnetism C. friction D. light energy ¦ A: gravity, B: magnetism ¦ A, B ¦ A, B, C, D ¦ B;A
        A and B are wrong. ¦ B and C is wrong ¦ Not A, B or C ¦ Not A, B, C ¦ Not only B ¦ 答案不是B
        答案是A和B ¦ B; A is right ¦ 答案是B，C ¦ B, C is possible too
    """),
    YES: texts("""
        I have no idea ¦ There is no way to tell. ¦ There is no evidence. The answer is unclear ¦ No one knows. ¦ no way
        The answer is no one ¦ Yes? No idea. ¦ Yes? I do not know.
    """),
    SUMS: texts("3 * 5 = 16 ¦ 5, 15 ¦ x = 5 and y = 15 ¦ The answer is 5 + 10 = 16."),
    ("a bank", "the bank"): ["bank"],
}

# None of these names (B) of PROVERBS.
NASTY_CHOICES = BLANK + texts(r"""
    ** ¦ The answer is ¦ A good question ¦ I do not know. ¦ (Z) ¦ The answer is (E). ¦ Be ¦ Bee sting
    The answer is not B ¦ not B ¦ It isn't B. ¦ B isn't it ¦ It can't be B. ¦ B cannot be right ¦ B is wrong.
    B is not the answer ¦ Option B is incorrect. ¦ I don't think it is B ¦ It is unlikely to be B. ¦ Never B
    Anything but not B ¦ I would not choose B. ¦ The answer is definitely not (B). ¦ The correct option isn't B
    We can rule out B. ¦ I eliminate option B ¦ B can be ruled out. ¦ B is false ¦ I doubt it is B ¦ A rather than B
    A or B ¦ B or A ¦ either A or B ¦ both A and B ¦ B and C ¦ B, C ¦ B/C ¦ B & D ¦ (A) or (B) ¦ Option B or C
    The answer is A or B. ¦ The answer is B or C. ¦ The answer is either B or D ¦ The answer is both A and B.
    The answer is B and C ¦ Answer: B, C ¦ The answer is B or red. ¦ A, B, C, D ¦ A B C D ¦ It is B or C.
    (A) Hindsight is better⏎(B) Foresight⏎(C) red⏎(D) dark red ¦ (A) Hindsight is better (B) Foresight
    B) Foresight⏎C) red⏎D) dark red ¦ B. Foresight⏎A. Hindsight is better ¦ Foresight⏎red ¦ Foresight, red
    The answer is B. The answer is not B. ¦ B is correct. B is wrong. ¦ Is the answer B?
    A: Hindsight, B: Foresight ¦ B or none of them ¦ Incorrect: B ¦ Wrong options: A, B
    The answer is not B. It is C. ¦ The answer is not B. B is wrong. ¦ Vitamin B ¦ Not A, not B ¦ Rejected: B
    B. Wait, no, C ¦ B? No, C. ¦ B. Actually, C ¦ The answer is B. Wait, let me think. ¦ B. Sorry, I mean D.
    The answer is B. Correction: C ¦ I would choose B or C ¦ Is it B? It is C. ¦ It is C, not B. ¦ C, not B
    Foresight or red ¦ red or Foresight ¦ not Foresight ¦ It is not foresight. ¦ Foresight is wrong. ¦ Foresight isn't
    It cannot be Foresight ¦ The answer is not Foresight. ¦ It is neither foresight nor red
    red rather than Foresight ¦ Foresightedness ¦ non-Foresight ¦ <think>B ¦ <think>B</think> ¦ <think>B</think>C
    B⏎⏎Incorrect. ¦ B⏎is wrong
    A is right.⏎B is right. ¦ \boxed{A} ¦ \boxed{B, C} ¦ \boxed{B \text{ or } C} ¦ C⏎⏎Question: Which?⏎Answer: B
    All of them: A, B, C, D.
""")

# Of these options the first is right, and nothing here says so.
NASTY_OTHERS = {
    COUNTS: texts(
        "-5 ¦ 5.5 ¦ The answer is -5. ¦ The answer is 5.5. ¦ 50 ¦ 5 % ¦ 5-6 ¦ 5 or 6 ¦ not 5 ¦ 5:30 ¦ 5,000 ¦ 1/5"
    ),
    SIGNS: BLANK + texts("** ¦ a * b ¦ The answer is not * ¦ + ¦ **** ¦ The answer is +"),
    LETTERS: texts("The answer is D ¦ It is D. ¦ A ¦ The answer is A ¦ D is correct"),
    GENES: texts("only ss ¦ ONLY SS ¦ only Ss ¦ Ss or SS ¦ SS or ss"),
    YES: texts("No. ¦ Not yes ¦ yes and no ¦ Yes or no ¦ No, yes would be wrong ¦ It is not yes ¦ yesterday"),
    SAYINGS: [" ".join(f"({letter}) {text}" for letter, text in zip("ABC", SAYINGS, strict=True)), "\n".join(SAYINGS)],
    CELLS: texts("B cells ¦ The answer is B cells ¦ no T cells ¦ T-cells"),
}


@pytest.mark.parametrize(
    "piece",
    [
        "A. ",
        "A and ",
        "5 = ",
        "<<1=",
        "答案",
        "5 ft ",
        "no, ",
        "the answer is ",
        "A ",
        "red ",
        "5 + ",
        "\n",
        "\\boxed{",
        "<think>",
        "1 ",
        "½",
        "(",
        "9,",
    ],
)
def test_no_answer_takes_long(piece: str) -> None:
    """Pieces of which a rule that looks back from each, or tries each, would take minutes to hours."""
    began = time.monotonic()
    for kind in ("number", "choice", "text"):
        extract(kind, piece * (20_000 // len(piece)), row(PROVERBS))
    assert time.monotonic() - began < 30  # not a timing: two seconds at most here


@pytest.mark.parametrize(
    ("choices", "text", "expected"), [*((PROVERBS, text, "Foresight") for text in ORDINARY_CHOICES), *OTHER_CHOICES]
)
def test_an_ordinary_choice_is_read(choices: tuple[str, ...], text: str, expected: str) -> None:
    assert extract("choice", text, row(choices)) == expected


@pytest.mark.parametrize("text", NASTY_CHOICES)
def test_a_nasty_choice_is_not_foresight(text: str) -> None:
    assert extract("choice", text, row(PROVERBS)) != "Foresight"


@pytest.mark.parametrize(
    ("choices", "text"), [(choices, text) for choices, untold in UNTOLD_CHOICES.items() for text in untold]
)
def test_a_choice_that_cannot_be_told_is_none(choices: tuple[str, ...], text: str) -> None:
    assert extract("choice", text, row(choices)) is None


@pytest.mark.parametrize(
    ("choices", "text"), [(choices, text) for choices, nasty in NASTY_OTHERS.items() for text in nasty]
)
def test_a_nasty_choice_is_not_the_first(choices: tuple[str, ...], text: str) -> None:
    assert extract("choice", text, row(choices)) != choices[0]
