"""English written out in words: every rule by name, with what it must not touch."""

from __future__ import annotations

import pytest

from synthesis.text import normalised_text
from synthesis.text.english import RULES

# rule: (written, said)
SAID: dict[str, list[tuple[str, str]]] = {
    "e-mail address": [
        ("Write to jane.doe@example.co.uk today.", "Write to jane dot doe at example dot co dot uk today."),
        ("Is it a_b-c@x.org?", "Is it a underscore b dash c at x dot org?"),
    ],
    "URL": [
        ("See https://example.com/a-b?q=1.", "See example dot com slash a dash b question mark q equals one."),
        ("(http://localhost:8080/)", "(localhost colon eight thousand and eighty)"),
    ],
    "URL that begins with www": [("Go to www.example.com, now.", "Go to w w w dot example dot com, now.")],
    "domain with a path": [("On github.com/me/it you see", "On github dot com slash me slash it you see")],
    "domain or file name": [
        ("Read example.com or report.pdf.", "Read example dot com or report dot pdf."),
        ("I like Node.js a lot.", "I like Node dot js a lot."),
        ("That is the end.So we left.", "That is the end.So we left."),
    ],
    "weekday, short": [("On Mon., Jan. 3 it", "On Monday, January third it"), ("We sat. He sat.", "We sat. He sat.")],
    "ISO date": [
        ("By 2024-03-15 we", "By March fifteenth, twenty twenty-four we"),
        ("At 2024-03-15T10:30:00Z it", "At March fifteenth, twenty twenty-four ten thirty U T C it"),
        ("Part 2024-13-45 is", "Part two zero two four, one three, four five is"),
    ],
    "date in numbers": [
        ("On 03/15/2024 we", "On March fifteenth, twenty twenty-four we"),
        ("On 15/03/2024 we", "On March fifteenth, twenty twenty-four we"),
        ("On 04/05/2024 we", "On April fifth, twenty twenty-four we"),
        ("On 5.4.2024 we", "On April fifth, twenty twenty-four we"),
        ("On 7/4/76 we", "On July fourth, nineteen seventy-six we"),
    ],
    "day, then month": [
        ("On 1st May we", "On the first of May we"),
        ("On 15 March 2024 we", "On the fifteenth of March twenty twenty-four we"),
        ("On the 3rd of June, 1905, we", "On the third of June, nineteen oh five, we"),
        ("From 3-5 May we", "From the third to fifth of May we"),
        ("All 45 May come", "All forty-five May come"),
    ],
    "month, then day": [
        ("On March 15, 2024, we", "On March fifteenth, twenty twenty-four, we"),
        ("On Sept. 11 we", "On September eleventh we"),
        ("On July 4th-6th we", "On July fourth to sixth we"),
        ("In May 2,000 came", "In May two thousand came"),
    ],
    "month and year": [("In Dec. 1999 we", "In December nineteen ninety-nine we")],
    "decade": [("In the 1990s and 2000s we", "In the nineteen nineties and two thousands we")],
    "short decade": [("In the '90s and 80s we", "In the nineties and eighties we")],
    "year without its century": [("In the summer of '69 we", "In the summer of sixty-nine we")],
    "from one time to another": [
        ("Open 9am-5pm daily", "Open nine A M to five P M daily"),
        ("Open 10:30–11:15 daily", "Open ten thirty to eleven fifteen daily"),
    ],
    "time of day": [
        ("At 17:00h and 8:30h", "At seventeen hundred hours and eight thirty hours"),
        ("Left at 8:35 P. M., on", "Left at eight thirty-five P M, on"),
        ("Left at 6:05 p.m. He slept.", "Left at six oh five P M. He slept."),
        ("At 6:46, 12:00 and 14:00 we", "At six forty-six, twelve o'clock and fourteen hundred we"),
        ("In 1:02:03 he", "In one oh two and three seconds he"),
        ("A score of 45:80 is", "A score of forty-five to eighty is"),
    ],
    "full hour": [("At 8 a.m. we", "At eight A M we"), ("I ate 8 amazing pies", "I ate eight amazing pies")],
    "title": [
        ("Mr. & Mrs. Hill", "Mister and Missus Hill"),
        ("Dr. Brown met Mrs. Hill and Prof. Li.", "Doctor Brown met Missus Hill and Professor Li."),
        ("On St. George's Day", "On Saint George's Day"),
    ],
    "title without a full stop": [("Mr Brown", "Mister Brown")],
    "after a name": [
        ("At 10 Main St. we", "At ten Main Street we"),
        ("He works for Acme Inc. She does not.", "He works for Acme Incorporated. She does not."),
        ("Martin Luther King, Jr. spoke", "Martin Luther King, Junior spoke"),
        ("I saw the Dr. about it", "I saw the Dr. about it"),
    ],
    "before a number": [
        ("See No. 5, p. 12 and Vol. 2.", "See Number five, page twelve and Volume two."),
        ("He said no. 5 came.", "He said number five came."),
        ("He said no. Five came.", "He said no. Five came."),
    ],
    "phrase": [
        ("fruit, e.g. figs, i.e. food", "fruit, for example figs, that is food"),
        ("Arsenal vs. Chelsea", "Arsenal versus Chelsea"),
        ("E.g. this", "For example this"),
    ],
    "phrase that may end a sentence": [
        ("apples, etc. and pears", "apples, et cetera and pears"),
        ("apples, etc. We ate.", "apples, et cetera. We ate."),
    ],
    "phrase without a full stop": [("tea w/ milk vs tea", "tea with milk versus tea")],
    "degree": [("She has a Ph.D. in law.", "She has a P H D in law.")],
    "letters with full stops": [
        ("The U.S. Navy and the U.S.A.", "The U S Navy and the U S A."),
        ("He left the U.S. Then he wrote.", "He left the U S. Then he wrote."),
        ("by J. R. R. Tolkien", "by J. R. R. Tolkien"),
    ],
    "phone number with a plus": [
        ("Call +44 20 7946 0958!", "Call plus four four, two zero, seven nine four six, zero nine five eight!")
    ],
    "phone number": [
        ("Call 555-1234.", "Call five five five, one two three four."),
        ("Call (555) 123-4567.", "Call five five five, one two three, four five six seven."),
    ],
    "code in groups": [
        ("Call 1-800-555-0199.", "Call one, eight zero zero, five five five, zero one nine nine."),
        (
            "Card 1234 5678 9012 3456",
            "Card one two three four, five six seven eight, nine zero one two, three four five six",
        ),
    ],
    "version or IP address": [
        ("In version v1.2.3 it", "In version one point two point three it"),
        ("Version 1.2.10 is out", "Version one point two point ten is out"),
        ("Ping 10.0.0.1 now", "Ping ten dot zero dot zero dot one now"),
    ],
    "version": [("Take v2.0 now", "Take version two point zero now"), ("A V8 engine", "A V eight engine")],
    "currency before the amount": [
        ("It cost €1,50.", "It cost one euro and fifty cents."),
        ("It cost $3.50.", "It cost three dollars and fifty cents."),
        ("It cost $1 or £1.01.", "It cost one dollar or one pound and one penny."),
        ("It cost $0.99.", "It cost ninety-nine cents."),
        ("It cost $1,234.00!", "It cost one thousand two hundred and thirty-four dollars!"),
        (
            "It cost €1.5bn, $2M or $5 million.",
            "It cost one point five billion euros, two million dollars or five million dollars.",
        ),
        ("It cost $5-10.", "It cost five to ten dollars."),
        ("It lost -$5.", "It lost minus five dollars."),
        ("It costs $5/month.", "It costs five dollars per month."),
        ("US$20 and ¥500", "Twenty US dollars and five hundred yen"),
    ],
    "currency after the amount": [
        ("It cost 5 € or 20 USD.", "It cost five euros or twenty US dollars."),
        ("It cost 99.50 EUR.", "It cost ninety-nine euros and fifty cents."),
    ],
    "cents": [("Just 99¢.", "Just ninety-nine cents.")],
    "feet and inches": [("He is 6'2\" tall", "He is six foot two tall")],
    "inches": [('It is 10" long', "It is ten inches long"), ('He said "I am 10" then', 'He said "I am ten" then')],
    "percent": [
        ("It is 50%, 3.5 % or 5–10%.", "It is fifty percent, three point five percent or five to ten percent."),
        ("It fell -3%.", "It fell minus three percent."),
    ],
    "measure": [
        ("Add 2 tbsp. of salt", "Add two tablespoons of salt"),
        ("The B-52s at 5 m/s²", "The B-fifty-two s at five meters per second squared"),
        ("It is 5 km, 1 km or 2.5kg.", "It is five kilometers, one kilometer or two point five kilograms."),
        ("At -5 °C and 100 km/h", "At minus five degrees Celsius and one hundred kilometers per hour"),
        ("A 12 m² room, 5 ft wide", "A twelve square meters room, five feet wide"),
        ("Use 16GB and 3.5 GHz", "Use sixteen gigabytes and three point five gigahertz"),
        ("It has 5 in total", "It has five in total"),
        ("I have 4 Macs", "I have four Macs"),
    ],
    "vulgar fraction": [
        ("Add ½ cup, 1½ eggs and ¾ tin", "Add one half cup, one and a half eggs and three quarters tin")
    ],
    "fraction": [
        ("Add 1/2, 3/4 and 2 1/3", "Add one half, three quarters and two and a third"),
        ("Open 24/7 and 3/15", "Open twenty-four seven and three slash fifteen"),
    ],
    "ratio": [("In 16:9 and 3:1", "In sixteen to nine and three to one")],
    "Roman numeral that counts": [
        ("CHAPTER IV of World War II", "CHAPTER four of World War two"),
        ("The chapter I wrote", "The chapter I wrote"),
    ],
    "Roman numeral of a ruler": [
        ("Louis XIV and Henry VIII's wife", "Louis the fourteenth and Henry the eighth's wife")
    ],
    "ordinal": [("The 1st, 22nd and 1,000th", "The first, twenty-second and one thousandth")],
    "hash before a number": [("We are #1!", "We are number one!")],
    "range": [
        ("Pages 10-20 of 1990–1995", "Pages ten to twenty of nineteen ninety to nineteen ninety-five"),
        ("A 3-1 win", "A three to one win"),
    ],
    "times": [("It is 3 × 4 and 3*4", "It is three times four and three times four")],
    "by": [
        ("The byte 0x1F", "The byte zero x one F"),
        ("A 3 x 4 frame, 1080x720", "A three by four frame, ten eighty by seven hundred and twenty"),
    ],
    "minus between numbers": [("So 5 - 3 = 2", "So five minus three equals two")],
    "plus or minus": [("It is 20 ±5", "It is twenty plus or minus five")],
    "minus sign": [("It is -5 now (-7)", "It is minus five now (minus seven)"), ("COVID-19", "COVID-nineteen")],
    "plus sign": [("It is +5 now", "It is plus five now")],
    "about": [("It is ~5 now", "It is about five now")],
    "less than": [("if a < b and x <5", "if a less than b and x less than five")],
    "greater than": [("if a > b and x >5", "if a greater than b and x greater than five")],
    "power": [("So x^2 is", "So x to the power of two is")],
    "number": [
        ("In 1066 and 1000", "In ten sixty-six and one thousand"),
        ("We are 13,000 or 1,00,000.", "We are thirteen thousand or one hundred thousand."),
        ("Pi is 3.14159, or .5", "Pi is three point one four one five nine, or point five"),
        ("In 1984 and 2005, 2024", "In nineteen eighty-four and two thousand and five, twenty twenty-four"),
        ("Agent 007 has 1000000", "Agent zero zero seven has one million"),
        ("Order 1234567890", "Order one two three four five six seven eight nine zero"),
        ("H2O, B2B, MP3, 4K", "H two O, B two B, MP three, four K"),
        ("a 19-year-old", "a nineteen-year-old"),
        ("5 came. 6 left. Wait... 7 stayed.", "Five came. Six left. Wait... seven stayed."),
        ("٣ and ४", "Three and four"),
    ],
    "long run of digits": [("9" * 41, "Nine " + " ".join(["nine"] * 40))],
    "sign between numbers": [("1,2,3 and 1:2:3", "One, two, three and one: two: three")],
    "C sharp": [("I know C# well", "I know C sharp well")],
    "hashtag": [("Use #style", "Use hashtag style")],
    "arrow": [("from A -> B", "from A to B")],
    "sign that is a word": [
        ("AT&T and R&D", "AT and T and R and D"),
        ("a + b = c", "a plus b equals c"),
        ("© me, §5", "copyright me, section five"),
    ],
    "sign between words": [("a|b, snake_case", "a b, snake case")],
    "silent sign": [("Lego™ and Coke®", "Lego and Coke")],
    "space that a sign left before a mark": [("I know C++, too", "I know C plus plus, too")],
}
CASES = [pytest.param(*case, id=f"{rule}-{n}") for rule, cases in SAID.items() for n, case in enumerate(cases, 1)]


@pytest.mark.parametrize(("written", "said"), CASES)
def test_it_is_said_as_english_does(written: str, said: str) -> None:
    assert normalised_text(written) == said


def test_every_rule_has_a_test_and_does_what_it_is_named_for() -> None:
    assert [rule.name for rule in RULES] == list(SAID)
    for rule in RULES:
        assert any(rule.pattern.search(written) for written, _ in _as_the_rule_sees_them(rule.name)), rule.name


def _as_the_rule_sees_them(name: str) -> list[tuple[str, str]]:
    """The rule's cases after the rules before it."""
    seen = SAID[name]
    for rule in RULES:
        if rule.name == name:
            return seen
        seen = [(rule.pattern.sub(rule.spoken, written), said) for written, said in seen]
    raise AssertionError(name)


@pytest.mark.parametrize("language", ["en", "en-GB", "EN-us"])
def test_a_region_is_the_same_english(language: str) -> None:
    assert normalised_text("5 came.", language) == "Five came."
