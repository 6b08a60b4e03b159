"""Reading durations, sizes, and YAML with lines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yokeflow.document import (
    format_duration,
    load_document,
    parse_count,
    parse_document,
    parse_duration,
    parse_scalar,
    parse_size,
)
from yokeflow.errors import DocumentError

FILE = Path("some.yaml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("45s", 45),
        ("2d", 172800),
        ("1.5h", 5400),
        ("500ms", 0.5),
        (90, 90),
        (0.5, 0.5),
        (" 2H ", 7200),
        ("1w", 604800),
    ],
)
def test_duration(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value", ["", "m", "30", "30x", "1h-3m", "-5m", None, True, [1], "9" * 400 + "h", 10**400]
)
def test_no_duration(value):
    with pytest.raises(ValueError, match=r"is no duration|too large"):
        parse_duration(value)


@given(st.integers(1, 10**9))
def test_duration_is_written_as_it_is_read(seconds):
    written = format_duration(seconds)
    assert isinstance(written, str)
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("20MB", 20_000_000), ("1 KiB", 1024), (7, 7), ("12", 12), ("1.5gb", 1_500_000_000)]
)
def test_size(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["", "MB", "-1MB", "5 apples", None, True, 1.5, "9" * 400])
def test_no_size(value):
    with pytest.raises(ValueError, match=r"is no size|too large"):
        parse_size(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("007", "007"),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("1_000", 1000),
        ("true", True),
        ("~", None),
        ("", None),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e5", "1e5"),
        ("0x1f", "0x1f"),
    ],
)
def test_scalar(text, value):
    assert parse_scalar(text) == value
    assert type(parse_scalar(text)) is type(value)


def test_lines_of_keys_and_list_items():
    document = parse_document("a:\n  - x\n  - y: 1\n    z:\n      - 2\nb: {c: 3}\n", FILE)
    assert document.data == {"a": ["x", {"y": 1, "z": [2]}], "b": {"c": 3}}
    lines = [("a",), ("a", 0), ("a", 1, "y"), ("a", 1, "z"), ("a", 1, "z", 0), ("b", "c")]
    assert [document.line(key) for key in lines] == [1, 2, 3, 4, 5, 6]


def test_line_of_what_is_missing_is_that_of_what_is_around_it():
    document = parse_document("\na:\n  b: 1\n", FILE)
    assert document.line(("a", "nothing", 3)) == 2
    assert str(document.problem(("a", "x"), "is bad", "mend it")) == "some.yaml:2: a.x: is bad (mend it)"


def test_anchors_and_merge_keys():
    document = parse_document("base: &b\n  x: 1\n  y: 2\nmore:\n  <<: *b\n  y: 3\nsame: *b\n", FILE)
    assert document.data["more"] == {"x": 1, "y": 3}
    assert document.data["same"] == {"x": 1, "y": 2}
    assert document.line(("more", "x")) == 2


@pytest.mark.parametrize(
    ("text", "line", "fragment"),
    [
        ("a: 1\nb: [1\nc: 2", 3, "no valid YAML"),
        ("a:\n\tb: 1", 2, "no valid YAML"),
        ("a: 1\nb: 2\na: 3", 3, "given twice, first on line 1"),
        ("a: 1\n---\nb: 2", 2, "more than one document"),
        ("a: 1\nb: !!python/object:os.system x", 2, "tag"),
        ("a: &x [*x]", 1, "anchor"),
        ("a: *nobody", 1, "anchor"),
        ("a: 1\n? [b]\n: c", 2, "only text can be a key"),
        ("a: 1\nb: \x07", 2, "character"),
        ('a: 1\nb: "\\0"', 2, "character"),
        ("a: 1\n" + "b: " + "[" * 100_000, 2, "nested too deeply"),
        ("a: {<<: 3}", 1, "alias of a mapping"),
    ],
)
def test_what_is_wrong_with_the_text(text, line, fragment):
    with pytest.raises(DocumentError) as caught:
        parse_document(text, FILE)
    problem = caught.value.problems[0]
    assert (problem.path, problem.line) == (FILE, line)
    assert fragment in problem.message
    assert problem.hint


def test_every_key_given_twice_is_told():
    with pytest.raises(DocumentError) as caught:
        parse_document("a: 1\na: 2\nb: {c: 1, c: 2}\n", FILE)
    assert [(each.line, each.key) for each in caught.value.problems] == [(2, "a"), (3, "b.c")]


def test_billion_laughs_end_quickly():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    started = time.monotonic()
    with pytest.raises(DocumentError, match="too large once its aliases"):
        parse_document("\n".join(lines), FILE)
    assert time.monotonic() - started < 5


def test_bad_utf8_names_the_line(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"a: 1\nb: \xff\xfe\n")
    with pytest.raises(DocumentError) as caught:
        load_document(file)
    assert caught.value.problems[0].line == 2
    assert "UTF-8" in caught.value.problems[0].message


def test_a_byte_order_mark_is_no_content(tmp_path):
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert load_document(file).data == {"a": 1, "b": 2}


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(DocumentError, match="cannot be read"):
        load_document(tmp_path / name)


@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>'\"%@#,? \n\t0<", max_size=60))
def test_any_text_is_data_or_a_document_error(text):
    try:
        parse_document(text, FILE)
    except DocumentError as error:
        found = error.problems
    else:
        return
    assert found
    assert all(problem.message and problem.hint for problem in found)


@pytest.mark.parametrize(
    ("written", "number"), [(7, 7), ("200k", 200_000), ("1.5M", 1_500_000), ("20_000", 20_000), ("3 k", 3000)]
)
def test_counts(written, number):
    assert parse_count(written) == number


@pytest.mark.parametrize("written", ["20MB", "k", "-5", "1e3", True, None, [1], "", "9" * 400])
def test_what_is_no_count_says_how_to_write_one(written):
    with pytest.raises(ValueError, match=r"write it like 20000, 200k or 1.5M|too large"):
        parse_count(written)
