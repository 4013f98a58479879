"""The web page in a real Chromium: a voice from the microphone, streamed speech, downloads, keys, keyboards, phones."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from bad_jobs import tone
from chromium import PROGRAM, chromium
from http_server import Running, base64_of, serving, with_
from playwright.sync_api import Browser, Dialog, Page, Route, expect

from generate_voice_embedding import create_voice_embedding, encode_embedding, utc_now
from server.keys import Key, digest_of, write_keys
from synthesis import SAMPLE_RATE_HZ, SynthesisOptions
from synthesis.espeak import EspeakEngine, EspeakVoice
from synthesis.pitch import median_f0_hz

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium; builder/install_test_packages.sh installs it")

SPEAKER_F0_HZ = 205.0
TEXT = "The north wind and the sun were arguing about which of them was stronger. " * 12
KEY = "wc-test-key-for-the-page-000001"
NASTY_NAME = '<img src=x onerror="alert(1)">&amp;'


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory, espeak: EspeakEngine) -> Path:
    """Somebody reading, higher than the built-in voice."""
    text = "The north wind and the sun were arguing about which of them was stronger, when a traveller came along."
    speech = espeak.synthesize(text, EspeakVoice.from_f0(SPEAKER_F0_HZ), SynthesisOptions())
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    soundfile.write(path, speech, SAMPLE_RATE_HZ)
    return path


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Browser]:
    with chromium(microphone) as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, espeak: EspeakEngine) -> Iterator[Running]:
    tree = tmp_path_factory.mktemp("page") / "voices"
    create_voice_embedding.from_array(tone(2.0), 24_000, NASTY_NAME, embeddings_dir=str(tree), gender="<b>male</b>")
    with serving(tree, espeak) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    """The page, ready. Whatever the browser has to complain about fails the test; so does a script's dialog."""
    context = browser.new_context(permissions=["microphone"], viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def script_dialog(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", script_dialog)
    page.goto(server.url)
    expect(page.locator("#status")).to_have_text(re.compile("Ready · espeak on cpu"))
    yield page
    context.close()
    assert complaints == []


def speak(page: Page, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Speak", exact=True).click()
    expect(page.locator("#speak-state")).to_have_text(re.compile("of speech in"))


def test_a_voice_is_recorded_registered_heard_and_downloaded(page: Page, server: Running) -> None:
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("timer")).to_have_text("0:03")
    level = page.get_by_role("meter", name="Input level")
    assert -40 < float(level.evaluate("meter => meter.value")) <= 0
    page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(page.get_by_role("img", name="Waveform of the recording")).to_be_visible()
    expect(page.locator("#sample-about")).to_have_text(re.compile(r"3\.\d s · peak -\d+ dB"))
    page.get_by_label("Name", exact=True).fill("Anna Example")
    page.get_by_label("Gender").select_option("female")
    page.get_by_role("button", name="Register voice").click()
    expect(page.get_by_role("heading", name="Anna Example is ready")).to_be_focused()
    expect(page.locator("#report-facts")).to_contain_text("Length")

    voice = httpx.get(f"{server.url}/v1/voices/Anna Example").json()
    assert voice["gender"] == "female"
    recorded, rate_hz = soundfile.read(io.BytesIO(httpx.get(f"{server.url}/v1/voices/Anna Example/reference").content))
    assert 2.5 < len(recorded) / rate_hz < 5
    assert median_f0_hz(recorded.astype(np.float32), rate_hz) == pytest.approx(SPEAKER_F0_HZ, rel=0.15)
    expect(page.get_by_label("Voice", exact=True)).to_have_value(voice["voice_id"])

    page.evaluate(
        """() => {
          window.lengths = new Set();
          const wave = document.getElementById("player-wave");
          const note = () => window.lengths.add(wave.getAttribute("aria-valuemax"));
          new MutationObserver(note).observe(wave, {attributes: true});
        }"""
    )
    speak(page, TEXT)
    assert page.evaluate("window.lengths.size") >= 3, "the audio came in pieces"
    expect(page.locator("#player-about")).to_have_text(re.compile("Anna Example · espeak · seed"))
    expect(page.locator("#segments-summary")).to_have_text(re.compile(r"\d+ segments"))
    seed = int(page.locator("#player-about").inner_text().split()[-1])

    fields = {"text": TEXT, "voice_id": voice["voice_id"], "seed": seed}
    for audio_format in ("WAV", "MP3"):
        with page.expect_download() as download:
            page.get_by_role("group", name="Download").get_by_role("button", name=audio_format).click()
        file = Path(download.value.path())
        assert download.value.suggested_filename.endswith(f".{audio_format.lower()}")
        direct = httpx.post(
            f"{server.url}/generate", json={**fields, "format": audio_format.lower()}, headers={"Accept": "audio/*"}
        ).content
        if audio_format == "WAV":
            saved, expected = (soundfile.read(each, dtype="int16")[0] for each in (file, io.BytesIO(direct)))
            assert len(saved) == len(expected)
            assert np.abs(saved.astype(int) - expected).max() <= 1
        else:
            assert file.read_bytes() == direct


def test_it_plays_pauses_and_seeks_by_keyboard_and_remembers(page: Page) -> None:
    speak(page, TEXT[:400])
    slider = page.get_by_role("slider", name="Position")
    expect(slider).not_to_have_attribute("aria-valuenow", "0.0", timeout=5000)
    slider.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0.0")
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "2.0")
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
    page.keyboard.press("Enter")  # from the start again, as it had ended
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    before = page.locator("#duration").inner_text()

    page.reload()
    result = page.locator("#history-list li")
    expect(result).to_have_count(1)
    result.get_by_role("button", name=re.compile("^Play")).click()
    expect(page.locator("#duration")).to_have_text(before)
    result.get_by_role("button", name=re.compile("^Remove")).click()
    expect(result).to_have_count(0)
    page.reload()
    expect(page.locator("#history-empty")).to_be_visible()


def test_a_long_one_can_be_stopped(page: Page, server: Running) -> None:
    page.get_by_label("Text", exact=True).fill(TEXT * 60)
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#speak-state")).to_have_text("Stopped.")
    page.wait_for_timeout(300)
    assert server.app.state.jobs.places.running == 0


def test_voices_from_files_are_renamed_downloaded_and_deleted(page: Page, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "my_voice.ogg", tone(3.0), SAMPLE_RATE_HZ)
    page.locator("#file").set_input_files(tmp_path / "my_voice.ogg")
    expect(page.get_by_label("Name", exact=True)).to_have_value("my voice")
    expect(page.locator("#sample-advice")).to_contain_text("Ten seconds give a better likeness")
    page.get_by_role("button", name="Register voice").click()
    expect(page.get_by_role("heading", name="my voice is ready")).to_be_visible()

    page.get_by_role("button", name="Rename my voice").click()
    page.get_by_label("New name").fill("Berta")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Rename Berta")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Berta").click()
    packed = Path(download.value.path()).read_bytes()
    assert gzip.decompress(packed)[:1] == b"\x80", "a pickle"
    page.get_by_role("button", name="Delete Berta").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("button", name="Rename Berta")).to_have_count(0)

    (tmp_path / "back.pkl.gz").write_bytes(encode_embedding(tone(2.0), "Back", utc_now()))
    page.locator("#file").set_input_files(tmp_path / "back.pkl.gz")
    page.get_by_label("Name", exact=True).fill("Back")
    page.get_by_role("button", name="Register voice").click()
    expect(page.get_by_role("heading", name="Back is ready")).to_be_visible()
    page.get_by_label("Find a voice by the start of its name").fill("Ba")
    expect(page.locator("#voice-list li")).to_have_count(1)


