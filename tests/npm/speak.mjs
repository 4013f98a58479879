// What the official client gets from the server whose address is the argument, as JSON on one line.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: process.argv[3], maxRetries: 0 });
const ask = (more) => client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Hello there.", ...more });

const whole = Buffer.from(await (await ask({ response_format: "wav", seed: 7 })).arrayBuffer());
const streamed = await ask({ input: "A sentence of a usual length. ".repeat(120), response_format: "pcm" });
let pieces = 0;
let bytes = 0;
for await (const piece of streamed.body) {
  pieces += 1;
  bytes += piece.length;
}
const events = await (await ask({ stream_format: "sse" })).text();
const models = [];
for await (const model of await client.models.list()) models.push(model.id);
const refusal = await ask({ voice: "nobody" }).catch((error) => [error.constructor.name, error.status, error.code]);
const noKey = await new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "wrong", maxRetries: 0 }).models
  .list()
  .catch((error) => [error.constructor.name, error.status, error.code]);

console.log(JSON.stringify({ whole: whole.toString("base64"), pieces, bytes, events, models, refusal, noKey }));
