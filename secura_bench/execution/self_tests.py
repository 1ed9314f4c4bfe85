"""The self-test of each language: a small function in the layout of MultiPL-E's rows, with a right and a wrong body."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SelfTest:
    """What stands before the body, one that passes the tests, one that fails them, and the tests."""

    begin: str
    right: str
    wrong: str
    tests: str

    def program(self, right: bool) -> str:
        """Return the program that must pass, or the one that must fail."""
        return f"{self.begin}{self.right if right else self.wrong}\n{self.tests}"


SELF_TESTS = {
    "python": SelfTest(
        "from typing import List\n\ndef total(values: List[int]) -> int:\n",
        "    return sum(values)\n",
        "    return len(values)\n",
        """
def check(candidate):
    assert candidate([1, 2, 3]) == 6
    assert candidate([5]) == 5

check(total)
""",
    ),
    "javascript": SelfTest(
        "function total(values) {\n",
        "  return values.reduce((sum, value) => sum + value, 0);\n}\n",
        "  return values.length;\n}\n",
        """
const assert = require('node:assert');

assert.deepEqual(total([1, 2, 3]), 6);
assert.deepEqual(total([5]), 5);
""",
    ),
    "java": SelfTest(
        """import java.util.*;
import org.javatuples.*;

class Problem {
    public static long total(List<Long> values) {
""",
        "        return values.stream().mapToLong(Long::longValue).sum();\n",
        "        return values.size();\n",
        """    }
    public static void main(String[] args) {
        assert(total(List.of(1L, 2L, 3L)) == 6L);
        assert(total(List.of(5L)) == 5L);
    }
}
""",
    ),
    "cpp": SelfTest(
        "#include<assert.h>\n#include<bits/stdc++.h>\n\nlong total(std::vector<long> values) {\n",
        "    return std::accumulate(values.begin(), values.end(), 0L);\n",
        "    return values.size();\n",
        """}
int main() {
    assert(total({1, 2, 3}) == 6);
    assert(total({5}) == 5);
}
""",
    ),
    "rust": SelfTest(
        "fn total(values: Vec<isize>) -> isize {\n",
        "    values.iter().sum()\n",
        "    values.len() as isize\n",
        """}

fn main() {
    assert_eq!(total(vec![1, 2, 3]), 6);
    assert_eq!(total(vec![5]), 5);
}
""",
    ),
    "go": SelfTest(
        """package total_test

import (
    "testing"
)

func total(values []int) int {
""",
        """    sum := 0
    for _, value := range values {
        sum += value
    }
    return sum
}
""",
        "    return len(values)\n}\n",
        """func TestTotal(t *testing.T) {
    if total([]int{1, 2, 3}) != 6 || total([]int{5}) != 5 {
        t.Errorf("not the sum")
    }
}
""",
    ),
}
"""By the languages of ``languages``."""
