"""Amounts with a unit: percentages, temperatures, measures; "5 km/h" is "five kilometers per hour"."""

from __future__ import annotations

import re

from synthesis.text.english.spoken import NOT_INSIDE, NUMBER, cardinal, is_one, quantity
from synthesis.text.rules import Rule, any_of

_PREFIXES = {"k": "kilo", "m": "milli", "c": "centi", "µ": "micro", "μ": "micro", "n": "nano"}
_PREFIXED = {"m": "meter", "g": "gram"}
_UNITS: dict[str, tuple[str, str]] = {
    **{
        prefix + unit: (f"{name}{word}", f"{name}{word}s")
        for prefix, name in _PREFIXES.items()
        for unit, word in _PREFIXED.items()
    },
    **{
        symbol: (word, f"{word}s")
        for symbol, word in {
            "m": "meter", "g": "gram", "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter",
            "cl": "centiliter", "dl": "deciliter", "mi": "mile", "yd": "yard", "tsp": "teaspoon", "tsp.": "teaspoon",
            "tbsp": "tablespoon", "tbsp.": "tablespoon", "oz": "ounce", "lb": "pound",
            "lbs": "pound", "gal": "gallon", "s": "second", "sec": "second", "secs": "second", "ms": "millisecond",
            "µs": "microsecond", "ns": "nanosecond", "min": "minute", "mins": "minute", "h": "hour", "hr": "hour",
            "hrs": "hour", "yr": "year", "yrs": "year", "W": "watt", "kW": "kilowatt", "MW": "megawatt",
            "GW": "gigawatt", "V": "volt", "kV": "kilovolt", "mA": "milliampere", "mAh": "milliampere hour",
            "Wh": "watt hour", "kWh": "kilowatt hour", "MWh": "megawatt hour", "kJ": "kilojoule",
            "cal": "calorie", "kcal": "kilocalorie", "Pa": "pascal", "hPa": "hectopascal",
            "kPa": "kilopascal", "dB": "decibel", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte",
            "GB": "gigabyte", "TB": "terabyte", "PB": "petabyte", "kbit": "kilobit", "Mbit": "megabit",
            "Gbit": "gigabit", "ha": "hectare", "px": "pixel", "°": "degree", "nmi": "nautical mile",
        }.items()
    },
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "ft": ("foot", "feet"), "°C": ("degree Celsius", "degrees Celsius"),
    "℃": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "℉": ("degree Fahrenheit", "degrees Fahrenheit"), "° C": ("degree Celsius", "degrees Celsius"),
    "° F": ("degree Fahrenheit", "degrees Fahrenheit"), "mph": ("mile per hour", "miles per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"), "kmh": ("kilometer per hour", "kilometers per hour"),
    "rpm": ("revolution per minute", "revolutions per minute"), "bpm": ("beat per minute", "beats per minute"),
    "fps": ("frame per second", "frames per second"), "Mbps": ("megabit per second", "megabits per second"),
    "kbps": ("kilobit per second", "kilobits per second"), "Gbps": ("gigabit per second", "gigabits per second"),
    "psi": ("pound per square inch", "pounds per square inch"),
}  # fmt: skip
_SQUARED = {"²": "square", "³": "cubic", "^2": "square", "^3": "cubic"}
_LENGTHS = ("m", "km", "cm", "mm", "ft", "mi", "yd", "in")
_UNITS |= {
    unit + sign: (
        f"{word} {_UNITS.get(unit, ('inch', 'inches'))[0]}",
        f"{word} {_UNITS.get(unit, ('inch', 'inches'))[1]}",
    )
    for unit in _LENGTHS
    for sign, word in _SQUARED.items()
}
_PER = {
    "h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "d": "day", "day": "day",
    "week": "week", "month": "month", "year": "year", "kg": "kilogram", "l": "liter", "L": "liter", "dl": "deciliter",
    "dL": "deciliter", "ml": "milliliter", "gal": "gallon", "m": "meter", "m²": "square meter", "m³": "cubic meter",
    "km": "kilometer",
}  # fmt: skip
_SIGN = r"(?P<sign>(?<![\w.)\]])[-−+])?"
_RANGE = rf"{NOT_INSIDE}(?<![A-Za-z]-)(?P<amount>{NUMBER})(?:\s?[-–—]\s?(?P<last>{NUMBER}))?"


def _amounts(match: re.Match[str]) -> str:
    sign = {None: "", "+": "plus "}.get(match["sign"], "minus ")
    return sign + quantity(match["amount"]) + (f" to {quantity(match['last'])}" if match["last"] else "")


def _percent(match: re.Match[str]) -> str:
    word = {"%": "percent", "‰": "per mille"}[match["unit"]]
    return f"{_amounts(match)} {word}" + (" " if match.string[match.end() : match.end() + 1].isalnum() else "")


def _measure(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    unit = one if is_one(match["amount"]) and not match["last"] else many
    per = f" per {_PER[match['per']]}" if match["per"] else ""
    power = {"²": " squared", "³": " cubed"}.get(match["squared"] or "", "")
    return f"{_amounts(match)} {unit}{per}{power}"


def _feet(match: re.Match[str]) -> str:
    feet, inches = int(match.group(1)), int(match.group(2))
    return f"{cardinal(feet)} foot {cardinal(inches)}"


# A number before a closing quote is more often just that, so a word of size has to follow.
_INCHES_AHEAD = (
    r"\s(?:long|wide|tall|high|deep|thick|across|diagonal|x|×|by|screen|display|monitor|pipe|wheels?|tv|TV)\b"
)


def _inches(match: re.Match[str]) -> str:
    return f"{quantity(match['amount'])} {'inch' if is_one(match['amount']) else 'inches'}"


RULES = (
    Rule("feet and inches", re.compile(r"(?<![\w.,])(\d)['’]\s?(\d{1,2})(?:[\"”]|'')(?!\w)"), _feet, digits=True),
    Rule("inches", re.compile(rf"{NOT_INSIDE}(?P<amount>{NUMBER})[\"”](?={_INCHES_AHEAD})"), _inches, digits=True),
    Rule("percent", re.compile(rf"{_SIGN}{_RANGE}\s?(?P<unit>[%‰])"), _percent, digits=True),
    Rule(
        "measure",
        re.compile(
            rf"{_SIGN}{_RANGE}[ -]?(?P<unit>{any_of(_UNITS)})(?:/(?P<per>{any_of(_PER)})(?P<squared>[²³])?)?"
            r"(?![\w²³^/°]|['’]\w)"
        ),
        _measure,
        digits=True,
    ),
)
