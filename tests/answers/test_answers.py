"""What people and models write for an answer: ordinary answers are read, nasty ones never as right."""

from __future__ import annotations

import time

import pytest

from secura_bench.evaluation.extraction import extract
from secura_bench.tasks.row import Row

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
BLANK = ["", " ", "\n\n"]


def texts(block: str) -> list[str]:
    """Return the texts of a block: ``¦`` or a line's end is between two, ``⏎`` a line's end within one."""
    return [text.strip().replace("⏎", "\n") for text in block.replace("\n", "¦").split("¦") if text.strip()]


ORDINARY_NUMBERS = [
    ("Answer: 18\nExplanation: 3 times 6 is 18.", "18"),
    ("The answer would be 18 after 3 days.", "18"),
    ("The answer is 18 dollars for 3 days.", "18"),
    ("The total is 18 after 3 days.", "18"),
    ("18 dollars per 3 days", "18"),
    ("She makes $18 every 2 days.", "18"),
    ("2 million", "2000000"),
    ("The answer is $2.5 million.", "2500000"),
    ("The answer is 18.\n\nQuestion: How many legs have 3 cats?\nAnswer: 12", "18"),
    ("18\n\nQ: And 2 cats? 8", "18"),
    ("Question: What is 3 + 4?\nAnswer: 7\nQuestion: What is 8 + 9?\nAnswer: 17", "7"),
    ("18<|im_end|>\n<|im_start|>user\nAnd 20?", "18"),
    ("18\n\nExplanation: 3 ducks lay 16 eggs", "18"),
    ("18 because 3 * 6 = 18 and 2 are left", "18"),
    ("18 (3 x 6)", "18"),
    ("The final answer is **$18.00**.", "18"),
    ("**Answer**: **18**", "18"),
    ("Final Answer\n\n18", "18"),
    ("<answer>18</answer>", "18"),
    ("The answer is that she has 18 apples.", "18"),
    ("The answer is 18. I hope the answer is clear.", "18"),
    ("The answer is as follows: 3 + 4 = 7, and 7 * 2 = 14.", "14"),
    ("Step 1: 3 + 4 = 7\nStep 2: 7 * 2 = 14", "14"),
    ("1. Add 3 and 4.\n2. The result is 7.", "7"),
    ("Therefore, 18 eggs are left for the market.", "18"),
    ("x = 5", "5"),
    ("The answer is 5. Wait, no, 6.", "6"),
    ("5. Actually, 6", "6"),
    ("The answer is 5.\nCorrection: the answer is 6.", "6"),
    ("The answer is not 5 but 6.", "6"),
    (r"\boxed{\frac{3}{4}}", "0.75"),
    (r"$\boxed{18}$", "18"),
    (r"\boxed{18 \text{ apples}}", "18"),
    (r"The answer is $\dfrac{1}{3}$.", "1/3"),
    (r"\[ x = 70{,}000 \]", "70000"),
    ("<think>It is 7, or 8.</think>\n18", "18"),
    ("It is 7, or 8.</think>The answer is 18", "18"),
    ("The answer is USD 5", "5"),
    ("5 €", "5"),
    ("£5.50", "5.5"),
    ("The answer is 50 percent.", "50"),
    ("18 km/h", "18"),
    ("The answer is 3/4 of 20", "0.75"),
    ("2 1/2 cups", "2.5"),
    ("two and a half", "2.5"),
    ("two thirds", "2/3"),
    ("1e-05", "0.00001"),
    ("10^3", "1000"),
    ("1 234 567", "1234567"),
    ("1'234", "1234"),
    ("The answer is zero.", "0"),
    ("The answer is not 19. It is 18.", "18"),
    ("It is 18, not 19", "18"),
    ("18 instead of 19", "18"),
    ("I count 1 dog, 2 cats: 3 animals", "3"),
    ("The answer is eighteen (18).", "18"),
    ("The answer is 7 days (1 week).", "7"),
    ("12 * 5 = 60 minutes = 1 hour", "1"),
    ("Answer - 18", "18"),
    ("No one is left, so 3", "3"),
    ("2 bn", "2000000000"),
    ("£18m", "18000000"),
    ("USD 2m", "2000000"),
    ("18 m", "18"),
    ("5 millions", "5000000"),
    ("2 dozen", "24"),
    ("–5", "-5"),
    ("The answer is –5.", "-5"),
    ("The answer is 5 because 3+2=5", "5"),
    ("The answer is 5 since 2*2.5=5", "5"),
    ("The answer is 5: 3+2=5", "5"),
    ("The answer is 18!", "18"),
    ("5! = 120", "120"),
    ("9 * 2 = $<<9*2=18>>18", "18"),
    ("She makes 9 * 2 = $<<9*2=18>>18 every day.", "18"),
    ("16 - 3 - 4 = <<16-3-4=9>> eggs", "9"),
    ("18 m^2", "18"),
    ("The area is 18 cm^2.", "18"),
    (r"$18 \text{ cm}^{2}$", "18"),
    ("3 / 4", "0.75"),
    ("48 / 2 = 24", "24"),
    ("3 * 6 = 18 (3 * 6)", "18"),
    ("So 18 is the final answer, given 3 hens", "18"),
    ("The total is 18 for all 3 days.", "18"),
    ("He pays $6 for 3 apples.", "6"),
    ("She makes $26 at $2 each.", "26"),
    ("She sold 3 eggs for $18.", "18"),
    ("So they make 6 * 3 = 18 eggs in 3 days.", "18"),
    ("18 people had COVID-19.", "18"),
    ("18 is the answer; it took 3 steps", "18"),
    ("If 5 is the answer, 6 is too, so 7", "7"),
    ("He has 5 left.", "5"),
    ("答案是5", "5"),
    ("The speed is 5 m/s^2", "5"),
]

