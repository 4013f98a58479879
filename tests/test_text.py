"""Splitting and cleaning text: one named test a rule, and nothing lost whatever comes in."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.errors import EmptyText
from synthesis.text import MIN_SEGMENT_CHARS, normalised_text, pause_after_s, plan, split_text

A = "The first sentence is here."
B = "The second one follows it."


def assert_nothing_lost(segments: list[str], text: str) -> None:
    """The segments in order are the text, with nothing but single spaces between them."""
    rest = " ".join(text.split())
    for segment in segments:
        assert rest.startswith(segment), f"{segment!r} is not what comes next in {rest!r}"
        rest = rest[len(segment) :].removeprefix(" ")
    assert rest == ""


def test_what_fits_stays_whole() -> None:
    assert split_text("  Hello.\n How are\tyou? ", 40) == ["Hello. How are you?"]


def test_nothing_gives_no_segments() -> None:
    assert split_text(" \n ", 40) == []


@pytest.mark.parametrize("end", [".", "!", "?", "...", "…", "?!", '."', ".”", "!)", "।", "؟", "۔", "։"])
def test_a_cut_falls_on_a_sentence_end(end: str) -> None:
    first = A.removesuffix(".") + end
    assert split_text(f"{first} {B}", 40) == [first, B]


def test_the_last_sentence_end_that_fits_is_taken() -> None:
    assert split_text(f"{A} {B} {A}", 60) == [f"{A} {B}", A]


@pytest.mark.parametrize("mark", [",", ";", ":", " –", "،", "..."])
def test_a_long_sentence_is_cut_at_clauses(mark: str) -> None:
    text = f"when the evening came at last{mark} we all went down to the harbour"
    assert split_text(text, 45) == [f"when the evening came at last{mark}", "we all went down to the harbour"]


def test_a_long_clause_is_cut_between_words() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    assert split_text(text, 40) == ["one two three four five six seven eight", "nine ten eleven twelve"]


def test_a_giant_word_is_cut_anywhere() -> None:
    assert [len(segment) for segment in split_text("x" * 100, 40)] == [40, 39, 21]


def test_a_word_is_not_cut_inside_a_character() -> None:
    accented = "e\u0301" * 60  # e and a combining acute accent
    assert all(segment.startswith("e") for segment in split_text(accented, 41))
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one emoji of three, joined
    assert all(not segment.startswith("\u200d") for segment in split_text(family * 30, 42))


@pytest.mark.parametrize(
    "phrase",
    [
        "the talk that Dr. Brown gave",
        "the letter to Mrs. Robinson",
        "some fruit, e.g. Spanish oranges",
        "the match Arsenal vs. Chelsea",
        "the book by J. R. R. Tolkien",
        "a part of the U.S. Navy",
        "the story told in No. 7",
        "the price of 3.50 euros",
        "what Prof. Müller said",
        "viele Tiere, z.B. Hunde",
        "am 3. Mai",
        "des fruits, p.ex. Pommes",
        "el señor, p.ej. Pérez",
        "книги, т.е. Книги",
        "the talk by “J. R. Smith”",
    ],
)
def test_an_abbreviation_or_number_does_not_end_a_sentence(phrase: str) -> None:
    text = f"We remember {phrase}, and nobody here would ever have forgotten it."
    assert split_text(text, len(text) - 1)[0] == f"We remember {phrase},"


def test_no_before_a_word_is_an_answer_not_a_number() -> None:
    assert split_text("I asked her and she said no. Fine, we then went home.", 40)[0] == "I asked her and she said no."


def test_a_small_letter_after_a_quoted_end_goes_on() -> None:
    text = "It was late; 'Stop right there!' he said to us and laughed."
    assert split_text(f"{A} {text}", 70)[0] == A  # not after the exclamation mark, though that would fit


def test_chinese_and_japanese_are_cut_without_spaces() -> None:
    first, second = "今天天气很好我们一起去公园散步然后去喝茶吃饭。", "明天可能会下雨所以我们就待在家里看书和听音乐。"
    assert split_text(first + second, 30) == [first, second]
    assert split_text(first.replace("。", "，") + second, 30) == [first.replace("。", "，"), second]


def test_french_marks_stay_with_their_words() -> None:
    first, second = "« Mais non, pas du tout ! »", "dit-il en riant aux éclats."
    assert split_text(f"{first} {second}", 40) == [first, second]
    text = "« Vous avez vu cela hier soir, n’est-ce pas ? »"
    for max_chars in range(42, len(text)):
        assert not any(piece.startswith(("?", "»")) or piece.endswith("«") for piece in split_text(text, max_chars))


def test_a_chinese_ellipsis_is_a_clause_mark() -> None:
    first, second = "我本来是想要一个人去公园里散散步的……", "可是今天外面一直在下雨所以我就没有去成。"
    assert split_text(first + second, 30) == [first, second]


def test_a_closing_bracket_stays_with_its_sentence() -> None:
    first, second = (
        "「今天天气很好我们一起去公园散步然后去喝茶吃饭。」",
        "明天可能会下雨所以我们就待在家里看书和听音乐。",
    )
    assert split_text(first + second, 30) == [first, second]


def test_a_short_sentence_joins_its_neighbour() -> None:
    assert split_text(f"Oh. {A} Yes. {B} No.", 40) == [f"Oh. {A} Yes.", f"{B} No."]


def test_a_short_rest_takes_words_from_before_it() -> None:
    segments = split_text("one two three four five six seven eight nine", 40)
    assert segments == ["one two three four five", "six seven eight nine"]


def test_max_chars_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_chars"):
        split_text("text", 0)


@settings(deadline=None)
@given(st.text(), st.integers(1, 120))
def test_any_text_is_kept_in_segments_that_fit(text: str, max_chars: int) -> None:
    segments = split_text(text, max_chars)
    assert_nothing_lost(segments, text)
    assert all(0 < len(segment) <= max_chars for segment in segments)


prose = st.lists(
    st.one_of(
        st.from_regex(r"[A-Za-zäöß]{1,14}[.,;:!?…]{0,3}[\"')]?", fullmatch=True),
        st.sampled_from(["Dr.", "e.g.", "3.14", "J.", "U.S.", "...", "–", "你好。", "，", "“So", "said.”", "\n\n"]),
    ),
    max_size=120,
).map(" ".join)


@settings(deadline=None)
@given(prose, st.integers(2 * MIN_SEGMENT_CHARS, 300))
def test_prose_is_kept_in_segments_worth_speaking(text: str, max_chars: int) -> None:
    segments = split_text(text, max_chars)
    assert_nothing_lost(segments, text)
    assert all(len(segment) <= max_chars for segment in segments)
    assert len(segments) < 2 or all(len(segment) >= MIN_SEGMENT_CHARS for segment in segments)
    assert not any(segment != segment.strip() for segment in segments)


def test_a_book_is_split_in_linear_time() -> None:
    book = f"{A} {B} " * 20_000  # 1 million characters
    start = time.perf_counter()
    assert_nothing_lost(split_text(book[:50_000], 200), book[:50_000])
    split_text(book, 200)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(("segment", "longer_than_s"), [("Done.", 0.2), ("Done!”", 0.2), ("好。", 0.2), ("well,", 0.1)])
def test_a_pause_follows_punctuation(segment: str, longer_than_s: float) -> None:
    assert pause_after_s(segment) > longer_than_s


def test_no_pause_follows_a_cut_inside_a_clause() -> None:
    assert pause_after_s("and so") == pause_after_s("”") == pause_after_s("") == 0.0


def cleaned(text: str) -> str:
    return normalised_text(text, "xx")  # of no language: nothing is written out


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        pytest.param(
            "a\x00b\x01\x1b[31mc\ufeff\u202e\ue000\udc80 d\te\u00a0f", "ab[31mc d e f", id="control characters"
        ),
        pytest.param("می\u200cخواهم", "می\u200cخواهم", id="joiners stay"),
        pytest.param("e\u0301", "é", id="accents are composed"),
        pytest.param("Hi 😀👨‍👩‍👧 you 🇩🇪👍🏽!", "Hi you !", id="emoji are dropped"),
        pytest.param("Press 1️⃣ or 2️⃣", "Press 1 or 2", id="keycaps are digits"),
        pytest.param("„Hi‟ she didn´t say", '"Hi" she didn\'t say', id="rare quotes"),
        pytest.param("“Hi” ‘you’ «toi»", "“Hi” ‘you’ «toi»", id="common quotes stay"),
        pytest.param("so--well -- yes", "so—well—yes", id="dashes of hyphens"),
        pytest.param("Well..... what?!?!?!", "Well... what?!?", id="runs of marks"),
        pytest.param("a ***** b ====== c * * * d", "a b c d", id="rules of signs"),
        pytest.param("a" + "\u0303" * 100, "ã" + "\u0303" * 12, id="a wall of accents"),
        pytest.param("a" + "☃" * 0 + "§" * 100 + "b", "a" + "§" * 12 + "b", id="a wall of signs"),
        pytest.param("It is **bold**, _thin_ and `code`.", "It is bold, thin and code.", id="Markdown emphasis"),
        pytest.param("2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name", id="no emphasis"),
        pytest.param("See [the docs](https://a.org/b).", "See the docs.", id="Markdown link"),
        pytest.param("A [note] (here)", "A [note] (here)", id="brackets are no link"),
        pytest.param("<p>A <b>big</b> &amp; <i>red</i>&nbsp;car</p>", "A big & red car", id="HTML"),
        pytest.param("a < b > c <foo>", "a < b > c <foo>", id="no HTML"),
    ],
)
def test_what_is_no_text_is_taken_out(written: str, kept: str) -> None:
    assert cleaned(written) == kept


@pytest.mark.parametrize(
    "text", ["", " \n", "...!?", "\x00\x01", "😀 🎉", "—", "\u200b", "<>[]", "* * *", "\n\n---\n\n"]
)
def test_text_without_a_letter_or_digit_is_empty(text: str) -> None:
    with pytest.raises(EmptyText, match="nothing that can be spoken"):
        plan(text, 200)


@pytest.mark.parametrize("text", ["a", "7", "你", "ع", "é", "½", "\x00x\x00"])
def test_a_letter_or_digit_of_any_script_is_text(text: str) -> None:
    assert len(plan(text, 200)) == 1


@settings(deadline=None)
@given(st.text())
def test_cleaned_text_has_every_letter_and_stays_as_it_is(text: str) -> None:
    text = "".join(
        character for character in text if character not in "<>&[]()#*_~`-+•‣▪●·"
    )  # markup is another test's
    composed = unicodedata.normalize(
        "NFC", "".join(c for c in text if unicodedata.category(c) not in ("Cs", "Cn", "Co"))
    )
    try:
        once = cleaned(text)
    except EmptyText:
        assert not any(character.isalnum() for character in text)
        return
    assert [c for c in once if c.isalnum()] == [c for c in composed if c.isalnum()]
    assert cleaned(once) == once
    once.encode()  # no lone surrogates
    assert not any(ord(character) < 32 or ord(character) == 127 for character in once.replace("\n", ""))
