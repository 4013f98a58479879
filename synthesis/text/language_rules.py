"""Numbers, percentages and money written out in the languages other than English that have words for them here.

A number gets the form it is counted with: no gender, no case. Dates and times are read number by number. What a
language has no word for here stays as it is written.
"""

from __future__ import annotations

import re
from functools import lru_cache

from synthesis.text import number_words
from synthesis.text.languages import LANGUAGES, Language
from synthesis.text.rules import Rule, any_of, apart, listed

_MAX_PLAIN_DIGITS = 9  # a longer run without separators is a code
_FIRST_YEAR, _LAST_YEAR = 1100, 1999  # that are read in hundreds

_BEGIN = r"(?<![\w.,])"
_MINUS = r"(?P<sign>(?<![\w.)\]-])[-−])?"
_NO_LAST = r"(?P<last>(?!))?"  # the group is there and never matches


@lru_cache
def rules(code: str) -> tuple[Rule, ...]:
    """The rules of a language by its ISO 639-1 code; none for one that is not known here."""
    language = LANGUAGES.get(code)
    if language is None:
        return ()
    return (*_AmountRules(language).rules(), *_ORDINALS.get(code, ()), *_NumberRules(language).rules())


class _Numbers:
    """How one language writes numbers, and says them."""

    def __init__(self, language: Language) -> None:
        self.language = language
        thousands, point = (r"[.\u00a0\u202f ]", ",") if language.decimal == "," else (",", r"\.")
        before = ",\\d{2,3}" if point != "," else thousands + r"\d{3}"  # 1,00,000 in India
        parted = rf"\d{{1,3}}(?:{before}){{0,4}}{thousands}\d{{3}}(?!\d)"
        self.number = rf"(?:{parted}|\d{{1,40}})(?:{point}\d{{1,20}})?(?!\d)"

    def say(self, written: str) -> str:
        language = self.language
        whole, decimal, fraction = written.partition(language.decimal)
        parted = not whole.isdecimal()
        whole = re.sub(r"\D", "", whole)
        is_code = len(whole) > 1 and int(whole[0]) == 0
        if is_code or len(whole) > (language.max_digits if parted else _MAX_PLAIN_DIGITS):
            words = self.digits(whole)
        elif language.year_form and not parted and not decimal and _FIRST_YEAR <= int(whole) <= _LAST_YEAR:
            words = number_words.year(int(whole), language.code)
        else:
            words = number_words.cardinal(int(whole), language.code)
        return f"{words} {language.point} {self.digits(fraction)}" if decimal else words

    def digits(self, run: str) -> str:
        return number_words.digits(run, self.language.code)

    def compile(self, pattern: str) -> re.Pattern[str]:
        """pattern; where words are not apart, only Latin letters are a word's, because numbers stand amid the text."""
        return re.compile(pattern if self.language.spaced else pattern.replace(r"\w", r"A-Za-z\d"))

    def apart(self, match: re.Match[str], spoken: str) -> str:
        return apart(match, spoken) if self.language.spaced else spoken.replace(" ", "")

    def span(self, first: str, last: str) -> str:
        return f"{self.say(first)} {self.language.to or '-'} {self.say(last)}"


class _AmountRules(_Numbers):
    """Percentages and money."""

    def __init__(self, language: Language) -> None:
        super().__init__(language)
        entries = map(str.split, language.currencies.split(","))
        self._currencies = {sign: (one, (*many, one)[0]) for sign, one, *many in entries}

    def rules(self) -> tuple[Rule, ...]:
        sign = f"(?P<currency>{any_of(self._currencies)})"
        alone = rf"(?P<amount>{self.number}){_NO_LAST}"
        amount = rf"{_MINUS}{_BEGIN}(?P<amount>{self.number})(?:\s?[-–]\s?(?P<last>{self.number}))?"
        found = (
            Rule("money, sign first", self.compile(rf"{_MINUS}(?<![\w]){sign}\s?{alone}"), self._money, digits=True),
            Rule("money", self.compile(rf"{amount}\s?{sign}(?![\w])"), self._money, digits=True),
            Rule("percent", self.compile(rf"{amount}\s?[%٪％]"), self._percent, digits=True),
        )
        if not self.language.percent_first:
            return found
        sign_first = rf"(?P<sign>(?!))?(?<![\w])[%٪]\s?{alone}"
        return (*found, Rule("percent, sign first", self.compile(sign_first), self._percent, digits=True))

    def _amounts(self, match: re.Match[str]) -> str:
        words = self.span(match["amount"], match["last"]) if match["last"] else self.say(match["amount"])
        return f"{self.language.minus} {words}" if match["sign"] else words

    def _percent(self, match: re.Match[str]) -> str:
        word = self.language.percent
        if not isinstance(word, str):
            last = match["last"] or match["amount"]
            word = word(int(last) if last.isdecimal() else 2)
        amounts = self._amounts(match)
        return self.apart(match, f"{word} {amounts}" if self.language.percent_first else f"{amounts} {word}")

    def _money(self, match: re.Match[str]) -> str:
        one, many = self._currencies[match["currency"]]
        if match["amount"] == "1" and not match["last"]:
            return self.apart(match, f"{self.language.one or self._amounts(match)} {one}")
        return self.apart(match, f"{self._amounts(match)} {many}")


