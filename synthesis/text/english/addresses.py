"""E-mail addresses, URLs and names of files, said letter sign by letter sign: "example dot com slash help"."""

from __future__ import annotations

import re

from synthesis.text.rules import Rule, any_of, listed

_DOMAINS = listed(
    "com org net edu gov mil int info io ai app dev co uk de fr eu ca au nz ie us ch nl se dk fi jp cn br "
    "ru in it es pl tv"
)
# Endings that are no words themselves, so that "end.So" stays a sentence that lacks its space.
_BARE_ENDINGS = listed(
    "com org net edu gov info io ai app dev co.uk org.uk ac.uk eu de fr ch nl js py md txt pdf csv json "
    "xml html css zip exe jpg jpeg png gif mp3 mp4 wav doc docx xls xlsx ppt pptx"
)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})"
_TAIL = r"(?:[/?#][^\s<>\"“”\[\]{}|]{0,2000})?"
_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark", "=": "equals",
    "&": "and", "#": "hash", ":": "colon", "%": "percent", "+": "plus", "~": "tilde",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_LAST_MARKS = ".,;:!?'’)…"


def _say(match: re.Match[str]) -> str:
    written = match.group().rstrip(_LAST_MARKS)
    after = match.group()[len(written) :]
    address = re.sub(r"^[a-z]{2,10}://|^mailto:", "", written, flags=re.IGNORECASE).rstrip("/")
    address = re.sub(r"^www(?=\.)", "w w w", address, flags=re.IGNORECASE)
    return _SIGN.sub(lambda sign: f" {_SIGNS[sign.group()]} ", address).replace("  ", " ").strip() + after


RULES = (
    Rule(
        "e-mail address",
        re.compile(rf"(?<![\w@.+-])(?:mailto:)?[\w.+-]{{1,64}}@(?:{_LABEL}\.){{1,5}}[A-Za-z]{{2,24}}\b"),
        _say,
    ),
    Rule("URL", re.compile(rf"\b(?:https?|ftp)://[^\s<>\"“”\[\]{{}}|/?#]{{1,255}}{_TAIL}", re.IGNORECASE), _say),
    Rule(
        "URL that begins with www", re.compile(rf"(?<![\w@.])www\.(?:{_LABEL}\.){{1,5}}[A-Za-z]{{2,24}}\b{_TAIL}"), _say
    ),
    Rule(
        "domain with a path",
        re.compile(rf"(?<![\w@.-])(?:{_LABEL}\.){{1,5}}{any_of(_DOMAINS)}/[^\s<>\"“”\[\]{{}}|]{{0,2000}}"),
        _say,
    ),
    Rule(
        "domain or file name",
        re.compile(rf"(?<![\w@.-])(?:{_LABEL}\.){{1,5}}{any_of(_BARE_ENDINGS)}\b(?![\w@-])"),
        _say,
    ),
)
