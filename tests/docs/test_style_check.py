"""tools/check_style.py: each rule fires where it is broken, and ordinary text passes."""

from __future__ import annotations

import check_style
import pytest

LONG = "The relay " + "forwards packets " * 12 + "now."
ORDINARY = '''"""A port and its lease."""

MAX_PORTS = 4096  # of one range


class Lease:
    """A port on loan to one call."""

    def first_port(self) -> int:
        """Return the port, 1024 to 65535."""
        told_nothing = "what nobody was told"
        return len(told_nothing)
'''
CLAUSES = "and forwards and measures each packet of it " * 4
PAGE = f"""# What a relay does without calls {CLAUSES}

The relay forwards each packet to [the echo](https://example.com/a/very.long. Address).
It measures the round trip, see `a. B` and 2.5 ms (RFC 3550).
The relay has these parts:

- a control process,
- a media process without an event loop

1. The relay leases a port.
2. The relay answers the call.

| field | The relay {CLAUSES}. It goes on: {CLAUSES}. |
| --- | --- |

```console
$ make check. What nobody told: {CLAUSES}
It is code. It may be
anything.
```

<!-- begin: make bench -->
A program wrote this. It may have two sentences in a line.
<!-- end: make bench -->
"""


def offences(path: str, text: str) -> list[str]:
    _, found = check_style.check({path: text})
    return [f"{at.number}: {at.text}" for at in found]


def test_ordinary_python_passes() -> None:
    assert offences("operator/src/a.py", ORDINARY) == []


def test_ordinary_markdown_passes() -> None:
    assert offences("docs/a.md", PAGE) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("operator/src/a.py", '"""Report {}."""\n# {}\nSENTENCE = "{}"\n'),
        ("charts/rtp-pool/values.yaml", "# Report {}\nportRange: 1 # and {}\n"),
        ("charts/rtp-pool/templates/_a.tpl", "{{{{/* Report {} */}}}}\n{{{{/* and\n{} */}}}}\n"),
        ("Dockerfile", "# Report {}\n\n# and {}\n"),
        ("README.md", "Report {}.\n\nReport {}.\n"),
    ],
)
@pytest.mark.parametrize("rate", check_style.RATES, ids=lambda rate: rate.name)
def test_a_word_above_its_rate_is_an_offence_at_each_place(path: str, text: str, rate: check_style.Rate) -> None:
    for word in rate.words:
        found = offences(path, text.format(word, word, word))
        assert len(found) == 2
        assert all(f'"{rate.name}" more than {rate.limit} times in 10,000 words' in offence for offence in found)
        assert all(offence.endswith(rate.advice) for offence in found)


@pytest.mark.parametrize("rate", check_style.RATES, ids=lambda rate: rate.name)
def test_a_word_at_its_rate_passes(rate: check_style.Rate) -> None:
    word, *_ = rate.words
    above, other = f"# {word}\n", "# relay\n"
    assert offences("lab/a.py", above * rate.limit + other * (10_000 - rate.limit)) == []
    assert len(offences("lab/a.py", above * (rate.limit + 1) + other * (9_999 - rate.limit))) == rate.limit + 1


def test_rates_hold_for_each_package_by_itself() -> None:
    text = "# relay\n" * 9_000
    _, found = check_style.check({"operator/src/a.py": "# told\n# told\n", "operator/tests/a.py": text})
    assert [at.path for at in found] == ["operator/src/a.py"] * 2


def test_inline_code_counts_as_no_word() -> None:
    assert offences("README.md", "The field `told` and [a link](what/nobody/told).\n") == []


def test_a_long_sentence_is_an_offence() -> None:
    assert offences("README.md", f"{LONG}\n") == ["1: a sentence of 27 words; split it, at most 25 are accepted"]
    assert offences("README.md", f"- {LONG}\n") == ["1: a sentence of 27 words; split it, at most 25 are accepted"]


def test_two_sentences_in_a_line_are_an_offence() -> None:
    text = "The relay leases a port. `relay` answers. 20 ms later it forwards.\n"
    assert offences("README.md", text) == ["1: 3 sentences in a line; write one sentence a line"]


def test_a_sentence_over_two_lines_is_an_offence_at_the_first() -> None:
    text = "The relay leases\na port.\n"
    assert offences("README.md", text) == ["1: a sentence goes on in the next line; write one sentence a line"]


@pytest.mark.parametrize(
    "prefix", ["MOST", "LONGEST", "LARGEST", "FEWEST", "HIGHEST", "LOWEST", "SHORTEST", "SMALLEST", "OLDEST"]
)
def test_a_bound_without_max_or_min_is_an_offence(prefix: str) -> None:
    assert offences("lab/a.py", f"{prefix}_PORTS = 1\n") == [f"1: {prefix}_PORTS; name a bound MAX_ or MIN_"]
    assert offences("lab/a.py", f"class A:\n    _{prefix}_PORTS: int = 1\n") == [
        f"2: _{prefix}_PORTS; name a bound MAX_ or MIN_"
    ]


@pytest.mark.parametrize("name", ["told", "because", "some", "first", "listed", "look", "_look_at"])
def test_a_function_of_the_dialect_is_an_offence(name: str) -> None:
    expected = [f"1: function {name}; name it by a verb of the trade"]
    assert offences("lab/a.py", f"def {name}() -> None: ...\n") == expected
    assert offences("lab/a.py", f"async def {name}() -> None: ...\n") == expected


@pytest.mark.parametrize("name", ["Heard", "Picture", "_Surroundings"])
def test_a_class_of_the_dialect_is_an_offence(name: str) -> None:
    assert offences("lab/a.py", f"class {name}: ...\n") == [f"1: class {name}; name it by a noun of the field"]


def test_the_table_has_files_words_and_rates_of_each_package() -> None:
    table, _ = check_style.check({"operator/src/a.py": "# what relay\n", "operator/src/b.py": "", "README.md": "A.\n"})
    assert [row.split() for row in table[1:]] == [
        ["Markdown", "1", "1", "0.0", "0.0", "0.0"],
        ["operator/src", "2", "2", "5000.0", "0.0", "0.0"],
    ]


def test_counts_prints_the_table_and_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_style, "read_prose", lambda: {"README.md": f"{LONG}\n"})
    assert check_style.main(["--counts"]) == 0
    assert "README.md" not in capsys.readouterr().out
    assert check_style.main([]) == 1
    assert "README.md:1: a sentence of 27 words" in capsys.readouterr().out


def test_files_of_the_project_are_found_without_git() -> None:
    files = check_style.read_prose()
    assert {"README.md", "Dockerfile", "charts/rtp-pool/values.yaml", "operator/pyproject.toml"} <= files.keys()
    assert not [path for path in files if path.startswith(".venv/")]