class _NumberRules(_Numbers):
    """Ranges, dates and plain numbers."""

    def rules(self) -> tuple[Rule, ...]:
        number = self.number
        dotted = r"(?<![\w.])\d{1,5}(?:\.\d{1,5}){2,5}(?![\w]|\.\d)"
        ranged = rf"{_BEGIN}(?<!-)({number})\s?[-–]\s?({number})(?![\w]|[.,-]\d)"
        return (
            Rule("year", re.compile(r"(?<!\d)\d{4}(?=年)"), self._year, digits=True),
            Rule("numbers apart", re.compile(r"(?<=\d)[:/](?=\d)"), " ", digits=True),
            Rule("date or version", self.compile(dotted), self._parts, digits=True),
            Rule("range", self.compile(ranged), self._range, digits=True),
            Rule(
                "minus sign",
                self.compile(r"(?<![\w.)\]-])[-−](?=\d)"),
                self.language.minus + " " * self.language.spaced,
                digits=True,
            ),
            Rule("number", re.compile(number), self._number, digits=True),
            Rule("long run of digits", re.compile(r"\d{1,400}"), self._run, digits=True),
        )

    def _parts(self, match: re.Match[str]) -> str:
        written = match.group()
        return (
            written if re.fullmatch(self.number, written) else " ".join(str(int(part)) for part in written.split("."))
        )

    def _year(self, match: re.Match[str]) -> str:
        return self._run(match) if self.language.code == "zh" else match.group()

    def _range(self, match: re.Match[str]) -> str:
        return self.apart(match, self.span(match.group(1), match.group(2)))

    def _number(self, match: re.Match[str]) -> str:
        return self.apart(match, self.say(match.group()))

    def _run(self, match: re.Match[str]) -> str:
        return self.apart(match, self.digits(match.group()))


_FRENCH_ORDINALS = {"1er": "premier", "1re": "première", "1ère": "première", "2nd": "second", "2nde": "seconde"}
_GERMAN_MONTHS = listed("Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember")
_GERMAN_ENDINGS = {
    **dict.fromkeys(listed("am vom zum den dem des im beim seit"), "n"),
    **dict.fromkeys(listed("der die das"), ""),
}


def _french_ordinal(match: re.Match[str]) -> str:
    return _FRENCH_ORDINALS.get(match.group()) or number_words.ordinal(int(match.group(1)), "fr")


def _german_day(match: re.Match[str]) -> str:
    before = match["before"] or ""
    ending = _GERMAN_ENDINGS.get(before.strip().lower(), "r")
    return before + number_words.ordinal(int(match["number"]), "de") + ending


def _sign_ordinals(code: str) -> tuple[Rule, ...]:
    """ "1º" and "1ª" of the Romance languages, whose feminine ends in -a."""

    def spoken(match: re.Match[str]) -> str:
        words = number_words.ordinal(int(match.group(1)), code)
        return re.sub(r"o\b", "a", words) if match.group(2) == "ª" else words

    return (Rule("ordinal", re.compile(rf"{_BEGIN}(\d{{1,4}})\.?([ºª])"), spoken, digits=True),)


def _stop_ordinals(code: str) -> tuple[Rule, ...]:
    """ "3." before a small letter, where no sentence can begin."""

    def spoken(match: re.Match[str]) -> str:
        return number_words.ordinal(int(match.group(1)), code)

    return (Rule("ordinal", re.compile(rf"{_BEGIN}(\d{{1,2}})\.(?=\s[^\W\d_A-ZÅÄÖÆØ])"), spoken, digits=True),)


_FRENCH_ORDINAL = rf"{_BEGIN}(\d{{1,4}})(?:er|re|ère|nde?|è?me|e)\b"
_GERMAN_DAY = (
    rf"(?P<before>\b{any_of(_GERMAN_ENDINGS)}\s)?{_BEGIN}(?P<number>\d{{1,2}})\.(?=\s{any_of(_GERMAN_MONTHS)}\b)"
)
_ORDINALS = {
    "de": (Rule("day of a month", re.compile(_GERMAN_DAY, re.IGNORECASE), _german_day, digits=True),),
    "fr": (Rule("ordinal", re.compile(_FRENCH_ORDINAL), _french_ordinal, digits=True),),
    **{code: _sign_ordinals(code) for code in ("es", "it", "pt")},
    **{code: _stop_ordinals(LANGUAGES[code].code) for code in ("da", "fi", "nb", "no")},
}  # fmt: skip