# Of these nobody can tell which number, or whether one, is the answer.
UNTOLD_NUMBERS = texts(r"""
    18 ± 2 ¦ 18 +/- 2 ¦ 18 plus or minus 2 ¦ 5 ft 6 in ¦ It takes 5 hours 30 minutes. ¦ 18, 20
    x=5, y=6 ¦ x = 5 and y = 6
    5 out of 6 ¦ The answer is 5 out of 6. ¦ one of two ¦ half of 10 ¦ 5/0 ¦ |-5| ¦ 0.333... ¦ The answer is 0.(3) ¦ 5 K
    He will be 30 years old in 5 years. ¦ He needs 8 more apples to reach 20. ¦ 2 dozens ¦ x-5
    1, 2, 3 ¦ 5s^2 ¦ 答案是5或6 ¦ 答案是5、6 ¦ Is it 5, 6
""")

# None of these gives 5.
NASTY_NUMBERS = BLANK + texts(r"""
    … ¦ I do not know. ¦ The answer is unknown ¦ ** ¦ The answer is ¦ x ¦ The answer is not 5 ¦ The answer isn't 5.
    It isn't 5. ¦ The answer can't be 5. ¦ It cannot be 5 ¦ not 5 ¦ The answer is never 5. ¦ It is not 5.
    The answer is anything other than 5. ¦ The answer is 5 or 6 ¦ 6 or 5 ¦ either 6 or 5 ¦ The answer is 6 to 5.
    The answer is 5 and 6. ¦ 5-6 ¦ 6-5 ¦ 4–5 ¦ 4 to 5 ¦ between 4 and 5 ¦ The answer is between 4 and 5.
    The answer is 5, 6 or 7. ¦ 10:05 ¦ The answer is 5:30. ¦ 2024-05-06 ¦ 2024-06-05 ¦ The answer is 2024-05-06.
    05/06/2024 ¦ May 5 ¦ The answer is May 5, 2024. ¦ 5 May 2024 ¦ 1.2.5 ¦ 3:5 ¦ The answer is 5 : 3. ¦ 127.0.0.5
    555-0100-5 ¦ -5 ¦ The answer is -5. ¦ −5 ¦ minus five ¦ negative 5 ¦ 5.5 ¦ The answer is 5.5 ¦ .5 ¦ 0,5 ¦ 1,5
    5,000 ¦ 5 000 ¦ 5'000 ¦ 5 million ¦ 5k ¦ five hundred ¦ 5e3 ¦ 5^2 ¦ 5² ¦ 5/2 ¦ 5 1/2 ¦ 5½ ¦ five and a half
    one fifth ¦ twenty-five ¦ 1/5 ¦ 55 ¦ 50 ¦ 15 ¦ 5 * 3 ¦ 5 + 3 ¦ 8 - 5 ¦ 3 x 5 ¦ The answer is 5 x 3
    The answer is 5 * 3 = 15 ¦ 5 = 15 / 3 = 5 + 1 = 6 ¦ \sqrt{5} ¦ 5\pi ¦ 5π ¦ π/5 ¦ 5x
    The answer is 5. The answer is not 5. ¦ 2 + 3 = 5. The answer is not 5. ¦ The answer is not 5. 5 is wrong.
    6, not 5 ¦ 6 rather than 5 ¦ B5 ¦ 5 ± 1
    The answer is more than 5 ¦ The answer is >5 ¦ The answer is less than 5. ¦ x^5 ¦ \frac{5}{3} ¦ \boxed{5, 6}
    \boxed{5 \text{ or } 6} ¦ \boxed{-5} ¦ The answer is $5 and 50 cents ¦ 5 feet 6 inches
    The answer is 5 hours and 30 minutes. ¦ <think>It is 5 ¦ <think>5</think> ¦ <think>5</think>6 ¦ #### 5 or 6
    5. Wait, no, 6 ¦ The answer is 5. Wait, let me check that. ¦ 5? No, 6. ¦ The answer is 5. Sorry, 6. ¦ #### none
    The answer is 6.⏎⏎Question: What is 2 + 3?⏎Answer: 5 ¦ The answer is half of 5 or so, or 6
""")

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


