"""The languages whose programs can be run: what each needs, and how its programs are built and run.

They are run as MultiPL-E runs them (https://github.com/nuprl/MultiPL-E, ``evaluation/src``), but that Go is compiled
without ``go vet``: a program passes where its last step ends with status 0.
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
    """

    id: str
    file: str
    steps: tuple[str, ...]
    packages: str
    keeps: Literal["all", "above", "nothing"]
    settings: tuple[str, ...] = ()


LANGUAGES = {
    language.id: language
    for language in (
        Language("python", "main.py", ("python3 -B main.py",), "python3", "all"),
        Language("javascript", "main.js", ("node main.js",), "nodejs", "all"),
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
        ),
        Language("cpp", "main.cpp", ("g++ -std=c++17 main.cpp -o main", "./main"), "g++", "above"),
        Language("rust", "main.rs", ("rustc -A warnings main.rs -o main", "./main"), "rustc", "above"),
        Language(
            "go",
            "main_test.go",
            ("GOCACHE=/tmp/cache go test -c -o main main_test.go", "(./main >&2)"),
            "golang-go",
            "nothing",
        ),
    )
}
"""The languages by the names that a task's column ``code`` uses."""
