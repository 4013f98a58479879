// A waveform on a canvas: bars, what was played, and where segments meet. Colours come from the style sheet.

import { peaks } from "./audio.js";

const BAR = 3;
const GAP = 2;

export class Waveform {
  constructor(canvas) {
    this.canvas = canvas;
    this.samples = new Float32Array(0);
    this.marks = []; // fractions at which segments begin
    this.played = 0; // fraction
    this.total = 0; // samples that the width stands for; 0: as many as there are
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  show(samples, { marks = [], total = 0 } = {}) {
    this.samples = samples;
    this.marks = marks;
    this.total = total;
    this.levels = null;
    this.draw();
  }

  at(fraction) {
    this.played = fraction;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      this.levels = null;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name);
    const margin = 10;
    const inner = width - 2 * margin;
    const filled = this.total ? Math.min(1, this.samples.length / this.total) : 1;
    const count = Math.max(1, Math.floor((inner * filled) / (BAR + GAP)));
    this.levels ??= peaks(this.samples, count);
    const loudest = Math.max(0.05, ...this.levels);
    pen.fillStyle = colour("--wave-line");
    for (const mark of this.marks) {
      if (mark > 0.002 && mark < 0.998) pen.fillRect(margin + mark * inner - 0.5, 6, 1, height - 12);
    }
    const played = margin + this.played * inner * filled;
    this.levels.forEach((level, index) => {
      const x = margin + index * (BAR + GAP);
      const tall = Math.max(2, (level / loudest) * (height - 20));
      pen.fillStyle = colour(x + BAR / 2 <= played && this.played > 0 ? "--wave-played" : "--wave");
      pen.beginPath();
      pen.roundRect(x, (height - tall) / 2, BAR, tall, BAR / 2);
      pen.fill();
    });
  }
}
