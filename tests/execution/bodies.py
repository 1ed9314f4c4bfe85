"""A reference body for each problem in each language. Those of JavaScript and Go hold the brace that ends them."""

from __future__ import annotations

from textwrap import indent

_PYTHON = {
    "add": "return a + b",
    "is_even": "return n % 2 == 0",
    "factorial": "return 1 if n == 0 else n * factorial(n - 1)",
    "gcd": "while b:\n    a, b = b, a % b\nreturn a",
    "fibonacci": "a, b = 0, 1\nfor _ in range(n):\n    a, b = b, a + b\nreturn a",
    "is_prime": "return n > 1 and all(n % d for d in range(2, n))",
    "digit_sum": "return sum(map(int, str(n)))",
    "power_mod": "return pow(a, b, m)",
    "reverse": "return s[::-1]",
    "is_palindrome": "return s == s[::-1]",
    "count_vowels": "return sum(c in 'aeiou' for c in s)",
    "repeat": "return s * n",
    "to_binary": "return format(n, 'b')",
    "largest": "return max(v)",
    "total": "return sum(v)",
    "evens": "return [x for x in v if x % 2 == 0]",
    "running_sum": "from itertools import accumulate\nreturn list(accumulate(v))",
    "sorted_unique": "return sorted(set(v))",
    "count_above": "return sum(x > n for x in v)",
    "dot": "return sum(x * y for x, y in zip(v, w))",
}
_JAVASCRIPT = {
    "add": "return a + b;",
    "is_even": "return n % 2 === 0;",
    "factorial": "return n === 0 ? 1 : n * factorial(n - 1);",
    "gcd": "while (b) {\n  [a, b] = [b, a % b];\n}\nreturn a;",
    "fibonacci": "let [a, b] = [0, 1];\nfor (let i = 0; i < n; i++) {\n  [a, b] = [b, a + b];\n}\nreturn a;",
    "is_prime": "for (let d = 2; d < n; d++) {\n  if (n % d === 0) return false;\n}\nreturn n > 1;",
    "digit_sum": "return String(n).split('').reduce((sum, d) => sum + Number(d), 0);",
    "power_mod": "let r = 1;\nfor (let i = 0; i < b; i++) {\n  r = (r * a) % m;\n}\nreturn r;",
    "reverse": "return s.split('').reverse().join('');",
    "is_palindrome": "return s === s.split('').reverse().join('');",
    "count_vowels": "return s.split('').filter((c) => 'aeiou'.includes(c)).length;",
    "repeat": "return s.repeat(n);",
    "to_binary": "return n.toString(2);",
    "largest": "return Math.max(...v);",
    "total": "return v.reduce((sum, x) => sum + x, 0);",
    "evens": "return v.filter((x) => x % 2 === 0);",
    "running_sum": "let sum = 0;\nreturn v.map((x) => (sum += x));",
    "sorted_unique": "return [...new Set(v)].sort((a, b) => a - b);",
    "count_above": "return v.filter((x) => x > n).length;",
    "dot": "return v.reduce((sum, x, i) => sum + x * w[i], 0);",
}
_JAVA = {
    "add": "return a + b;",
    "is_even": "return n % 2 == 0;",
    "factorial": "return n == 0 ? 1 : n * factorial(n - 1);",
    "gcd": "while (b != 0) {\n    long rest = a % b;\n    a = b;\n    b = rest;\n}\nreturn a;",
    "fibonacci": "long a = 0, b = 1;\nfor (long i = 0; i < n; i++) {\n    long next = a + b;\n    a = b;\n    "
    "b = next;\n}\nreturn a;",
    "is_prime": "for (long d = 2; d < n; d++) {\n    if (n % d == 0) return false;\n}\nreturn n > 1;",
    "digit_sum": "return String.valueOf(n).chars().map(c -> c - '0').sum();",
    "power_mod": "long r = 1;\nfor (long i = 0; i < b; i++) {\n    r = r * a % m;\n}\nreturn r;",
    "reverse": "return new StringBuilder(s).reverse().toString();",
    "is_palindrome": "return s.equals(new StringBuilder(s).reverse().toString());",
    "count_vowels": 'return s.chars().filter(c -> "aeiou".indexOf(c) >= 0).count();',
    "repeat": "return s.repeat((int) n);",
    "to_binary": "return Long.toBinaryString(n);",
    "largest": "return Collections.max(v);",
    "total": "return v.stream().mapToLong(Long::longValue).sum();",
    "evens": "return new ArrayList<>(v.stream().filter(x -> x % 2 == 0).collect(Collectors.toList()));",
    "running_sum": "ArrayList<Long> r = new ArrayList<>();\nlong sum = 0;\nfor (long x : v) {\n    sum += x;\n"
    "    r.add(sum);\n}\nreturn r;",
    "sorted_unique": "return new ArrayList<>(new TreeSet<>(v));",
    "count_above": "return v.stream().filter(x -> x > n).count();",
    "dot": "long sum = 0;\nfor (int i = 0; i < v.size(); i++) {\n    sum += v.get(i) * w.get(i);\n}\nreturn sum;",
}
_CPP = {
    "add": "return a + b;",
    "is_even": "return n % 2 == 0;",
    "factorial": "return n == 0 ? 1 : n * factorial(n - 1);",
    "gcd": "return b == 0 ? a : gcd(b, a % b);",
    "fibonacci": "long a = 0, b = 1;\nfor (long i = 0; i < n; i++) {\n    long next = a + b;\n    a = b;\n    "
    "b = next;\n}\nreturn a;",
    "is_prime": "for (long d = 2; d < n; d++) {\n    if (n % d == 0) return false;\n}\nreturn n > 1;",
    "digit_sum": "return n == 0 ? 0 : n % 10 + digit_sum(n / 10);",
    "power_mod": "long r = 1;\nfor (long i = 0; i < b; i++) r = r * a % m;\nreturn r;",
    "reverse": "return std::string(s.rbegin(), s.rend());",
    "is_palindrome": "return s == std::string(s.rbegin(), s.rend());",
    "count_vowels": 'return std::count_if(s.begin(), s.end(), [](char c) { return strchr("aeiou", c) != nullptr; });',
    "repeat": "std::string r;\nwhile (n-- > 0) r += s;\nreturn r;",
    "to_binary": 'if (n < 2) return n ? "1" : "0";\nreturn to_binary(n / 2) + (n % 2 ? "1" : "0");',
    "largest": "return *std::max_element(v.begin(), v.end());",
    "total": "return std::accumulate(v.begin(), v.end(), 0L);",
    "evens": "std::vector<long> r;\nfor (long x : v) {\n    if (x % 2 == 0) r.push_back(x);\n}\nreturn r;",
    "running_sum": "std::partial_sum(v.begin(), v.end(), v.begin());\nreturn v;",
    "sorted_unique": "std::set<long> r(v.begin(), v.end());\nreturn std::vector<long>(r.begin(), r.end());",
    "count_above": "return std::count_if(v.begin(), v.end(), [n](long x) { return x > n; });",
    "dot": "return std::inner_product(v.begin(), v.end(), w.begin(), 0L);",
}
_RUST = {
    "add": "a + b",
    "is_even": "n % 2 == 0",
    "factorial": "(1..=n).product()",
    "gcd": "if b == 0 {\n    a\n} else {\n    gcd(b, a % b)\n}",
    "fibonacci": "let (mut a, mut b) = (0, 1);\nfor _ in 0..n {\n    let next = a + b;\n"
    "    a = b;\n    b = next;\n}\na",
    "is_prime": "n > 1 && (2..n).all(|d| n % d != 0)",
    "digit_sum": "n.to_string().bytes().map(|c| (c - b'0') as isize).sum()",
    "power_mod": "(0..b).fold(1, |r, _| r * a % m)",
    "reverse": "s.chars().rev().collect()",
    "is_palindrome": "s.chars().rev().collect::<String>() == s",
    "count_vowels": 's.chars().filter(|c| "aeiou".contains(*c)).count() as isize',
    "repeat": "s.repeat(n as usize)",
    "to_binary": 'format!("{:b}", n)',
    "largest": "*v.iter().max().unwrap()",
    "total": "v.iter().sum()",
    "evens": "v.into_iter().filter(|x| x % 2 == 0).collect()",
    "running_sum": "let mut sum = 0;\nv.iter()\n    .map(|x| {\n        sum += x;\n        sum\n    })\n    .collect()",
    "sorted_unique": "let mut v = v;\nv.sort();\nv.dedup();\nv",
    "count_above": "v.iter().filter(|x| **x > n).count() as isize",
    "dot": "v.iter().zip(w.iter()).map(|(x, y)| x * y).sum()",
}
_GO = {
    "add": "return a + b",
    "is_even": "return n%2 == 0",
    "factorial": "if n == 0 {\n    return 1\n}\nreturn n * factorial(n-1)",
    "gcd": "for b != 0 {\n    a, b = b, a%b\n}\nreturn a",
    "fibonacci": "a, b := 0, 1\nfor i := 0; i < n; i++ {\n    a, b = b, a+b\n}\nreturn a",
    "is_prime": "for d := 2; d < n; d++ {\n    if n%d == 0 {\n        return false\n    }\n}\nreturn n > 1",
    "digit_sum": "sum := 0\nfor ; n > 0; n /= 10 {\n    sum += n % 10\n}\nreturn sum",
    "power_mod": "r := 1\nfor i := 0; i < b; i++ {\n    r = r * a % m\n}\nreturn r",
    "reverse": 'r := ""\nfor _, c := range s {\n    r = string(c) + r\n}\nreturn r',
    "is_palindrome": "for i := range s {\n    if s[i] != s[len(s)-1-i] {\n        return false\n    }\n}\nreturn true",
    "count_vowels": "n := 0\nfor _, c := range s {\n    switch c {\n    case 'a', 'e', 'i', 'o', 'u':\n    "
    "    n++\n    }\n}\nreturn n",
    "repeat": 'r := ""\nfor i := 0; i < n; i++ {\n    r += s\n}\nreturn r',
    "to_binary": 'return fmt.Sprintf("%b", n)',
    "largest": "r := v[0]\nfor _, x := range v {\n    if x > r {\n        r = x\n    }\n}\nreturn r",
    "total": "sum := 0\nfor _, x := range v {\n    sum += x\n}\nreturn sum",
    "evens": "r := []int{}\nfor _, x := range v {\n    if x%2 == 0 {\n        r = append(r, x)\n    }\n}\nreturn r",
    "running_sum": "r := []int{}\nsum := 0\nfor _, x := range v {\n    sum += x\n    r = append(r, sum)\n}\nreturn r",
    "sorted_unique": "seen := map[int]bool{}\nr := []int{}\nfor _, x := range v {\n    if !seen[x] {\n"
    "        seen[x] = true\n        r = append(r, x)\n    }\n}\nfor i := range r {\n"
    "    for j := i + 1; j < len(r); j++ {\n"
    "        if r[j] < r[i] {\n            r[i], r[j] = r[j], r[i]\n        }\n    }\n}\nreturn r",
    "count_above": "c := 0\nfor _, x := range v {\n    if x > n {\n        c++\n    }\n}\nreturn c",
    "dot": "sum := 0\nfor i, x := range v {\n    sum += x * w[i]\n}\nreturn sum",
}
_LANGUAGES = {"python": _PYTHON, "javascript": _JAVASCRIPT, "java": _JAVA, "cpp": _CPP, "rust": _RUST, "go": _GO}


def body(language: str, name: str) -> str:
    """Return the body as it goes on where the prompt ends."""
    deep = " " * (8 if language == "java" else 4)
    end = "\n}\n" if language in ("javascript", "go") else "\n"
    return indent(_LANGUAGES[language][name], deep) + end
