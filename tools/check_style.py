"""Check that the tree's prose and names follow the project's writing rules.

Prose is docstrings, comments and Markdown in the files of the project. `--counts` prints the table only.
"""

from __future__ import annotations

import argparse
import ast
import io
import math
import os
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MAX_SENTENCE_WORDS = 25
FILLED_BY_TOOLS = re.compile(r"^(build|dist|__pycache__)$|\.egg-info$")


class Rate(NamedTuple):
    """A bound on how often a group of words may occur in 10,000 words of a package."""

    name: str
    words: frozenset[str]
    limit: int
    advice: str

    def allowed(self, words: int) -> int:
        """Return the accepted occurrences in a text of this many words, rounded up."""
        return math.ceil(self.limit * words / 10_000)


class Line(NamedTuple):
    """A line of prose, or an offence at that line."""

    path: str
    number: int
    text: str

    def words(self) -> list[str]:
        """Return the words in lower case, without those of inline code and link targets."""
        return re.findall(r"[a-z']+", plain(self.text).replace("CODE", "").lower())


RATES = (
    Rate("what", frozenset({"what"}), 20, "name the thing"),
    Rate("tell", frozenset({"tell", "tells", "told"}), 2, "use the precise verb: report, publish, log, show"),
    Rate("nobody", frozenset({"nobody", "somebody", "whoever"}), 2, "name who acts"),
)
HASH_COMMENTS = re.compile(r"(^|/)(Makefile|([\w-]+\.)?Dockerfile|[^/]+\.(ya?ml|toml))$")
BLOCK_COMMENTS = re.compile(r"\.(tpl|ya?ml|c|h|go|js|css)$")
DIALECT_BOUND = re.compile(r"_*(MOST|LONGEST|LARGEST|FEWEST|HIGHEST|LOWEST|SHORTEST|SMALLEST|OLDEST)_\w+")
DIALECT_FUNCTION = re.compile(r"_*(told|because|some|first|listed|look(_\w+)?)")
DIALECT_CLASS = re.compile(r"_*(Heard|Picture|Surroundings)")
LIST_MARKER = re.compile(r"^[\s>]*([-*+]|\d+[.)])\s+")
SENTENCE_END = re.compile(r"[.!?][)\"'*_»]*\s+(?=[\"'(*_«\[]*[A-Z0-9])")
GENERATED = re.compile(r"<!-- (begin|end): ")


def plain(text: str) -> str:
    """Replace inline code by one word and links by their text."""
    text = re.sub(r"`+[^`]*`+", "CODE", text)
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)


def package(path: str) -> str:
    """Return the row of the table that a file counts in."""
    if path.endswith(".md"):
        return "Markdown"
    if not path.endswith(".py"):
        return "charts" if path.startswith("charts/") else "other files"
    match = re.match(r"(.*?\b(src|tests))/", path)
    return match[1] if match else path.partition("/")[0]