def _row(choices: tuple[str, ...] | None = None) -> Row:
    return Row("x", "?", "5", choices, None if choices is None else 0)


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
        extract(kind, piece * (20_000 // len(piece)), _row(PROVERBS))
    assert time.monotonic() - began < 30  # not a timing: two seconds at most here


@pytest.mark.parametrize(("text", "expected"), ORDINARY_NUMBERS)
def test_an_ordinary_number_is_read(text: str, expected: str) -> None:
    assert extract("number", text, _row()) == expected


@pytest.mark.parametrize("text", UNTOLD_NUMBERS)
def test_a_number_that_cannot_be_told_is_none(text: str) -> None:
    assert extract("number", text, _row()) is None


@pytest.mark.parametrize("text", NASTY_NUMBERS)
def test_a_nasty_number_is_not_five(text: str) -> None:
    assert extract("number", text, _row()) != "5"


@pytest.mark.parametrize(
    ("choices", "text", "expected"), [*((PROVERBS, text, "Foresight") for text in ORDINARY_CHOICES), *OTHER_CHOICES]
)
def test_an_ordinary_choice_is_read(choices: tuple[str, ...], text: str, expected: str) -> None:
    assert extract("choice", text, _row(choices)) == expected


@pytest.mark.parametrize("text", NASTY_CHOICES)
def test_a_nasty_choice_is_not_foresight(text: str) -> None:
    assert extract("choice", text, _row(PROVERBS)) != "Foresight"


@pytest.mark.parametrize(
    ("choices", "text"), [(choices, text) for choices, untold in UNTOLD_CHOICES.items() for text in untold]
)
def test_a_choice_that_cannot_be_told_is_none(choices: tuple[str, ...], text: str) -> None:
    assert extract("choice", text, _row(choices)) is None


@pytest.mark.parametrize(
    ("choices", "text"), [(choices, text) for choices, nasty in NASTY_OTHERS.items() for text in nasty]
)
def test_a_nasty_choice_is_not_the_first(choices: tuple[str, ...], text: str) -> None:
    assert extract("choice", text, _row(choices)) != choices[0]
