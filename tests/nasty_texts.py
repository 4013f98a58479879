"""2,000 texts that are no prose: what users paste, what attackers send, and scripts from everywhere."""

from __future__ import annotations

import random

NUM_TEXTS = 2_000
_SEED = 6

# "Hello, world" or a few words, a script each.
SCRIPTS = {
    "Latin": "Hello, world.", "Greek": "Γειά σου Κόσμε;", "Cyrillic": "Привет, мир!",
    "Armenian": "Բարեւ աշխարհ։", "Georgian": "გამარჯობა მსოფლიო.", "Hebrew": "שלום עולם.",
    "Arabic": "مرحبا بالعالم؟", "Persian": "می‌خواهم بروم.", "Urdu": "ہیلو دنیا۔", "Syriac": "ܫܠܡܐ ܥܠܡܐ.",
    "Thaana": "ހެލޯ ދުނިޔެ.", "N'Ko": "ߌ ߣߌ ߗߋ߫.", "Devanagari": "नमस्ते दुनिया।", "Bengali": "ওহে বিশ্ব।",
    "Gurmukhi": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ।", "Gujarati": "નમસ્તે દુનિયા.", "Oriya": "ନମସ୍କାର ବିଶ୍ୱ।",
    "Tamil": "வணக்கம் உலகம்.", "Telugu": "హలో ప్రపంచం.", "Kannada": "ಹಲೋ ವರ್ಲ್ಡ್.", "Malayalam": "ഹലോ ലോകം.",
    "Sinhala": "ආයුබෝවන් ලෝකය.", "Thai": "สวัสดีชาวโลก", "Lao": "ສະບາຍດີ ໂລກ", "Tibetan": "བཀྲ་ཤིས་བདེ་ལེགས།",
    "Burmese": "မင်္ဂလာပါ ကမ္ဘာလောက။", "Khmer": "សួស្តី ពិភពលោក។", "Ethiopic": "ሰላም ዓለም።",
    "Cherokee": "ᎣᏏᏲ ᎡᎶᎯ.", "Canadian syllabics": "ᐊᐃ ᓄᓇᕐᔪᐊᖅ.", "Ogham": "᚛ᚑᚌᚐᚋ᚜", "Runic": "ᚺᛖᛚᛚᛟ ᚹᛟᚱᛚᛞ",
    "Mongolian": "ᠰᠠᠶᠢᠨ ᠪᠠᠶᠢᠨ᠎ᠠ᠃", "Han": "你好，世界。", "Hiragana": "こんにちは、せかい。",
    "Katakana": "ハロー・ワールド。", "Hangul": "안녕, 세상아.", "Bopomofo": "ㄋㄧˇ ㄏㄠˇ", "Yi": "ꆈꌠꉙ",
    "Tifinagh": "ⴰⵣⵓⵍ ⴰⵎⴰⴹⴰⵍ", "Javanese": "ꦱꦸꦒꦼꦁ", "Balinese": "ᬒᬁ", "Coptic": "ⲛⲟⲩϥⲣⲓ", "Gothic": "𐌷𐌰𐌹𐌻𐌰",
    "Cuneiform": "𒀭𒂗𒆤", "Hieroglyphs": "𓀀𓂋𓏤", "Deseret": "𐐐𐐯𐑊𐐬", "Adlam": "𞤀𞤁𞤂𞤀𞤃",
}  # fmt: skip

