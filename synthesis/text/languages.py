"""How languages other than English write numbers, and the words they say around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """How a language writes numbers, and the words around them."""

    code: str  # ISO 639-1, as num2words knows it
    point: str  # said for the decimal sign
    minus: str
    percent: str | Callable[[int], str]  # after the number; a function of it where the form changes
    to: str = ""  # between the ends of a range
    percent_first: bool = False
    decimal: str = ","  # the decimal sign; the other one, or a space, parts thousands
    year_form: bool = False  # 1984 is read in hundreds
    one: str = ""  # before a currency, where it is not the counted one
    max_digits: int = 12  # of a number that it has a name for
    spaced: bool = True  # words are apart
    currencies: str = ""  # sign, one, many (where that is another word), the next


def _russian(one: str, few: str, many: str) -> Callable[[int], str]:
    def form(number: int) -> str:
        if number % 10 == 1 and number % 100 != 11:
            return one
        return few if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14) else many

    return form


_LANGUAGES = (
    Language("ar", "فاصلة", "ناقص", "بالمئة", "إلى", decimal=".",
             currencies="$ دولار, € يورو, £ جنيه"),
    Language("da", "komma", "minus", "procent", "til", year_form=True,
             currencies="$ dollar dollars, € euro, £ pund, kr krone kroner"),
    Language("de", "Komma", "minus", "Prozent", "bis", year_form=True, one="ein",
             currencies="$ Dollar, € Euro, £ Pfund, ¥ Yen, CHF Franken"),
    Language("es", "coma", "menos", "por ciento", "a",
             currencies="$ dólar dólares, € euro euros, £ libra libras, ¥ yen yenes"),
    Language("fi", "pilkku", "miinus", lambda number: "prosentti" if number == 1 else "prosenttia",
             currencies="$ dollari dollaria, € euro euroa, £ punta puntaa"),
    Language("fr", "virgule", "moins", "pour cent", "à",
             currencies="$ dollar dollars, € euro euros, £ livre livres, ¥ yen yens"),
    Language("he", "נקודה", "מינוס", lambda number: "אחוז" if number == 1 else "אחוזים", "עד", decimal=".",
             currencies="$ דולר דולרים, € אירו, ₪ שקל שקלים"),
    Language("hi", "दशमलव", "माइनस", "प्रतिशत", "से", decimal=".", max_digits=9,
             currencies="₹ रुपया रुपये, $ डॉलर, € यूरो, £ पाउंड"),
    Language("it", "virgola", "meno", "per cento", "a",
             currencies="$ dollaro dollari, € euro, £ sterlina sterline"),
    Language("ja", "点", "マイナス", "パーセント", "から", decimal=".", spaced=False,
             currencies="$ ドル, € ユーロ, £ ポンド, ¥ 円, ￥ 円"),
    Language("ko", "점", "마이너스", "퍼센트", "에서", decimal=".",
             currencies="$ 달러, € 유로, £ 파운드, ₩ 원, ¥ 엔"),
    Language("nl", "komma", "min", "procent", "tot", year_form=True,
             currencies="$ dollar, € euro, £ pond"),
    Language("no", "komma", "minus", "prosent", "til", year_form=True,
             currencies="$ dollar, € euro, £ pund, kr krone kroner"),
    Language("pl", "przecinek", "minus", "procent", "do",
             currencies="€ euro"),
    Language("pt", "vírgula", "menos", "por cento", "a",
             currencies="$ dólar dólares, € euro euros, £ libra libras, R$ real reais"),
    Language("ru", "запятая", "минус", _russian("процент", "процента", "процентов"), "до",
             currencies="€ евро"),
    Language("sv", "komma", "minus", "procent", "till",
             currencies="$ dollar, € euro, £ pund, kr krona kronor"),
    Language("tr", "virgül", "eksi", "yüzde", percent_first=True,
             currencies="$ dolar, € euro, £ sterlin, ₺ lira"),
    Language("zh", "点", "负", "百分之", "到", percent_first=True, decimal=".", spaced=False,
             currencies="¥ 元, ￥ 元, $ 美元, € 欧元, £ 英镑"),
)  # fmt: skip
LANGUAGES = {language.code: language for language in _LANGUAGES}
LANGUAGES["nb"] = LANGUAGES["no"]
