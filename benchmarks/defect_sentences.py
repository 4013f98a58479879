"""Sentences for the labelled set, made from parts that end in every kind of sound, and some of other languages."""

from __future__ import annotations

import numpy as np

_WHO = (
    "The old captain", "My neighbour", "A tall woman", "Nobody here", "The whole village", "Her younger brother",
    "An honest merchant", "The doctor", "Every child", "Professor Jones", "The night watch", "Our guide",
)  # fmt: skip
_DID = (
    "has often talked about", "walked slowly past", "could hardly believe", "remembers", "painted a picture of",
    "never wanted to leave", "looked for", "was waiting beside", "asked three questions about", "laughed at",
)  # fmt: skip
_WHAT = (
    "the broken gate", "a small ship", "the river bank", "seven silver spoons", "the last train", "her mother's house",
    "a bag of apples", "the north star", "an empty theatre", "that dangerous road", "the church clock", "his red boots",
    "the edge of the map", "all of this", "a cup of tea", "the quiet garden path",
)  # fmt: skip
_HOW = (
    "", "before breakfast", "in the early morning mist", "without a word", "and then went home", "for the third time",
    "as if nothing had happened", "when the rain had stopped", "with a loud voice",
)  # fmt: skip
SHORT = ("Yes, of course.", "Not at all.", "Come in, please.", "Good morning to you.", "Stop right there!", "Why not?")
TWICE = (  # the words themselves say it more than once
    "It was a very, very good year.",
    "No, no, no, that is not what I meant.",
    "She sang la la la la all the way home.",
    "Knock knock, who is there? Knock knock, nobody.",
    "Row, row, row your boat, gently down the stream.",
    "The more we talk, the more we know, and the more we know, the better.",
    "He went far, far away, and never, never came back.",
)
FOREIGN = {
    "de": (
        "Der alte Kapitän hat noch nie ein solches Schiff gesehen.",
        "Am Morgen war der Garten still, und niemand sprach ein Wort.",
        "Wo hast du den Schlüssel hingelegt?",
    ),
    "fr": (
        "Le vieux capitaine n'avait jamais vu un tel navire.",
        "Au matin, le jardin était calme, et personne ne parlait.",
        "Où as-tu mis la clef de la maison?",
    ),
    "es": (
        "El viejo capitán nunca había visto un barco semejante.",
        "Por la mañana el jardín estaba en silencio, y nadie hablaba.",
        "¿Dónde has puesto la llave de la casa?",
    ),
    "it": (
        "Il vecchio capitano non aveva mai visto una nave simile.",
        "La mattina il giardino era silenzioso, e nessuno parlava.",
    ),
    "pl": ("Stary kapitan nigdy nie widział takiego statku.", "Rano w ogrodzie było cicho i nikt nic nie mówił."),
}


def sentence(rng: np.random.Generator) -> str:
    parts = [str(rng.choice(choices)) for choices in (_WHO, _DID, _WHAT, _HOW)]
    return " ".join(part for part in parts if part) + str(rng.choice([".", ".", ".", "!", "?"]))


def repeating(rng: np.random.Generator, times: int) -> tuple[str, str]:
    """A sentence, and what a model that is caught in it would say: three or more of its words times over."""
    words = sentence(rng).split()
    length = int(rng.integers(3, 6))
    start = int(rng.integers(1, max(2, len(words) - length)))
    phrase = words[start : start + length]
    return " ".join(words), " ".join([*words[: start + length], *phrase * (times - 1), *words[start + length :]])
