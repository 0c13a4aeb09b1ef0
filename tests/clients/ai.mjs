// Embeds what stands on standard input with the AI SDK, in its own batches.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany } from "ai";
import { text } from "node:stream/consumers";

const { url, key, request } = JSON.parse(await text(process.stdin));
const service = createOpenAICompatible({
  name: "service",
  baseURL: `${url}/v1`,
  apiKey: key,
});

const answer = await embedMany({
  model: service.embeddingModel("any"),
  values: request.values,
  maxRetries: 0,
}).then(
  ({ embeddings, usage }) => ({ vectors: embeddings, usage }),
  ({ statusCode, message }) => ({ status: statusCode, message }),
);
console.log(JSON.stringify(answer));
