"""Figures that name or count: phone numbers, versions, fractions, ordinals, Roman numerals, ranges, plain numbers."""

from __future__ import annotations

import re
import unicodedata

from synthesis.text.english.spoken import NUMBER, cardinal, digits, number, ordinal, plural
from synthesis.text.rules import Rule, any_of, apart, listed

_MIN_PHONE_DIGITS, _MAX_PHONE_DIGITS = 7, 16

_DENOMINATORS = {2: "half", 4: "quarter"}
_FRACTIONS_OF = frozenset(
    [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 32, 64, 100]
)  # others are scores, dates, page counts
_SAID_AS_WRITTEN = {
    "24/7": "twenty-four seven",
    "9/11": "nine eleven",
    "50/50": "fifty-fifty",
    "20/20": "twenty twenty",
}
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"

_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ROMAN = r"(?=[IVXLC])(C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))(?<=[IVXLC])\b"
_COUNTED = [
    "chapter",
    "part",
    "book",
    "volume",
    "act",
    "scene",
    "section",
    "war",
    "phase",
    "type",
    "appendix",
    "article",
    "figure",
    "table",
    "level",
    "lesson",
    "canto",
]
_COUNTED_FORMS = {form for word in _COUNTED for form in (word, word.title(), word.upper())}
_REGNAL = listed(
    "Louis Henry George Edward Charles James William Richard Philip Philippe Napoleon Elizabeth Catherine "
    "Frederick Francis Pius Paul Benedict Leo Gregory Clement Innocent Alexander Nicholas Peter Ivan "
    "Ramesses Ptolemy Alfonso Otto"
)


def _groups(match: re.Match[str]) -> str:
    """Each group of digits digit by digit, a breath between groups."""
    groups = re.findall(r"\d+", match.group())
    if not _MIN_PHONE_DIGITS <= sum(map(len, groups)) <= _MAX_PHONE_DIGITS:
        return match.group()
    plus = "plus " if match.group()[0] == "+" else ""
    return plus + ", ".join(digits(group) for group in groups)


def _version(match: re.Match[str]) -> str:
    parts = match["parts"].split(".")
    joint = " dot " if len(parts) == 4 else " point "
    return ("version " if match["v"] else "") + joint.join(number(part) for part in parts)


def _fraction_words(numerator: int, denominator: int) -> str:
    name = _DENOMINATORS.get(denominator) or ordinal(denominator)
    if numerator != 1:
        name = "halves" if name == "half" else plural(name)
    return f"{cardinal(numerator)} {name}"


def _slashed(match: re.Match[str]) -> str:
    whole, numerator, denominator = match["whole"], int(match["numerator"]), int(match["denominator"])
    written = f"{match['numerator']}/{match['denominator']}"
    if not whole and written in _SAID_AS_WRITTEN:
        return _SAID_AS_WRITTEN[written]
    before = f"{cardinal(int(whole))} and " if whole else ""
    if 0 < numerator < denominator and denominator in _FRACTIONS_OF:
        spoken = _fraction_words(numerator, denominator)
        return before + (spoken.replace("one ", "a ", 1) if whole and numerator == 1 else spoken)
    whole_words = f"{cardinal(int(whole))} " if whole else ""
    return f"{whole_words}{number(match['numerator'])} slash {number(match['denominator'])}"


def _vulgar(match: re.Match[str]) -> str:
    spoken = unicodedata.name(match["fraction"]).removeprefix("VULGAR FRACTION ").lower()
    if match["whole"]:
        spoken = f"{number(match['whole'])} and {re.sub('^one ', 'a ', spoken)}"
    return apart(match, spoken)


def _ratio(match: re.Match[str]) -> str:
    return f"{number(match.group(1))} to {number(match.group(2))}"


def roman_value(numeral: str) -> int:
    values = [_ROMAN_DIGITS[letter] for letter in numeral]
    return sum(
        -value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True)
    )


def _counted(match: re.Match[str]) -> str:
    return f"{match.group(1)} {cardinal(roman_value(match.group(2)))}"


def _regnal(match: re.Match[str]) -> str:
    value = roman_value(match.group(2))
    return f"{match.group(1)} the {ordinal(value)}" if value > 1 else match.group()


def _ordinal(match: re.Match[str]) -> str:
    return ordinal(int(match.group(1).replace(",", "")))


def _range(match: re.Match[str]) -> str:
    return f"{number(match.group(1))} to {number(match.group(2))}"


