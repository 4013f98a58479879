"""The page's pictures in docs/, taken of a real server in a real browser: `python tests/page_screenshots.py`."""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from chromium import chromium  # noqa: E402
from http_server import serving  # noqa: E402

from generate_voice_embedding import create_voice_embedding  # noqa: E402
from synthesis import SAMPLE_RATE_HZ, SynthesisOptions  # noqa: E402
from synthesis.espeak import EspeakEngine, EspeakVoice  # noqa: E402

SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
SPEAKERS = {"Ben Carter": ("male", 105.0), "Clara Novak": ("female", 225.0), "Miguel Ortega": ("male", 130.0)}
READING = "The north wind and the sun were arguing about which of them was stronger, when a traveller came along."
TEXT = (
    "They agreed that the one who first made the traveller take his cloak off should be considered stronger than the "
    "other. Then the north wind blew as hard as he could, but the more he blew, the more closely did the traveller "
    "fold his cloak around him; and at last the north wind gave up the attempt.\n\nThen the sun shone out warmly, and "
    "immediately the traveller took off his cloak."
)


def main() -> None:
    engine = EspeakEngine()
    with tempfile.TemporaryDirectory() as folder:
        tree, microphone = Path(folder) / "voices", Path(folder) / "speech.wav"
        for name, (gender, f0_hz) in SPEAKERS.items():
            speech = engine.synthesize(READING, EspeakVoice.from_f0(f0_hz), SynthesisOptions())
            create_voice_embedding.from_array(speech, SAMPLE_RATE_HZ, name, embeddings_dir=str(tree), gender=gender)
        speech = engine.synthesize(READING, EspeakVoice.from_f0(205.0), SynthesisOptions())
        soundfile.write(microphone, speech, SAMPLE_RATE_HZ)
        with serving(tree, engine) as server, chromium(microphone) as browser:
            for size in SIZES:
                take(browser, server.url, size)


def take(browser: Browser, url: str, size: str) -> None:
    """Both themes at one size, after a voice was recorded and has spoken."""
    width, height = SIZES[size]
    with browser.new_context(
        viewport={"width": width, "height": height}, permissions=["microphone"], locale="en-GB", device_scale_factor=1
    ) as context:
        page = context.new_page()
        page.goto(url)
        expect(page.locator("#status")).to_have_attribute("data-state", "ready")
        page.get_by_role("button", name="Record").click()
        expect(page.get_by_role("timer")).to_have_text("0:06", timeout=15_000)
        page.get_by_role("button", name="Stop", exact=True).first.click()
        page.get_by_label("Name", exact=True).fill("Anna Weber")
        page.get_by_label("Gender").select_option("female")
        page.get_by_label("Replace").check()
        page.get_by_role("button", name="Register voice").click()
        expect(page.get_by_role("heading", name="Anna Weber is ready")).to_be_visible()
        for text in (READING, TEXT):
            page.get_by_label("Text", exact=True).fill(text)
            page.get_by_role("button", name="Speak", exact=True).click()
            expect(page.locator("#speak-state")).to_have_text(re.compile("of speech in"))
        expect(page.locator("#position")).to_have_text("0:05", timeout=10_000)
        page.get_by_role("button", name="Pause", exact=True).click()
        page.locator("#play").blur()
        page.locator("#text").evaluate("text => text.scrollTo(0, 0)")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.mouse.move(2, 2)
            save(page, ROOT / f"docs/page-{size}-{theme}.png")


def save(page: Page, path: Path) -> None:
    """The whole page, in 256 colours: a third of the bytes, and nobody sees it."""
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
