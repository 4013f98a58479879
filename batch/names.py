"""Names of output files: what may be one, and which two would be the same file on some disk."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_BYTES = 200  # file systems take 255; temporary names and suffixes need room
_FORBIDDEN = re.compile(r'[/\\<>:"|?*\x00-\x1f\x7f]')  # a path, or what Windows refuses in a name
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names Windows keeps for itself


def fault_of(name: str) -> str | None:
    """Why `name` cannot be the name of a file in the output folder; None where it can."""
    rule = "one name without a path, not beginning with a dot, is allowed; rename it"
    if not name or name != name.strip() or name.endswith("."):
        return f"{name!r} is empty, or begins or ends with a space or ends with a dot; {rule}"
    if name.startswith("."):
        return f"{name!r} begins with a dot; {rule}"
    if _FORBIDDEN.search(name) or _DEVICES.fullmatch(name):
        return f"{name!r} holds a character, or is a word, that not every file system takes; {rule}"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold
        return f"{name!r} is not text; {rule}"
    if size > MAX_NAME_BYTES:
        return f"a name of {size} bytes; {MAX_NAME_BYTES} are allowed; shorten it"
    return None


def same_file_key(name: str) -> str:
    """Equal for two names that some disk takes for one: composed or decomposed, upper or lower case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
