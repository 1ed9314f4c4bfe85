"""What people and models write for a number: ordinary answers are read, nasty ones never as right."""

from __future__ import annotations

import pytest
from answer_texts import BLANK, row, texts

from secura_bench.evaluation.extraction import extract

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


@pytest.mark.parametrize(("text", "expected"), ORDINARY_NUMBERS)
def test_an_ordinary_number_is_read(text: str, expected: str) -> None:
    assert extract("number", text, row()) == expected


@pytest.mark.parametrize("text", UNTOLD_NUMBERS)
def test_a_number_that_cannot_be_told_is_none(text: str) -> None:
    assert extract("number", text, row()) is None


@pytest.mark.parametrize("text", NASTY_NUMBERS)
def test_a_nasty_number_is_not_five(text: str) -> None:
    assert extract("number", text, row()) != "5"
