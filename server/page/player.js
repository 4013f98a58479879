// Plays samples while more of them come: pieces are scheduled one after the other on the audio clock.

const AHEAD_S = 0.06; // from asking for sound to its first sample: enough to schedule it in time

export class Player extends EventTarget {
  constructor(rate) {
    super();
    this.rate = rate;
    this.clear();
  }

  clear() {
    this.stopSources();
    this.samples = new Float32Array(0);
    this.length = 0; // samples there are, of those there is room for
    this.complete = false;
    this.playing = false;
    this.offset = 0; // seconds: where playing began, or stands
    this.changed();
  }

  get audio() {
    this.context ??= new AudioContext();
    return this.context;
  }

  get duration() {
    return this.length / this.rate;
  }

  get position() {
    if (!this.playing) return this.offset;
    const now = this.offset + Math.max(0, this.audio.currentTime - this.began);
    return Math.min(now, this.scheduled / this.rate);
  }

  all() {
    return this.samples.subarray(0, this.length);
  }

  append(samples) {
    const needed = this.length + samples.length;
    if (needed > this.samples.length) {
      const larger = new Float32Array(Math.max(needed, this.samples.length * 2));
      larger.set(this.all());
      this.samples = larger;
    }
    this.samples.set(samples, this.length);
    this.length = needed;
    if (this.playing) this.schedule();
    this.changed();
  }

  finish() {
    this.complete = true;
    this.changed();
  }

  load(samples) {
    this.clear();
    this.append(samples);
    this.finish();
  }

  async play() {
    await this.audio.resume();
    if (this.complete && this.offset >= this.duration - 0.02) this.offset = 0;
    this.stopSources();
    this.playing = true;
    this.began = this.audio.currentTime + AHEAD_S;
    this.scheduled = Math.round(this.offset * this.rate);
    this.schedule();
    this.tick();
    this.changed();
  }

  pause() {
    this.offset = this.position;
    this.playing = false;
    this.stopSources();
    this.changed();
  }

  seek(seconds) {
    const wasPlaying = this.playing;
    if (wasPlaying) this.pause();
    this.offset = Math.max(0, Math.min(seconds, this.duration));
    if (wasPlaying) this.play();
    else this.changed();
  }

  schedule() {
    if (this.scheduled >= this.length) return;
    const piece = this.samples.subarray(this.scheduled, this.length);
    const buffer = this.audio.createBuffer(1, piece.length, this.rate);
    buffer.copyToChannel(piece, 0);
    let when = this.began + this.scheduled / this.rate - this.offset;
    if (when < this.audio.currentTime) {
      // the stream was late: what is played moves on by as much
      this.began += this.audio.currentTime + AHEAD_S - when;
      when = this.audio.currentTime + AHEAD_S;
    }
    const source = this.audio.createBufferSource();
    source.buffer = buffer;
    source.connect(this.audio.destination);
    source.start(when);
    this.sources.add(source);
    source.addEventListener("ended", () => this.sources.delete(source));
    this.scheduled = this.length;
  }

  stopSources() {
    for (const source of this.sources ?? []) source.stop();
    this.sources = new Set();
    this.scheduled = 0;
  }

  tick() {
    if (!this.playing) return;
    if (this.complete && this.position >= this.duration - 0.001) {
      this.playing = false;
      this.offset = this.duration;
      this.stopSources();
    } else {
      requestAnimationFrame(() => this.tick());
    }
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}