PASTED = (
    "", " ", "\n\n\n", "...!?", "—", "\x00\x01\x02", "\ufeff", "\u200b\u200b", "<>[]{}", "-----", "* * *",
    "___", "===", "😀", "😀 🎉 👨‍👩‍👧‍👦 🇩🇪 👍🏽 1️⃣", "❤️", "#️⃣ *️⃣", "½", "①②③", "Ⅷ", "㎏ ㏒", "ﬁne ﬂow",
    "Ａｂｃ １２３", "x" * 5_000, "é" * 5_000, "e\u0301" * 2_500, "你" * 5_000, "1" * 5_000, "1," * 2_500,
    "a-" * 2_500, "a" + "\u0301" * 5_000, "." * 5_000, "!?" * 2_500, "- " * 2_500, "\u200d" * 5_000,
    "😀" * 5_000, "\n" * 5_000, "a\n\n" * 1_700, "A. " * 1_700, "\ud800", "a\udc80b \udfff",
    "\U0010ffff\ue000\uf8ff", "\ufffe\uffff", "a\u202eb\u202cc", "\u2067שלום\u2069 hi", "\x1b[31mred\x1b[0m",
    "a\x00b\x07c", "tab\tand\vvertical\fform", "line\u2028line\u2029para", "a\r\nb\rc",
    "no\u00a0break\u202fspaces\u3000wide", "<speak>Hello <break time='1s'/></speak>",
    "<prosody rate='slow'>Hi</prosody>", "<say-as interpret-as='date'>2024</say-as>",
    "<b>Bold</b> &amp; <i>italic</i><br/>&nbsp;&lt;b&gt;&#8364;&#0;&#x1F600;&bogus;",
    "<script>alert(1)</script>", "<!-- c --> x", "<foo bar='1'>x</foo>", "a < b > c", "<<<>>>",
    "{{ name }} ${x} %s %(y)d", "[pause:0.8]", "Hi [pause:0.8] there", "Hi [pause:99] there", "Hi [pause:-1]",
    "Hi [pause", "Hi [pause:]", "Hi [pause:1e9] x", "Hi [pause:nan] x", "Hi [pause:1][pause:2] you",
    "Hi [PAUSE:250ms].", "Hi [pause for effect] you", "[pause:1] Hi", "Hi [pause:10][pause:10] x",
    "Hi[pause:.5]. Then", "Hi [pause:0] x", "a [pause:9] " * 90,
    "# Title\n\n- one\n- two\n\n1. first\n2. second\n\n> quote\n\n**bold** _it_ `code` ~~no~~ [link](https://x.org/a_b) ![i](http://y/z.png)",
    "| a | b |\n|---|---|\n| 1 | 2 |", "```python\nprint('hi')\n```", "$$E=mc^2$$", "\\frac{1}{2} \\alpha",
    "C:\\Users\\me\\file.txt", "/usr/bin/env", "SELECT * FROM t WHERE a='1' OR 1=1; --",
    "'; DROP TABLE voices; --", "../../etc/passwd", "%00%0a%20", "\\u0041 \\x41 \\n",
    "https://user:pw@example.com:8080/a/b?c=d&e=f#g", "mailto:a@b.co", "http://", "www.", "@", "#", "a@", "@a",
    "a@b", "1.1.1.1:53", "::1", "1e10 1E-5 0x1F 0b101 1_000", "1,23 1.234,56 1 234 567,89 ١٢٣ १२३",
    "-0 +0 -.5 .5. 5.", "99:99 25:61 1:2:3:4:5", "2024-02-31 31/31/31 00/00/0000",
    "$ $$ $1 1$ $-1 -$1 $1.2.3 $1,2,3 €£¥", "% %% 5%% %5", "1/0 0/1 1/1/1 1//2", "1st 2st 0th 11st 1000000th",
    "V IV MM IIII Louis I Henry IX", "Dr. Mr. Mrs. St. etc. e.g. i.e. U.S. a.m. p.m.", "p.m. a.m. No. no. vs.",
    "''''\"\"\"\"``´´", "“ ” „ ‟ « » ‹ › ‘ ’ ‚ ‛", "— – ‒ ‐ ‑ − ― - --", "Ḧ̸̛́e̷͌̚l̵͊l̶̋o̸͛ ẕ̷̌a̵͑l̶̾g̵̀o̶̐",
    "t̴̨͔̺͑͆̌͑ẹ̴̛̖s̶̱͋t̷̟̔ " * 50, "i\u0307 İ ı ß ẞ ŉ ǰ", "क्ष्म्य " * 100, "กำ" * 500, "ا" * 500,
    "\u0640" * 500, "null", "None", "NaN", "undefined", "true", "0", "-1", "{}", "[]", "\\", "/", "|", "^", "~",
    "`", "_", "&", "&&", "©®™",
)  # fmt: skip

_PIECES = (
    " ", " ", " ", "\n\n", "\n", ". ", ", ", "a", "Dr. ", "St. ", "5", "1,000", "3.14", "$", "€5", "%", " km",
    "1st", "-", "–", "—", "/", ":", "8:30", " p.m.", "May 5", "2024", "www.a.com", "a@b.co", "#", "&", "*", "_",
    "**", "[", "]", "(", ")", "<", ">", "<b>", "&amp;", "\"", "'", "“", "”", "...", "…", "!?", "[pause:0.1]",
    "[pause", "\u200d", "\u200b", "\u0301", "\ufe0f", "😀", "1️⃣", "\x00", "\ud800", "\u202e", "½", "²", "№",
    "XIV", "Louis ", "Chapter ", "你好。", "שלום", "नमस्ते", "x" * 60,
)  # fmt: skip


def nasty_texts() -> list[str]:
    """The same NUM_TEXTS texts at every call: those above, each script in several states, random heaps of pieces."""
    texts = [*PASTED, *SCRIPTS.values()]
    texts += [f"{text} 5% {text}\n\n{text}" for text in SCRIPTS.values()]
    texts += [text * 200 for text in SCRIPTS.values()]
    texts += [f"\u202e{text}\u202c [pause:0.5] {text}" for text in SCRIPTS.values()]
    heaps = random.Random(_SEED)
    while len(texts) < NUM_TEXTS:
        texts.append("".join(heaps.choices(_PIECES, k=heaps.randint(1, 60))))
    return texts
