// Embeds what stands on standard input with the openai package that the argument names.
import { text } from "node:stream/consumers";

const { default: OpenAI } = await import(process.argv[2]);
const { url, key, request } = JSON.parse(await text(process.stdin));
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key });

const answer = await client.embeddings.create(request).then(
  ({ data, usage }) => ({ vectors: data.map(({ embedding }) => embedding), usage }),
  ({ status, message }) => ({ status, message }),
);
console.log(JSON.stringify(answer));
