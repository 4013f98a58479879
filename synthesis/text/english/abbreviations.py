"""Abbreviations: "Dr. Brown" is "Doctor Brown", "e.g." is "for example", "U.S." is "U S"."""

from __future__ import annotations

import re

from synthesis.text.english.spoken import CAPITAL
from synthesis.text.rules import Rule, any_of

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Dr": "Doctor", "Prof": "Professor", "Gen": "General", "Col": "Colonel",
    "Capt": "Captain", "Cpt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Maj": "Major", "Cmdr": "Commander",
    "Rev": "Reverend", "Hon": "Honorable", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative",
    "Pres": "President", "Fr": "Father", "St": "Saint", "Mt": "Mount", "Ft": "Fort",
}  # fmt: skip
_WITHOUT_STOP = {name: _TITLES[name] for name in ("Mr", "Mrs", "Dr", "Prof")}
_PLACES = {
    "St": "Street",
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
    "Dr": "Drive",
    "Ln": "Lane",
    "Sq": "Square",
}
_AFTER_NAMES = {
    "Jr": "Junior", "Sr": "Senior", "Inc": "Incorporated", "Ltd": "Limited", "Corp": "Corporation", "Co": "Company",
    "Bros": "Brothers",
}  # fmt: skip
_BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "nr": "number", "vol": "volume", "vols": "volumes", "fig": "figure",
    "figs": "figures", "p": "page", "pp": "pages", "ch": "chapter", "chap": "chapter", "sec": "section",
    "art": "article", "ext": "extension", "ed": "edition", "ver": "version", "para": "paragraph", "apt": "apartment",
    "eq": "equation", "ca": "circa",
}  # fmt: skip
_PHRASES = {
    "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "cf.": "compare", "approx.": "approximately",
    "viz.": "namely", "a.k.a.": "also known as", "w/o": "without", "dept.": "department", "govt.": "government",
    "misc.": "miscellaneous", "incl.": "including", "excl.": "excluding",
}  # fmt: skip
_PHRASES_THAT_END = {"etc.": "et cetera", "et al.": "and others"}
_PLAIN_PHRASES = {"vs": "versus", "etc": "et cetera", "w/": "with"}


def _like(written: str, spoken: str) -> str:
    return spoken[0].upper() + spoken[1:] if written[0].isupper() else spoken


def ends_sentence(match: re.Match[str]) -> bool:
    """Whether a full stop at the end of the match is the sentence's too: the text ends, or goes on with a capital."""
    after = match.string[match.end() : match.end() + 4]
    begins = after.lstrip(" \n\"”’'“‘()")[:1]
    return not begins or (after[:1] in ' \n"”’)' and begins.isupper())


def _title(match: re.Match[str]) -> str:
    return _TITLES[match.group(1)]


def _phrase(match: re.Match[str]) -> str:
    return _like(match.group(), _PHRASES[match.group().lower()])


def _phrase_that_ends(match: re.Match[str]) -> str:
    return _like(match.group(), _PHRASES_THAT_END[match.group().lower()]) + ("." if ends_sentence(match) else "")


def _after_name(match: re.Match[str]) -> str:
    spoken = {**_PLACES, **_AFTER_NAMES}[match["short"]]
    return match["name"] + spoken + ("." if ends_sentence(match) else "")


def _letters(match: re.Match[str]) -> str:
    letters = " ".join(letter.upper() if len(letter) == 1 else letter for letter in match.group().strip(".").split("."))
    return letters + ("." if match.group().endswith(".") and _ends_whole(match) else "")


def _ends_whole(match: re.Match[str]) -> bool:
    """As `ends_sentence`, but names follow letters too ("U.S. Navy"): a word that begins sentences has to follow."""
    after = match.string[match.end() : match.end() + 24]
    return not after.strip(" \"”’')") or bool(_SENTENCE_STARTER.match(after))


_SENTENCE_STARTER = re.compile(
    r"[\"”’)]{0,2}\s[\"“‘(]?(?:The|This|That|These|Those|He|She|It|They|We|You|I|A|An|In|On|At|And|But|So|If|When|Then|There|"
    r"However|What|Who|Why|How|Now|His|Her|Its|Their|Our|My|Your|After|Before|As|For|No|Yes|Not|Some|Many|All|With)\b"
)
_NAME = rf"(?<!\w)(?:{CAPITAL}[\w'’-]{{0,40}}|\d{{1,5}}(?:st|nd|rd|th))"
RULES = (
    Rule("title", re.compile(rf"\b({any_of(_TITLES)})\.(?=\s(?:{CAPITAL}|(?:&|and)\s))(?<!\w\.\w\.)"), _title),
    Rule("title without a full stop", re.compile(rf"\b({any_of(_WITHOUT_STOP)})(?=\s{CAPITAL})"), _title),
    Rule(
        "after a name",
        re.compile(rf"(?P<name>{_NAME},?\s)(?P<short>{any_of({**_PLACES, **_AFTER_NAMES})})\.(?!\w)"),
        _after_name,
    ),
    Rule(
        "before a number",
        re.compile(rf"\b({any_of(_BEFORE_NUMBERS)})\.\s?(?=\d)", re.IGNORECASE),
        lambda match: _like(match.group(), _BEFORE_NUMBERS[match.group(1).lower()]) + " ",
        digits=True,
    ),
    Rule("phrase", re.compile(rf"(?<![\w.])({any_of(_PHRASES)})(?!\w)", re.IGNORECASE), _phrase),
    Rule(
        "phrase that may end a sentence",
        re.compile(rf"\b({any_of(_PHRASES_THAT_END)})(?!\w)", re.IGNORECASE),
        _phrase_that_ends,
    ),
    Rule(
        "phrase without a full stop",
        re.compile(rf"(?<![\w./])({any_of(_PLAIN_PHRASES)})(?:(?<=/)(?=\s?\w)|(?<!/)(?![\w./]))"),
        lambda match: _PLAIN_PHRASES[match.group(1)],
    ),
    Rule(
        "degree",
        re.compile(r"\bPh\.?D\b\.?"),
        lambda match: "P H D" + ("." if match.group()[-1] == "." and ends_sentence(match) else ""),
    ),
    Rule(
        "letters with full stops",
        re.compile(r"(?<![\w.])(?:[A-Z]\.){2,8}(?!\w)|(?<![\w.])(?:[A-Z]\.){1,8}[A-Z](?![\w.])"),
        _letters,
    ),
)