def test_segments_and_the_report_are_shown_where_the_server_has_them(page: Page, tmp_path: Path) -> None:
    """What later versions of the worker say of a recording and of segments, put in the server's mouth."""
    audio = base64_of(np.zeros(48_000, "<i2").tobytes())
    segments = [
        {"text": "One.", "start": 0.0, "end": 1.2, "seed": 1, "score": 0.9, "flags": [], "retries": 0},
        {"text": "Two.", "start": 1.2, "end": 2.0, "seed": 2, "score": 0.4, "flags": ["cut_off"], "retries": 2},
    ]
    totals = {"seed": 1, "engine": "espeak", "segments": segments}
    chunks = [{"audio": audio, "last": False}, {"audio": "", "last": True, **totals}]
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    page.route("**/generate", lambda route: route.fulfill(body=events, content_type="text/event-stream"))
    speak(page, "One. Two.")
    page.locator("#segments-summary").click()
    second = page.locator("#segment-list li").nth(1)
    expect(second).to_have_text("0:01Two.cut off2 retries")
    second.get_by_role("button").click()
    expect(page.get_by_role("slider", name="Position")).to_have_attribute("aria-valuetext", "0:01 of 0:02")

    report = {"peak_dbfs": -3.21, "speech_ratio": 0.8, "clipped": False, "advice": ["Record in a quieter room."]}
    voice = {"voice_id": "00000000", "voice_name": "Anna", "duration": 3.0, "sample_rate": 24_000, "report": report}

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(json=voice, status=201)
        else:
            route.continue_()

    page.route("**/v1/voices", answer)
    soundfile.write(tmp_path / "voice.wav", tone(3.0), SAMPLE_RATE_HZ)
    page.locator("#file").set_input_files(tmp_path / "voice.wav")
    page.get_by_role("button", name="Register voice").click()
    expect(page.locator("#report-facts")).to_have_text("Length3.0 sPeak-3.21 dBSpeech80 %Clippedno")
    expect(page.locator("#report-advice")).to_have_text("Record in a quieter room.")


