// Samples: in and out of bytes, and what can be told of them. Nothing here touches the page.

export const RATE = 24000; // what the server speaks in

export function samplesOfBase64(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return floats(new Int16Array(bytes.buffer, 0, bytes.length >> 1));
}

export const floats = (ints) => Float32Array.from(ints, (value) => value / 32768);

export const ints = (samples) =>
  Int16Array.from(samples, (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32767))));

/** A WAV file: mono, 16 bits. */
export function wavOf(samples, rate) {
  const data = ints(samples);
  const view = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + data.byteLength, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, data.byteLength, true);
  return new Blob([view, data], { type: "audio/wav" });
}

/** The loudest sample of each of `count` equal parts. */
export function peaks(samples, count) {
  const found = new Float32Array(count);
  const step = samples.length / count;
  for (let part = 0; part < count; part++) {
    let peak = 0;
    const end = Math.min(samples.length, Math.ceil((part + 1) * step));
    for (let index = Math.floor(part * step); index < end; index++) {
      const value = Math.abs(samples[index]);
      if (value > peak) peak = value;
    }
    found[part] = peak;
  }
  return found;
}

const decibel = (value) => 20 * Math.log10(value + 1e-6);

/** What a recording is like, measured here, before it is sent. */
export function measure(samples, rate) {
  const window = Math.round(rate * 0.05);
  let peak = 0;
  let clipped = 0;
  const levels = [];
  for (let start = 0; start < samples.length; start += window) {
    let sum = 0;
    const end = Math.min(samples.length, start + window);
    for (let index = start; index < end; index++) {
      const value = Math.abs(samples[index]);
      if (value > peak) peak = value;
      if (value > 0.999) clipped++;
      sum += value * value;
    }
    levels.push(decibel(Math.sqrt(sum / (end - start))));
  }
  levels.sort((a, b) => a - b);
  const speech = levels[Math.floor(levels.length * 0.9)] ?? -120;
  const floor = levels[Math.floor(levels.length * 0.1)] ?? -120;
  return { seconds: samples.length / rate, peak: decibel(peak), clipped: clipped / (samples.length || 1), speech, floor };
}

/** Advice in plain words: [kind, text]. */
export function adviceOn({ seconds, peak, clipped, speech, floor }) {
  const advice = [];
  if (seconds < 1) advice.push(["warn", "Shorter than a second: it cannot be used."]);
  else if (seconds < 5) advice.push(["warn", "Short. Ten seconds give a better likeness."]);
  else if (seconds > 600) advice.push(["warn", "Longer than ten minutes: cut out ten seconds of clear speech."]);
  if (clipped > 0.0005) advice.push(["warn", "Too loud in places: it clips. Move back a little."]);
  if (peak < -60) advice.push(["warn", "Silent. Is the right microphone chosen?"]);
  else if (speech < -36) advice.push(["warn", "Quiet. Move closer to the microphone."]);
  if (peak >= -60 && speech - floor < 15) advice.push(["warn", "Little difference between speech and background. A quieter room helps."]);
  if (!advice.length) advice.push(["good", "Length and level look good."]);
  return advice;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