def python_prose(path: str, text: str) -> Iterator[Line]:
    """Yield the lines of docstrings and comments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for offset, line in enumerate(node.value.value.splitlines()):
                yield Line(path, node.lineno + offset, line)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Line(path, token.start[0], token.string)


def comment_prose(path: str, text: str) -> Iterator[Line]:
    """Yield the lines of comments in YAML, TOML, Dockerfiles, templates, C, Go, CSS and JavaScript."""
    if HASH_COMMENTS.search(path):
        for number, line in enumerate(text.splitlines(), 1):
            if match := re.search(r"(?:^|\s)#+ (.*)", line):
                yield Line(path, number, match[1])
    if BLOCK_COMMENTS.search(path):
        for match in re.finditer(r"/\*(.*?)\*/|(?<!:)//(.*?)$", text, re.DOTALL | re.MULTILINE):
            first = text.count("\n", 0, match.start()) + 1
            for offset, line in enumerate((match[1] or match[2] or "").splitlines()):
                yield Line(path, first + offset, line)


def markdown_prose(path: str, text: str) -> Iterator[Line]:
    """Yield every line outside of code blocks and generated regions; an empty line stands for a skipped one."""
    fenced = generated = False
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.lstrip("> ").startswith(("```", "~~~"))
        if match := GENERATED.search(line):
            generated = match[1] == "begin"
        fenced ^= fence
        yield Line(path, number, "" if fence or fenced or generated or line.lstrip().startswith("<") else line)


def sentence_offences(lines: Iterable[Line]) -> Iterator[Line]:
    """Check Markdown prose: one sentence a line, and no sentence above the limit. Tables and headings are exempt."""
    previous: Line | None = None
    for line in lines:
        if not line.text.strip("> ") or line.text.lstrip("> ").startswith(("|", "#")):
            previous = None
            continue
        starts_item = LIST_MARKER.match(line.text)
        if previous and not starts_item and not re.search(r"[.!?:][)\"'*_»]*$", plain(previous.text).rstrip()):
            yield Line(line.path, previous.number, "a sentence goes on in the next line; write one sentence a line")
        previous = line
        sentences = SENTENCE_END.split(plain(LIST_MARKER.sub("", line.text)))
        if len(sentences) > 1:
            yield Line(line.path, line.number, f"{len(sentences)} sentences in a line; write one sentence a line")
        for sentence in sentences:
            count = sum(any(map(str.isalnum, word)) for word in sentence.split())
            if count > MAX_SENTENCE_WORDS:
                advice = f"split it, at most {MAX_SENTENCE_WORDS} are accepted"
                yield Line(line.path, line.number, f"a sentence of {count} words; {advice}")


def name_offences(path: str, text: str) -> Iterator[Line]:
    """Check the names that Python code defines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and DIALECT_BOUND.fullmatch(node.id):
            yield Line(path, node.lineno, f"{node.id}; name a bound MAX_ or MIN_")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and DIALECT_FUNCTION.fullmatch(node.name):
            yield Line(path, node.lineno, f"function {node.name}; name it by a verb of the trade")
        elif isinstance(node, ast.ClassDef) and DIALECT_CLASS.fullmatch(node.name):
            yield Line(path, node.lineno, f"class {node.name}; name it by a noun of the field")


def check(files: dict[str, str]) -> tuple[list[str], list[Line]]:
    """Return the table's lines and every offence in the files, given as path and text."""
    prose: defaultdict[str, list[Line]] = defaultdict(list)
    offences: list[Line] = []
    for path, text in files.items():
        if path.endswith(".md"):
            prose[package(path)] += (lines := list(markdown_prose(path, text)))
            offences += sentence_offences(lines)
        elif path.endswith(".py"):
            prose[package(path)] += python_prose(path, text)
            offences += name_offences(path, text)
        else:
            prose[package(path)] += comment_prose(path, text)
    table = [f"{'per 10,000 words':<24} files   words" + "".join(f"{rate.name:>9}" for rate in RATES)]
    for name, lines in sorted(prose.items()):
        counted = Counter(word for line in lines for word in line.words())
        row = f"{name:<24} {sum(package(path) == name for path in files):>5} {counted.total():>7}"
        for rate in RATES:
            found = sum(counted[word] for word in rate.words)
            broken = found > rate.allowed(counted.total())
            row += f"{found * 10_000 / max(1, counted.total()):>8.1f}{'!' if broken else ' '}"
            if broken:
                bound = f'"{rate.name}" more than {rate.limit} times in 10,000 words of {name}'
                offending = [line for line in lines if rate.words & set(line.words())]
                offences += [Line(at.path, at.number, f"{bound}; {rate.advice}") for at in offending]
        table.append(row.rstrip())
    return table, sorted(offences)


def project_files() -> list[Path]:
    """Return the project's files, without hidden folders and folders that tools fill."""
    found: list[Path] = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in sorted(below) if not name.startswith(".") and not FILLED_BY_TOOLS.search(name)]
        found += [Path(folder, name) for name in sorted(names)]
    return found


def read_prose() -> dict[str, str]:
    """Read the files that may hold prose, by their path in the project."""
    kinds = re.compile(rf"\.(py|md)$|{HASH_COMMENTS.pattern}|{BLOCK_COMMENTS.pattern}")
    paths = {path.relative_to(ROOT).as_posix(): path for path in project_files()}
    return {name: path.read_text() for name, path in paths.items() if kinds.search(name)}


def main(arguments: list[str]) -> int:
    """Print the table and the offences. Returns the exit code: 1 for a broken rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", action="store_true", help="print the table only")
    counts_only = parser.parse_args(arguments).counts
    table, offences = check(read_prose())
    shown = (f"{at.path}:{at.number}: {at.text}" for at in offences)
    print("\n".join(table if counts_only else [*table, *shown, f"style: {len(offences)} offences"]))
    return 1 if offences and not counts_only else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