def test_names_from_elsewhere_are_text_and_nothing_else(page: Page) -> None:
    expect(page.locator(".voice-name", has_text=NASTY_NAME)).to_have_count(1)
    assert page.locator("#voice-list img").count() == 0


def test_a_refusal_is_shown_in_the_servers_words(browser: Browser, server: Running) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#status")).to_have_attribute("data-state", "ready")
        page.get_by_label("Text", exact=True).fill("?!")
        page.get_by_role("button", name="Speak", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("Text holds nothing that can be spoken")
        page.get_by_role("button", name="Dismiss").click()
        expect(page.get_by_role("alert")).to_have_text("")


def test_a_server_with_keys_asks_for_one_and_keeps_it_as_long_as_wanted(
    browser: Browser, espeak: EspeakEngine, tmp_path: Path
) -> None:
    write_keys(tmp_path / "keys.json", [Key("page", digest_of(KEY))])
    settings = with_(keys_file=tmp_path / "keys.json")
    with serving(tmp_path / "voices", espeak, settings) as server, browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.get_by_role("dialog", name="API key")).to_be_visible()
        page.get_by_label("Key", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-why")).to_contain_text("The API key is wrong")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_attribute("data-state", "ready")
        speak(page, "Hello.")
        assert page.evaluate("localStorage.getItem('api-key')") is None
        page.reload()
        expect(page.locator("#status")).to_have_attribute("data-state", "ready")


CONTRASTS = """() => {
  const parse = (text) => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 200) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const shown = element.checkVisibility({visibilityProperty: true}) && !element.closest("[disabled], option");
    if (!text || !shown) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const what = `${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 30)}`;
    found.push([what, (a + 0.05) / (b + 0.05)]);
  }
  return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_can_be_read_and_used_by_everyone(page: Page, theme: Any, tmp_path: Path) -> None:
    """Names for screen readers on all that can be used, contrast as WCAG 2.2 AA wants it, and a phone's width."""
    page.emulate_media(color_scheme=theme)
    soundfile.write(tmp_path / "voice.wav", tone(3.0), SAMPLE_RATE_HZ)
    speak(page, TEXT[:400])
    page.locator("#file").set_input_files(tmp_path / "voice.wav")
    for summary in page.locator("summary").all():
        summary.click()
    devtools = page.context.new_cdp_session(page)
    nodes = devtools.send("Accessibility.getFullAXTree")["nodes"]
    usable = (
        "button",
        "textbox",
        "combobox",
        "slider",
        "checkbox",
        "spinbutton",
        "searchbox",
        "meter",
        "DisclosureTriangle",
    )
    roles = [
        (node.get("role", {}).get("value"), node.get("name", {}).get("value")) for node in nodes if not node["ignored"]
    ]
    named = [(role, name) for role, name in roles if role in usable]
    assert len(named) > 30
    assert [role for role, name in named if not name] == []
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 30
    assert [(what, round(ratio, 2)) for what, ratio in contrasts if ratio < 4.5] == []
    for width in (360, 768):
        page.set_viewport_size({"width": width, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.evaluate(
            """() => [...document.querySelectorAll("button, summary, select, input:not(.visually-hidden)")]
              .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 24
                      && element.type !== "checkbox").map((element) => element.outerHTML.slice(0, 80))"""
        )
        assert small == [], "targets of at least 24 pixels"


def test_everything_comes_from_this_server(browser: Browser, server: Running) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        expect(page.locator("#status")).to_have_attribute("data-state", "ready")
        assert len(asked) > 10
        assert [url for url in asked if not url.startswith(server.url)] == []
