"""Money: "$3.50" is "three dollars and fifty cents", "€1.5bn" is "one point five billion euros"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from synthesis.text.english.spoken import NOT_INSIDE, NUMBER, cardinal, is_one, quantity
from synthesis.text.rules import Rule, any_of


@dataclass(frozen=True)
class Currency:
    one: str
    many: str
    cent: str = ""  # of which a hundred are one; empty: it is not divided
    cents: str = ""


def _dollar(whose: str = "") -> Currency:
    return Currency(f"{whose}dollar", f"{whose}dollars", "cent", "cents")


_EURO = Currency("euro", "euros", "cent", "cents")
_POUND = Currency("pound", "pounds", "penny", "pence")
_YEN = Currency("yen", "yen")
_RUPEE = Currency("rupee", "rupees", "paisa", "paise")
_SYMBOLS = {
    "$": _dollar(), "US$": _dollar("US "), "C$": _dollar("Canadian "), "CA$": _dollar("Canadian "),
    "A$": _dollar("Australian "), "AU$": _dollar("Australian "), "NZ$": _dollar("New Zealand "),
    "HK$": _dollar("Hong Kong "), "S$": _dollar("Singapore "), "R$": Currency("real", "reais", "centavo", "centavos"),
    "€": _EURO, "£": _POUND, "¥": _YEN, "￥": _YEN, "₹": _RUPEE, "₩": Currency("won", "won"),
    "₽": Currency("ruble", "rubles", "kopeck", "kopecks"), "₺": Currency("lira", "lira", "kurush", "kurush"),
    "₪": Currency("shekel", "shekels", "agora", "agorot"), "₫": Currency("dong", "dong"),
    "₦": Currency("naira", "naira", "kobo", "kobo"), "₱": Currency("peso", "pesos", "centavo", "centavos"),
    "฿": Currency("baht", "baht", "satang", "satang"), "₴": Currency("hryvnia", "hryvnias", "kopiyka", "kopiykas"),
    "₿": Currency("bitcoin", "bitcoins"), "₡": Currency("colon", "colones"), "₵": Currency("cedi", "cedis"),
}  # fmt: skip
_CODES = {
    "USD": _dollar("US "), "EUR": _EURO, "GBP": _POUND, "JPY": _YEN, "INR": _RUPEE, "CAD": _dollar("Canadian "),
    "AUD": _dollar("Australian "), "NZD": _dollar("New Zealand "), "CHF": Currency("Swiss franc", "Swiss francs"),
    "CNY": Currency("yuan", "yuan"), "RMB": Currency("yuan", "yuan"), "KRW": Currency("won", "won"),
    "SEK": Currency("Swedish krona", "Swedish kronor"), "NOK": Currency("Norwegian krone", "Norwegian kroner"),
    "DKK": Currency("Danish krone", "Danish kroner"), "PLN": Currency("zloty", "zlotys"),
    "BRL": Currency("real", "reais", "centavo", "centavos"), "MXN": Currency("Mexican peso", "Mexican pesos"),
    "RUB": Currency("ruble", "rubles", "kopeck", "kopecks"), "ZAR": Currency("rand", "rand"),
}  # fmt: skip
_CURRENCIES = {**_SYMBOLS, **_CODES}
_SCALES = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "mio": "million",
    "bn": "billion", "b": "billion", "B": "billion", "tn": "trillion", "T": "trillion", "trn": "trillion",
    "hundred": "hundred", "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
_SCALE = rf"(?:\s?(?P<scale>{any_of(_SCALES)})\b)?"
_AMOUNT = rf"\d{{1,9}},\d\d(?!\d|[.,]\d)|{NUMBER}"  # €1,50 as on the continent, too
_DASH = r"\s?[-–—]\s?"
_PER = r"(?P<per>/(?=[a-z]))?"


_CONTINENTAL = re.compile(r",(?=\d\d$)")


def _money(match: re.Match[str]) -> str:
    currency = _CURRENCIES[match["currency"]]
    minus = "minus " if match["minus"] else ""
    per = " per " if match["per"] else ""
    amount, last = _CONTINENTAL.sub(".", match["amount"]), match["last"]
    scale = f" {_SCALES[match['scale']]}" if match["scale"] else ""
    if last or scale:
        amounts = f"{quantity(amount)} to {quantity(last)}" if last else quantity(amount)
        return f"{minus}{amounts}{scale} {currency.many}{per}"
    return f"{minus}{_amount(amount, currency)}{per}"


def _amount(amount: str, currency: Currency) -> str:
    whole, _, cents = amount.partition(".")
    if currency.cent and len(cents) == 2:
        parts = [f"{quantity(whole)} {currency.one if is_one(whole) else currency.many}"] if whole.strip("0") else []
        if int(cents) or not parts:
            parts.append(f"{cardinal(int(cents))} {currency.cent if int(cents) == 1 else currency.cents}")
        return " and ".join(parts)
    return f"{quantity(amount)} {currency.one if is_one(amount) else currency.many}"


def _cents(match: re.Match[str]) -> str:
    return f"{quantity(match.group(1))} {'cent' if is_one(match.group(1)) else 'cents'}"


_BEFORE = rf"(?<![\w.,])(?P<minus>[-−]\s?)?(?P<currency>{any_of(_SYMBOLS)}|\b{any_of(_CODES)}\b)\s?"
RULES = (
    Rule(
        "currency before the amount",
        re.compile(rf"{_BEFORE}(?P<amount>{_AMOUNT})(?:{_DASH}(?P=currency)?(?P<last>{NUMBER}))?{_SCALE}{_PER}"),
        _money,
        digits=True,
    ),
    Rule(
        "currency after the amount",
        re.compile(
            rf"(?:(?<![\w.,)])(?P<minus>[-−]))?{NOT_INSIDE}(?P<amount>{_AMOUNT})(?:{_DASH}(?P<last>{NUMBER}))?{_SCALE}"
            rf"\s?(?P<currency>{any_of(_SYMBOLS)}|{any_of(_CODES)}\b)(?![\w]){_PER}"
        ),
        _money,
        digits=True,
    ),
    Rule("cents", re.compile(rf"{NOT_INSIDE}({NUMBER})\s?¢"), _cents, digits=True),
)
