"""Numbers, percentages and money in the languages other than English."""

from __future__ import annotations

import random
import re

import pytest

from synthesis.text import chinese_numbers, normalised_text, number_words
from synthesis.text.languages import LANGUAGES

# language: {rule: (written, said)}
SAID: dict[str, dict[str, tuple[str, str]]] = {
    "de": {
        "thousands and decimals": ("Es sind 1.203,5", "Es sind eintausendzweihundertdrei Komma fünf"),
        "thousands apart": ("Es sind 2 000", "Es sind zweitausend"),
        "day of a month": ("Am 3. Mai, der 1. April, 2. Juni", "Am dritten Mai, der erste April, zweiter Juni"),
        "end of a sentence": ("Es waren 3. Dann kam er.", "Es waren drei. Dann kam er."),
        "money": ("Das macht 5 €, 1 €, 9,50 €", "Das macht fünf Euro, ein Euro, neun Komma fünf null Euro"),
        "percent": ("Es sind 5 %, 10-20%", "Es sind fünf Prozent, zehn bis zwanzig Prozent"),
        "year": ("Im Jahr 1901 und 2024", "Im Jahr neunzehnhunderteins und zweitausendvierundzwanzig"),
        "time": ("Um 14:30 Uhr", "Um vierzehn dreißig Uhr"),
        "date": ("Am 15.03.2024 war", "Am fünfzehn drei zweitausendvierundzwanzig war"),
        "minus": ("Bei -5 Grad", "Bei minus fünf Grad"),
        "code": ("Nur 007, 1111122222", "Nur null null sieben, eins eins eins eins eins zwei zwei zwei zwei zwei"),
        "letters beside": ("B2B und MP3", "B zwei B und MP drei"),
    },
    "fr": {
        "thousands and decimals": ("Il y a 1 234,5 litres", "Il y a mille deux cent trente-quatre virgule cinq litres"),
        "ordinal": ("Le 1er mai, la 2e, la 3ème", "Le premier mai, la deuxième, la troisième"),
        "money": ("Soit 5 €, 1 € ou $3", "Soit cinq euros, un euro ou trois dollars"),
        "percent": ("Soit 50 %", "Soit cinquante pour cent"),
    },
    "es": {
        "ordinal": ("El 1º y la 3ª", "El primero y la tercera"),
        "money": ("Son 5 € y 50 %", "Son cinco euros y cincuenta por ciento"),
        "range": ("De 10-20 no", "De diez a veinte no"),
    },
    "it": {"number": ("Sono 1.000.000, 10€, 5%", "Sono un milione, dieci euro, cinque per cento")},
    "pt": {"number": ("São R$ 5, 50% e 2º", "São cinco reais, cinquenta por cento e segundo")},
    "ru": {"percent": ("Это 21%, 2%, 5%, -3", "Это двадцать один процент, два процента, пять процентов, минус три")},
    "pl": {"number": ("To 5%, 3,5 i 5 €", "To pięć procent, trzy przecinek pięć i pięć euro")},
    "tr": {"percent": ("Bu %50, 50%, 3,5", "Bu yüzde elli, yüzde elli, üç virgül beş")},
    "nl": {"number": ("Het is €5, 1984, 3,5", "Het is vijf euro, negentien honderd vierentachtig, drie komma vijf")},
    "da": {"number": ("Det er 5 kr, 5%", "Det er fem kroner, fem procent")},
    "sv": {"number": ("Det är 5 kr, 5%", "Det är fem kronor, fem procent")},
    "no": {"number": ("Det er 5 kr, 5%", "Det er fem kroner, fem prosent")},
    "nb": {"number": ("Det er 5 kr, 5%", "Det er fem kroner, fem prosent")},
    "fi": {"number": ("Se on 1%, 5 €, 3. kerros", "Se on yksi prosentti, viisi euroa, kolmas kerros")},
    "he": {"number": ("זה 3.5 ו 5 ₪", "זה שלוש נקודה חמש ו חמש שקלים")},
    "ar": {"number": ("هذا ٥٪ و 5$", "هذا خمسة بالمئة و خمسة دولار")},
    "ja": {"number": ("2024年、50%、¥1,000", "二千二十四年、五十パーセント、千円")},
    "zh": {
        "year": ("在2024年3月", "在二零二四年三月"),
        "money": ("共¥1,000或50.5元", "共一千元或五十点五元"),
        "percent": ("占50%，-3度", "占百分之五十，负三度"),
    },
    "hi": {"number": ("यह 50% या ₹1,25,000 है, ३.५", "यह पचास प्रतिशत या एक लाख पच्चीस हज़ार रुपये है, तीन दशमलव पाँच")},
    "ko": {"number": ("3월, 50%, 5,000₩", "삼 월, 오십 퍼센트, 오천 원")},
}  # fmt: skip
CASES = [pytest.param(code, *case, id=f"{code}-{rule}") for code, cases in SAID.items() for rule, case in cases.items()]
CHATTERBOX_LANGUAGES = {
    "ar", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "it", "ja", "ko", "ms", "nl", "no", "pl", "pt", "ru",
    "sv", "sw", "tr", "zh",
}  # fmt: skip
AS_WRITTEN = ["el", "ms", "sw", "xx"]  # no library at hand speaks their numbers


