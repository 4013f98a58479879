// The microphone to samples, unprocessed: what browsers do for calls (echo, noise, gain) takes a voice's character.

const CONSTRAINTS = { audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } };

export class Recorder {
  /** onLevel: called with the loudest sample of each block, and the seconds recorded. */
  constructor(onLevel) {
    this.onLevel = onLevel;
    this.blocks = [];
    this.length = 0;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("This browser records only on https or on this machine. Choose a file instead.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
    } catch (error) {
      throw new Error(
        error.name === "NotAllowedError"
          ? "The microphone is not allowed. Allow it for this page in the browser's settings, or choose a file."
          : "No microphone was found. Connect one, or choose a file."
      );
    }
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("/page/capture.js");
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.node.port.onmessage = ({ data }) => this.take(data);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
  }

  take(block) {
    this.blocks.push(block);
    this.length += block.length;
    let peak = 0;
    for (const value of block) peak = Math.max(peak, Math.abs(value));
    this.onLevel(peak, this.length / this.context.sampleRate);
  }

  /** What was recorded: {samples, rate}. */
  async stop() {
    this.node.port.onmessage = null;
    for (const track of this.stream.getTracks()) track.stop();
    const rate = this.context.sampleRate;
    await this.context.close();
    const samples = new Float32Array(this.length);
    let at = 0;
    for (const block of this.blocks) {
      samples.set(block, at);
      at += block.length;
    }
    return { samples, rate };
  }
}
