// Calls the method of @huggingface/inference that the argument names with what stands on standard input.
import { text } from "node:stream/consumers";
import { InferenceClient } from "@huggingface/inference";

const { url, key, request } = JSON.parse(await text(process.stdin));
const client = new InferenceClient(key).endpoint(url);

const answer = await client[process.argv[2]](request).then(
  (value) => ({ value }),
  ({ message, httpResponse }) => ({ status: httpResponse?.status, message }),
);
console.log(JSON.stringify(answer));