CODES = (
    Rule("phone number with a plus", re.compile(r"(?<![\w+])\+\d[\d ().-]{5,24}\d(?!\w)"), _groups, digits=True),
    Rule(
        "phone number",
        re.compile(
            r"(?<![\w(+.,-])(?:1[-. ])?(?:\(\d{3}\)\s?|\d{3}[-. ])\d{3}[-.]\d{4}(?![\w-]|\.\d)"
            r"|(?<![\w(+.,-])\(\d{3,5}\)\s?\d{3,4}[- ]?\d{3,4}(?![\w-])"
            r"|(?<![\w.,-])\d{3}-\d{4}(?![\w-])"
            r"|(?<![\w.,-])0\d{2,4}[ -]\d{3,4}[ -]?\d{3,4}(?![\w-])"
        ),
        _groups,
        digits=True,
    ),
    Rule(
        "code in groups",
        re.compile(
            r"(?<![\w.,-])\d{1,5}(?:-\d{1,7}){2,5}(?![\w-])|(?<![\w.,-])(?<!\d )\d{4}(?: \d{4}){2,3}(?! ?\d)(?!\w)"
        ),
        _groups,
        digits=True,
    ),
    Rule(
        "version or IP address",
        re.compile(r"(?<![\w.])(?P<v>(?:\b[Vv]ersion\s)?v\.?\s?)?(?P<parts>\d{1,5}(?:\.\d{1,5}){2,5})(?!\w|\.\d)"),
        _version,
        digits=True,
    ),
    Rule("version", re.compile(r"(?<![\w.])(?:\b[Vv]ersion\s)?v\.?(?=\d)"), "version ", digits=True),
)

NUMBERS = (
    Rule(
        "vulgar fraction",
        re.compile(rf"(?:(?<![\w.,])(?P<whole>\d{{1,9}})\s?)?(?P<fraction>[{_VULGAR}])"),
        _vulgar,
    ),
    Rule(
        "fraction",
        re.compile(
            r"(?<![\w/.,:])(?:(?P<whole>\d{1,4})[ ])?(?<![/.,:])(?P<numerator>\d{1,4})\s?[/⁄]\s?"
            r"(?P<denominator>\d{1,4})(?![\w/]|[.,]\d)"
        ),
        _slashed,
        digits=True,
    ),
    Rule("ratio", re.compile(r"(?<![\w:.,])(\d{1,9}):(\d{1,9})(?![\w:]|[.,]\d)"), _ratio, digits=True),
    Rule(
        "Roman numeral that counts",
        re.compile(rf"\b({any_of(_COUNTED_FORMS)})\s(?!I\s[a-z]){_ROMAN}(?!\.\w|['’](?!s\b)\w)"),
        _counted,
    ),
    Rule(
        "Roman numeral of a ruler",
        re.compile(rf"\b({any_of(_REGNAL)})\s{_ROMAN}(?!\.\w|['’](?!s\b)\w)(?<!\sI)"),
        _regnal,
    ),
    Rule(
        "ordinal",
        re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3}){1,4}|\d{1,9})(?:st|nd|rd|th|ST|ND|RD|TH)\b"),
        _ordinal,
        digits=True,
    ),
    Rule("hash before a number", re.compile(r"(?<![\w&])#\s?(?=\d)"), "number ", digits=True),
    Rule(
        "range",
        re.compile(rf"(?<![\w.,/-])({NUMBER})(?:\s?[–—]\s?|-)({NUMBER})(?![\w/]|[.,-]\d)"),
        _range,
        digits=True,
    ),
    Rule("times", re.compile(r"(?<=\d)\s?[×*]\s?(?=\d)"), " times ", digits=True),
    Rule("by", re.compile(r"(?<=\d)(?<!\b0)\s?x\s?(?=\d)"), " by ", digits=True),
    Rule(
        "minus between numbers",
        re.compile(r"(?<=\d)\s[-−–]\s(?=\d)|(?<=\d)−(?=\d)"),
        " minus ",
        digits=True,
    ),
    Rule("plus or minus", re.compile(r"\s?±\s?(?=\.?\d)"), " plus or minus ", digits=True),
    Rule("minus sign", re.compile(r"(?<![\w.)\]-])[-−](?=\.?\d)"), "minus ", digits=True),
    Rule("plus sign", re.compile(r"(?<![\w.)\]+])\+(?=\.?\d)"), "plus ", digits=True),
    Rule("about", re.compile(r"(?<![\w~])[~≈]\s?(?=\d)"), "about ", digits=True),
    Rule("less than", re.compile(r"(?<=\w)\s<\s(?=\w)|\s?<\s?(?=\d)"), " less than "),
    Rule("greater than", re.compile(r"(?<=\w)\s>\s(?=\w)|(?<![-=])\s?>\s?(?=\d)"), " greater than "),
    Rule("power", re.compile(r"\^(?=\d)"), " to the power of ", digits=True),
    Rule("number", re.compile(NUMBER), lambda match: apart(match, number(match.group())), digits=True),
    Rule(
        "long run of digits", re.compile(r"\d{1,400}"), lambda match: apart(match, digits(match.group())), digits=True
    ),
    Rule(
        "sign between numbers",
        re.compile(r"(?<=\w)([,:])(?=[a-z]{1,20}(?:[\s,:.-]|$))(?<=[a-z][,:])"),
        lambda match: f"{match.group(1)} ",
    ),
)
