"""Templates of strangers end, a task file's and a tokenizer's own: in time and memory, with a line that says why."""

from __future__ import annotations

import resource
import signal
import threading

import pytest
from chat_templates import CHATML

from secura_bench.data.chat import ChatFormat
from secura_bench.foundation.errors import DataError
from secura_bench.models.load import find_model, load_tokenizer
from secura_bench.tasks import bounds
from secura_bench.tasks.bounds import BoundsError, bounded
from secura_bench.tasks.columns import Columns
from secura_bench.tasks.sources import make_rows
from secura_bench.tasks.templates import CompiledColumns

ROW = {"q": "What?", "a": "This.", "n": 10, "l": list(range(1000))}
LOOP, MACRO = "{% for i in l %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"
DIGITS, LONG, MEMORY, TIME = "4,300 digits", "100,000,000 items", "0 GiB of memory", "0.2 seconds"
ENDLESS = [
    ("{{ 10 ** 5000 }}", DIGITS),  # constants are computed when a template is compiled
    ("{{ 10 ** 10000000000 }}", DIGITS),
    ("{{ 7 ** 4000 * 7 ** 4000 }}", DIGITS),
    ("{{ 5 | round(-1000000000) }}", DIGITS),
    ("{{ 'a' * 10 ** 10 }}", LONG),
    ("{{ 10 ** 10 * [1] }}", LONG),
    ("{{ 'a'.center(10 ** 10) }}", MEMORY),
    ("{{ '%09999999999d' % 1 }}", MEMORY),
    ("{{ '{:9999999999}'.format(1) }}", MEMORY),
    (LOOP * 4 + "{% endfor %}" * 4, TIME),
    (MACRO, "recursion depth"),
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion depth"),
    (LOOP * 30 + "{% endfor %}" * 30, "nested blocks"),
]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.2)
    monkeypatch.setattr(bounds, "MEMORY", 1 << 28)


def nothing_is_left() -> bool:
    timer = signal.getitimer(signal.ITIMER_VIRTUAL)
    return timer == (0, 0) and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize(("template", "says"), ENDLESS, ids=range(len(ENDLESS)))
def test_a_task_files_template_ends(template: str, says: str) -> None:
    with pytest.raises(DataError) as refusal:
        make_rows("t", ROW, CompiledColumns.compile(Columns(prompt="{{ q }}" + template, target="{{ a }}")), "t.csv:1")
    assert says in str(refusal.value) and "\n" not in str(refusal.value)
    assert nothing_is_left()


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("[n ** 5000, q]", DIGITS),
        ("[1, 2] | map('round', 1, 'up')", "ceil"),
        ("(l * 99999) | map('trim')", "takes more"),
    ],
)
def test_an_expression_ends(expression: str, says: str) -> None:
    """What it makes only when it is read is made within the bounds too."""
    columns = Columns(prompt="{{ q }}", choices=expression, answer_index="0")
    with pytest.raises(DataError, match=says):
        make_rows("t", ROW, CompiledColumns.compile(columns), "t.csv:1")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        *((template.replace(" in l ", " in range(1000) "), says) for template, says in ENDLESS),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"),
        ("{% set s = namespace(t='ab') %}{% for i in range(99) %}{% set s.t = s.t ~ s.t %}{% endfor %}", MEMORY),
        ("{% set s = namespace(t=12) %}{% for i in range(99) %}{% set s.t = s.t * s.t %}{% endfor %}", DIGITS),
    ],
)
def test_a_chat_template_ends(template: str, says: str) -> None:
    tokenizer = load_tokenizer(find_model("tiny"))
    tokenizer.chat_template = CHATML + template
    with pytest.raises(DataError, match="its chat template cannot be used") as refusal:
        ChatFormat(tokenizer, model="m")
    assert says in str(refusal.value) and "\n" not in str(refusal.value)
    assert nothing_is_left()


def test_what_is_usual_is_computed() -> None:
    prompt = "{{ q }} {{ n ** 3 }} {{ 7 // 2 }} {{ 2 * 'ab' }} {{ '%05.1f' % 2.25 }} {{ 2.347 | round(2) }}"
    (row,) = make_rows("t", ROW, CompiledColumns.compile(Columns(prompt=prompt, target="{{ a }}")), "t.csv:1")
    assert row.prompt == "What? 1000 3 abab 002.2 2.35"


def test_an_alarm_that_was_swallowed_goes_off_again() -> None:
    def spin() -> None:
        while True:
            pass

    with pytest.raises(BoundsError, match=TIME), bounded():
        with pytest.raises(BoundsError):
            spin()
        spin()
    assert nothing_is_left()


def test_a_limit_that_stands_is_kept() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    mine = (1 << 45, before[1])
    resource.setrlimit(resource.RLIMIT_AS, mine)
    try:
        with bounded():
            assert resource.getrlimit(resource.RLIMIT_AS)[0] < mine[0]
        assert resource.getrlimit(resource.RLIMIT_AS) == mine
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_other_threads_render_too() -> None:
    made: list[str] = []
    columns = CompiledColumns.compile(Columns(prompt="{{ q }}", target="{{ a }}"))
    thread = threading.Thread(target=lambda: made.extend(row.prompt for row in make_rows("t", ROW, columns, "t.csv:1")))
    thread.start()
    thread.join()
    assert made == ["What?"] and nothing_is_left()
