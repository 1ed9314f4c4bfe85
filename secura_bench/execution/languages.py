"""The languages whose programs can be run: what each needs, and how its programs are built and run.

They are run as MultiPL-E runs them (https://github.com/nuprl/MultiPL-E, ``evaluation/src``), but that Go is compiled
without ``go vet``, and that a program passes where it ends with status 0 *behind* its tests: what stands there writes a
mark. Go needs none, since its ``testing`` can be told to let no program end itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_TUPLES = "/usr/share/java/javatuples.jar"  # MultiPL-E's prompts in Java import them
_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx512m"  # few threads, and less memory than the sandbox allows


@dataclass(frozen=True)
class Language:
    """A language.

    Attributes:
        file: what its program is called. steps: the commands that build it, and as the last the one that runs it.
        packages: those of Debian that have what the steps need. settings: what they read outside of ``/usr``.
        keeps: what of an answer that writes the function anew is kept beside it: ``all``, what stands ``above`` it, or
            ``nothing``, where that would stand twice (a package's name, a class).
        mark: what writes ``MARK`` to standard error, behind the tests. inside: how many braces close behind it.
        above: what stands above the program for it.
    """

    id: str
    file: str
    steps: tuple[str, ...]
    packages: str
    keeps: Literal["all", "above", "nothing"]
    settings: tuple[str, ...] = ()
    mark: str = ""
    inside: int = 0
    above: str = ""

    def marked(self, source: str, mark: str) -> str:
        """Return a program that writes ``mark`` to standard error once its tests are through."""
        if not self.mark:
            return source
        behind = ""
        for _ in range(self.inside):
            source, brace, rest = source.rpartition("}")
            behind = f"{brace}{rest}{behind}"
        return f"{self.above}{source}\n{self.mark.replace('MARK', mark)}\n{behind}"


LANGUAGES = {
    language.id: language
    for language in (
        Language(
            "python",
            "main.py",
            ("python3 -B main.py",),
            "python3",
            "all",
            mark="__import__('os').write(2, b'MARK')",
        ),
        Language(
            "javascript",
            "main.js",
            ("node main.js",),
            "nodejs",
            "all",
            mark="require('node:fs').writeSync(2, 'MARK');",
        ),
        Language(
            "java",
            "Main.java",
            (
                f"javac -J-XX:+UseSerialGC -encoding UTF8 -cp {_TUPLES} -d . Main.java",
                f"java {_JAVA} -ea -cp .:{_TUPLES} Problem",
            ),
            "default-jdk-headless libjavatuples-java",
            "nothing",
            settings=tuple(f"/etc/java-{version}-openjdk" for version in (11, 17, 21, 25)),
            mark='System.err.print("MARK");',
            inside=2,
        ),
        Language(
            "cpp",
            "main.cpp",
            ("g++ -std=c++17 main.cpp -o main", "./main"),
            "g++",
            "above",
            mark='std::fputs("MARK", stderr);',
            inside=1,
            above="#include <cstdio>\n",
        ),
        Language(
            "rust",
            "main.rs",
            ("rustc -A warnings main.rs -o main", "./main"),
            "rustc",
            "above",
            mark='eprint!("MARK");',
            inside=1,
        ),
        Language(
            "go",
            "main_test.go",
            ("GOCACHE=/tmp/cache go test -c -o main main_test.go", "(./main -test.paniconexit0 >&2)"),
            "golang-go",
            "nothing",
        ),
    )
}
"""The languages by the names that a task's column ``code`` uses."""
