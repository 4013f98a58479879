"""What is written around words for a screen, not for a voice: Markdown, simple HTML, and SSML, which is refused.

Only marks are taken away; the words between them stay.
"""

from __future__ import annotations

import html
import re

from synthesis.errors import InvalidOption

_SSML_ELEMENTS = "speak|break|prosody|phoneme|say-as|emphasis|voice|lexicon|amazon:[a-z-]+|mstts:[a-z-]+"
_SSML = re.compile(rf"</?\s{{0,3}}({_SSML_ELEMENTS})(?=[\s/>])", re.IGNORECASE)

_HTML_ELEMENTS = "a|b|i|u|s|em|strong|small|mark|span|font|code|sub|sup|q|cite|html|body"
_HTML_BLOCKS = "br|p|div|hr|h[1-6]|ul|ol|li|table|tr|td|th|blockquote|pre"
_TAG_END = r"(?:\s[^<>]{0,300})?/?>"
_HTML_INLINE_TAG = re.compile(rf"</?(?:{_HTML_ELEMENTS}){_TAG_END}", re.IGNORECASE)
_HTML_BLOCK_TAG = re.compile(rf"</?(?:{_HTML_BLOCKS}){_TAG_END}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_LINK = re.compile(r"!?\[([^\[\]\n]{1,300})\]\((?:https?://|/|#|mailto:)[^()\s]{0,2000}\)")
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+([^\n]{0,400})$", re.MULTILINE)
_LIST_ITEM = re.compile(r"^[ \t]{0,12}(?:[-*+•‣▪●·][ \t]+|(?=\d{1,2}[.)][ \t]+\S))", re.MULTILINE)
_QUOTE = re.compile(r"^[ \t]{0,3}>[ \t]?", re.MULTILINE)
_EMPHASIS = re.compile(
    r"(?<![\w*_~`])(?:\*{1,3}|_{1,3}|~~|`{1,3})(?=[^\s*_~`])|(?<=[^\s*_~`])(?:\*{1,3}|_{1,3}|~~|`{1,3})(?![\w*_~`])"
)


def refuse_ssml(text: str) -> None:
    """Raises InvalidOption where text holds an element of SSML: spoken as it is written, it would be nonsense."""
    found = _SSML.search(text)
    if found:
        raise InvalidOption(
            f"text holds the SSML element <{found.group(1)}>; allowed is plain text with pauses like [pause:0.8]; "
            "take the tags out"
        )


def without_markup(text: str) -> str:
    """text without the marks of Markdown and HTML; a heading or list item becomes a paragraph."""
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity.group()), text)
    if "<" in text:
        text = _HTML_INLINE_TAG.sub("", _HTML_BLOCK_TAG.sub("\n\n", text))
    text = _LIST_ITEM.sub("\n\n", _HEADING.sub(r"\n\n\1\n\n", _QUOTE.sub("", _LINK.sub(r"\1", text))))
    return _EMPHASIS.sub("", text)