@pytest.mark.parametrize(("language", "written", "said"), CASES)
def test_it_is_said_as_the_language_does(language: str, written: str, said: str) -> None:
    assert normalised_text(written, language) == said


@pytest.mark.parametrize("language", AS_WRITTEN)
def test_a_language_without_words_for_numbers_is_left_as_written(language: str) -> None:
    text = "Mr. 1,234.5 & 50 % / 5 € (1st) 1984"
    assert normalised_text(text, language) == text


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "零"), (10, "十"), (19, "十九"), (110, "一百一十"), (1_001, "一千零一"), (10_010, "一万零一十"),
        (100_000, "十万"), (100_000_001, "一亿零一"), (100_001_010, "一亿零一千零一十"), (10**12, "一万亿"),
        (1_234_567_890, "十二亿三千四百五十六万七千八百九十"),
    ],
)  # fmt: skip
def test_chinese_numbers(number: int, said: str) -> None:
    assert chinese_numbers.cardinal(number) == said


def test_chinese_numbers_have_a_largest() -> None:
    with pytest.raises(ValueError, match="is not from 0"):
        chinese_numbers.cardinal(10**16)


def test_every_language_of_the_model_is_known_or_left_as_written() -> None:
    assert {"en", *LANGUAGES} - {"nb"} | set(AS_WRITTEN) - {"xx"} == CHATTERBOX_LANGUAGES
    assert set(SAID) == set(LANGUAGES)


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_any_number_is_said_without_digits(language: str) -> None:
    numbers = random.Random(7)
    written = [str(numbers.randrange(10 ** numbers.randint(1, 15))) for _ in range(300)]
    written += [f"{numbers.randrange(10**6)}{sign}{numbers.randrange(10**4)}" for sign in ",.-:/ " for _ in range(50)]
    for number in [*written, "0", "00", "1" * 50, "0,0", "1º", "0º", "0ª", "0er", "0. ok", "1. ok"]:
        said = normalised_text(f"x {number} x", language)
        assert not re.search(r"\d", said), number
        assert said.startswith("x "), number
        assert said.endswith(("x", "k")), number
        assert len(said) > 4, number


def test_the_words_are_the_same_whoever_asks_at_the_same_time() -> None:
    """num2words keeps state on its converters; many threads ask here at once."""
    from concurrent.futures import ThreadPoolExecutor

    asked = [(number, code) for number in range(100_000, 100_200) for code in ("ar", "de", "ru", "fr")]
    alone = [number_words.cardinal.__wrapped__(*each) for each in asked]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda each: number_words.cardinal.__wrapped__(*each), asked)) == alone
