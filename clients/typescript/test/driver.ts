// Does one thing with the client, for the tests: `driver.js build|send|status`, for each line of JSON from standard input a
// line of JSON to standard output.

import { readFileSync } from "node:fs";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import { build, Issei } from "../src/index.js";

const queueUrl = process.env["QUEUE_URL"] ?? "";
const issei = new Issei({ sqs: new SQSClient(), dynamodb: new DynamoDBClient(), queueUrl, table: process.env["ISSEI_TABLE"] ?? "" });

async function told(line: string): Promise<object> {
  const given = JSON.parse(line);
  if (process.argv[2] === "build") return build(given);
  if (process.argv[2] === "send") return { message_id: await issei.send(given) };
  return issei.status(given.broadcast_id);
}

for (const line of readFileSync(0, "utf8").split("\n").filter((line) => line !== "")) {
  console.log(JSON.stringify(await told(line).catch((error: Error) => ({ error: error.name, message: error.message }))));
}
