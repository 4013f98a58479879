"""The plan of an utterance: pauses, paragraphs, pronunciations; and that no word is lost or doubled."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from difflib import SequenceMatcher

import pytest
from book import chapter
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.errors import EmptyText, InvalidOption
from synthesis.text import (
    MAX_PAUSE_S,
    MAX_PRONUNCIATION_ENTRIES,
    MAX_SPOKEN_CHARS,
    MAX_TOTAL_PAUSES_S,
    MIN_SEGMENT_CHARS,
    PARAGRAPH_PAUSE_S,
    SENTENCE_PAUSE_S,
    Segment,
    normalised_text,
    plan,
)

A = "The first sentence is here."
B = "The second one follows it."


def pauses(text: str, max_chars: int = 200) -> list[tuple[str, float]]:
    return [(segment.text, segment.pause_after_s) for segment in plan(text, max_chars)]


def test_a_short_text_is_one_segment_without_a_pause() -> None:
    assert plan("Hello.", 200) == [Segment("Hello.", 0.0)]


def test_segments_are_apart_by_what_their_last_mark_asks_for() -> None:
    assert pauses(f"{A} {B}", 40) == [(A, SENTENCE_PAUSE_S), (B, 0.0)]


def test_max_chars_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_chars"):
        plan("text", 0)


# Paragraphs


@pytest.mark.parametrize("blank", ["\n\n", "\n \t\n", "\r\n\r\n", "\n\n\n\n", "\u2029", "\n\n* * *\n\n", "\n\n---\n\n"])
def test_a_paragraph_ends_with_a_longer_pause(blank: str) -> None:
    assert pauses(f"{A}{blank}{B}") == [(A, PARAGRAPH_PAUSE_S), (B, 0.0)]
    assert PARAGRAPH_PAUSE_S > 2 * SENTENCE_PAUSE_S


def test_a_single_line_break_is_a_space() -> None:
    assert pauses(f"{A}\n{B}") == [(f"{A} {B}", 0.0)]


def test_a_short_paragraph_joins_the_next_one() -> None:
    assert pauses(f"“Yes.”\n\n“No.”\n\n{A}\n\n{B}") == [(f"“Yes.” “No.” {A}", PARAGRAPH_PAUSE_S), (B, 0.0)]


def test_a_short_last_paragraph_joins_the_one_before() -> None:
    assert pauses(f"{A}\n\nThe end.") == [(f"{A} The end.", 0.0)]


def test_a_heading_gets_a_full_stop() -> None:
    assert pauses(f"# The house on the hill\n{A}") == [("The house on the hill.", PARAGRAPH_PAUSE_S), (A, 0.0)]


def test_a_heading_of_another_language_gets_its_own_full_stop() -> None:
    assert normalised_text(
        "山上的老房子和它的旧主人们在一起的日子\n\n今天天气很好我们一起去公园散步。", "zh"
    ).startswith("山上的老房子和它的旧主人们在一起的日子。")


def test_list_items_are_paragraphs() -> None:
    text = "Take with you:\n- a rope of twenty metres\n- two bottles of water\n1. and the map of it"
    assert [segment.text for segment in plan(text, 200)] == [
        "Take with you: a rope of twenty metres.",
        "two bottles of water.",
        "One. and the map of it",
    ]


# Pause tags


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [
        ("[pause:0.8]", 0.8),
        ("[pause:2]", 2.0),
        ("[pause: .5 ]", 0.5),
        ("[PAUSE:1.5s]", 1.5),
        ("[pause:250ms]", 0.25),
        ("[pause:10]", 10.0),
    ],
)
def test_a_tag_is_a_pause_of_that_length(tag: str, seconds: float) -> None:
    assert pauses(f"Wait {tag} for it") == [("Wait", seconds), ("for it", 0.0)]


def test_tags_that_follow_each_other_add_up() -> None:
    assert pauses("Wait [pause:1] [pause:0.5] for it") == [("Wait", 1.5), ("for it", 0.0)]


def test_a_tag_takes_the_place_of_the_pause_that_would_be_there() -> None:
    assert pauses(f"{A} [pause:0.1] {B}") == [(A, 0.1), (B, 0.0)]
    assert pauses(f"{A}\n\n[pause:0.1]\n\n{B}") == [(A, 0.1), (B, 0.0)]


def test_a_tag_at_the_end_is_kept() -> None:
    assert pauses(f"{A} [pause:2]") == [(A, 2.0)]


def test_a_tag_inside_emphasis_leaves_no_marks() -> None:
    assert [segment.text for segment in plan("**Wait [pause:1] for it**", 200, language="xx")] == ["Wait", "for it"]


def test_the_marks_after_a_tag_belong_before_it() -> None:
    assert pauses("Wait [pause:1]. For it") == [("Wait.", 1.0), ("For it", 0.0)]


@pytest.mark.parametrize(
    "text", ["A [pause for effect] is good", "Press [Pause] now", "[pause and", "[paused] and on", "The pause:0.8 is"]
)
def test_other_brackets_are_text(text: str) -> None:
    assert normalised_text(text, "xx") == text


@pytest.mark.parametrize(
    "tag",
    [
        "[pause:0]",
        "[pause:-1]",
        "[pause:10.1]",
        "[pause:1e3]",
        "[pause:long]",
        "[pause:]",
        "[pause:nan]",
        "[pause:0.8",
        "[pause:20000ms]",
        "[pause:1,5]",
    ],
)
def test_a_tag_that_is_none_is_refused_in_three_parts(tag: str) -> None:
    with pytest.raises(InvalidOption, match=f"at most {MAX_PAUSE_S:g}") as refusal:
        plan(f"Wait {tag} for it", 200)
    assert len(str(refusal.value).split("; ")) == 3
    assert tag in str(refusal.value)


def test_a_pause_before_the_first_word_is_refused() -> None:
    with pytest.raises(InvalidOption, match="before the first word"):
        plan("[pause:1] Hello", 200)


def test_tags_that_add_up_to_more_than_one_pause_may_last_are_refused() -> None:
    with pytest.raises(InvalidOption, match="15 s"):
        plan("Wait [pause:10][pause:5] for it", 200)


def test_all_pauses_of_a_text_are_bounded() -> None:
    assert plan("a [pause:10] " * 60, 200)
    with pytest.raises(InvalidOption, match=f"allowed are {MAX_TOTAL_PAUSES_S:g} s"):
        plan("a [pause:10] " * 61, 200)


@pytest.mark.parametrize(
    "text",
    ["<speak>Hi</speak>", "Hi <break time='1s'/> you", "<Prosody rate='x'>Hi", "a </ speak >", "<amazon:effect x>"],
)
def test_ssml_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="SSML element"):
        plan(text, 200)


# Pronunciations


@pytest.mark.parametrize(
    ("written", "entries", "said"),
    [
        pytest.param("Mr Nguyen and Nguyens", {"Nguyen": "win"}, "Mister win and Nguyens", id="a whole word"),
        pytest.param("Nguyen's house (Nguyen).", {"Nguyen": "win"}, "win's house (win).", id="beside marks"),
        pytest.param("Sql, SQL and sql", {"sql": "sequel"}, "sequel, sequel and sequel", id="small letters are any"),
        pytest.param("polish the Polish", {"Polish": "Poelish"}, "polish the Poelish", id="a capital is only itself"),
        pytest.param("New York, York", {"York": "Yark", "New York": "Noo Ya"}, "Noo Ya, Yark", id="the longest first"),
        pytest.param("a cat", {"a": "cat", "cat": "dog"}, "cat dog", id="never twice"),
        pytest.param("a 3M tape", {"3M": "three em"}, "a three em tape", id="before numbers are written out"),
        pytest.param("at GIF", {"GIF": "5 km & jif"}, "at 5 km & jif", id="what is put in stays"),
        pytest.param("In C++ and .NET!", {"C++": "see", ".NET": "dot net"}, "In see and dot net!", id="signs"),
        pytest.param("Dr. Xi left", {"Xi": "Shee"}, "Doctor Shee left", id="rules see a name"),
        pytest.param("我在重庆工作", {"重庆": "崇庆"}, "我在崇庆工作", id="scripts without spaces"),
        pytest.param("cafe\u0301 life", {"café": "kaffay"}, "kaffay life", id="however it is composed"),
        pytest.param("e\u0301", {"e": "x"}, "é", id="never half a character"),
    ],
)  # fmt: skip
def test_a_pronunciation_is_said_for(written: str, entries: dict[str, str], said: str) -> None:
    assert normalised_text(written, pronunciation=entries) == said


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ({"": "a"}, "the word ''"),
        ({"...": "a"}, "the word '...'"),
        ({"a": ""}, "the pronunciation ''"),
        ({"a": "\x00"}, "the pronunciation"),
        ({"a" * 61: "b"}, "1 to 60 characters"),
        ({"a": "b" * 201}, "1 to 200 characters"),
        ({f"a{n}": "b" for n in range(MAX_PRONUNCIATION_ENTRIES + 1)}, "501 entries"),
    ],
    ids=["empty word", "word of marks", "empty", "control characters", "long word", "long", "many"],
)
def test_a_pronunciation_that_is_none_is_refused_in_three_parts(entries: dict[str, str], fault: str) -> None:
    with pytest.raises(InvalidOption, match=re.escape(fault)) as refusal:
        plan("a", 200, pronunciation=entries)
    assert len(str(refusal.value).split("; ")) == 3


# Nothing is lost


def letters_of(segments: list[Segment]) -> str:
    return "".join("".join(segment.text for segment in segments).split())


@settings(deadline=None)
@given(st.text(), st.integers(1, 200), st.sampled_from(["en", "de", "ja", "xx"]))
def test_the_segments_are_the_normalised_text(text: str, max_chars: int, language: str) -> None:
    try:
        normalised = normalised_text(text, language)
    except (EmptyText, InvalidOption) as refusal:
        with pytest.raises(type(refusal)):
            plan(text, max_chars, language=language)
        return
    assert letters_of(plan(text, max_chars, language=language)) == "".join(normalised.split())


plain_words = st.from_regex(r"(?:[b-df-hj-np-tz][aou]){3,5}", fullmatch=True)  # no abbreviation, unit or name
marks = st.sampled_from([" ", " ", " ", ", ", ". ", "! ", "? ", "; ", " — ", "… ", "\n", "\n\n", "\t", " “", "” "])


@settings(deadline=None)
@given(st.lists(st.tuples(plain_words, marks), min_size=1, max_size=60), st.integers(8, 200))
def test_words_that_need_no_writing_out_are_said_as_they_are(pairs: list[tuple[str, str]], max_chars: int) -> None:
    text = "".join(word + mark for word, mark in pairs)
    segments = plan(text, max_chars)
    said = re.findall(r"\w+", " ".join(segment.text for segment in segments))
    longest = max(len(word) for word, _ in pairs)
    if max_chars > 2 * MIN_SEGMENT_CHARS + longest:  # no word has to be cut
        assert said == [word for word, _ in pairs]
    else:
        assert "".join(said) == "".join(word for word, _ in pairs)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(plain_words, st.text(max_size=6), st.sampled_from(["$5", "3.", "St.", "8:30", "&", "a@b.co"])),
        max_size=30,
    )
)
def test_no_rule_takes_a_word_with_it(pieces: list[str]) -> None:
    text = " ".join(pieces)
    try:
        said = Counter(re.findall(r"\w+", normalised_text(text).lower()))
    except (EmptyText, InvalidOption):
        return
    plain = Counter(piece for piece in pieces if re.fullmatch(r"[b-df-hj-np-tzaou]{6,}", piece))
    assert not plain - said


def test_every_word_of_a_chapter_is_accounted_for() -> None:
    text = chapter()
    assert len(text) >= 30_000
    segments = plan(text, 300)
    said = " ".join(segment.text for segment in segments).split()
    assert "".join(said) == "".join(normalised_text(text).split())
    written = text.split()
    changed = [
        (" ".join(written[a:b]), " ".join(said[c:d]))
        for tag, a, b, c, d in SequenceMatcher(None, written, said, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
    assert changed == [
        ("I", "one."),
        ("JOURNAL", "JOURNAL."),
        ("3", "The third of"),
        ("8:35 P. M.,", "eight thirty-five P M,"),
        ("1st", "the first of"),
        ("6:46,", "six forty-six,"),
        ("7:30", "seven thirty"),
        ("13,000", "thirteen thousand"),
        ("4", "The fourth of"),
        ("St.", "Saint"),
        ("* * * 5", "The fifth of"),
    ]
    assert all(MIN_SEGMENT_CHARS <= len(segment.text) <= 300 for segment in segments)
    assert sum(segment.pause_after_s == PARAGRAPH_PAUSE_S for segment in segments) > 30


# Limits and speed


def test_a_text_that_numbers_make_too_long_is_refused() -> None:
    with pytest.raises(InvalidOption, match=f"allowed are {MAX_SPOKEN_CHARS:,}"):
        plan("1 " * 50_000 + "$9,999,999.99 " * 3_000, 200)


def test_a_text_that_pronunciations_make_too_long_is_refused() -> None:
    with pytest.raises(InvalidOption, match=f"allowed are {MAX_SPOKEN_CHARS:,}"):
        plan("a " * 50_000, 200, pronunciation={"a": "b" * 200})


UNITS = [
    "a", "好", "1", "-", ".", "$", "€1", "1.", "1,", "1/", "1-", "a@", "a.", "www.", "http://", "(", "<", "[",
    "_", "*", "\"", "&", "1 ", "M. ", "U.S.", "# ", "- ", "\n", "3 May ", "1:", "e\u0301", "\u0301", "😀", "½",
    "5 km/h ", "$1m ", "p. 1 ", "Louis X", "8:30 p.m. A", "a--", "- - ", "!?", "XX", "~1", "a < ", "<a ",
    "\ud800", "a _a_ ", "[a](/",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
@pytest.mark.parametrize("language", ["en", "de"])
def test_50000_characters_of_anything_are_planned_in_linear_time(unit: str, language: str) -> None:
    text = (unit * 50_000)[:50_000]
    start = time.process_time()
    with contextlib.suppress(EmptyText, InvalidOption):
        plan(text, 386, language=language)
    assert time.process_time() - start < 3  # 0.3 s at most on an idle core; in quadratic time it would be minutes


def test_a_book_and_a_large_dictionary_are_planned_quickly() -> None:
    book = (chapter() * 4)[:100_000]
    entries = {"a" * length + "b" * (number % 7 + 1): "x" for number, length in enumerate(range(1, 50))}
    start = time.process_time()
    assert len(plan(book, 386, pronunciation=entries)) > 250
    assert time.process_time() - start < 3
