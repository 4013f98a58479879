"""English written out in words. `RULES` run in this order: what holds a longer pattern together goes first."""

from synthesis.text.english import abbreviations, addresses, amounts, dates, figures, money, symbols, times

RULES = (
    *addresses.RULES,
    *dates.RULES,
    *times.RULES,
    *abbreviations.RULES,
    *figures.CODES,
    *money.RULES,
    *amounts.RULES,
    *figures.NUMBERS,
    *symbols.RULES,
)
