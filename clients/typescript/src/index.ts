// Puts a broadcast's command on issei's queue, and reads back how the broadcast stands.
//
// What it must never do: make up an id, or look at a clock. A job that is tried again sends what it was given, byte for
// byte, and that is how issei knows it for the same broadcast.

import { GetItemCommand, type AttributeValue, type DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { BROADCAST_ID, COMMAND_BYTES_MAX, FIELDS, REQUIRED, type BroadcastCommand } from "./kinds.js";

export type * from "./kinds.js";

/** A command that issei would refuse. Trying again changes nothing. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** What `build` makes a command of: its fields without a version. */
export type Fields = Omit<BroadcastCommand, "version" | "not_after"> & { not_after: string | Date };

/** Recipients by outcome, counted exactly. Those from `delivered` on are as far as the provider has told. */
export interface Totals {
  accepted: number;
  /** By the provider. */
  rejected: number;
  /** To whom nothing was sent, since they came on the suppression list after the audience was frozen. */
  spared: number;
  in_doubt: number;
  delivered: number;
  bounced: number;
  complained: number;
}

export interface Status {
  broadcast_id: string;
  /**
   * One of `enumerating`, `running`, `paused`, `holding`, `stopping`, `stopped` and `complete`, as the ledger has it;
   * `refused` where there is no broadcast since its command was refused, and `absent` where there is neither.
   */
  state: string;
  /** Nothing more is ever sent. */
  over: boolean;
  recipients: number;
  skipped: number;
  /** There once it is over and counted. */
  totals?: Totals;
  /** Of the last command that asked for this id in vain. */
  refused?: { at: string; reason: string };
}

/**
 * A command of version 2: plain data, for a job's arguments. Build it once, where somebody decides, and let the job send
 * what it was given.
 */
export function build(fields: Fields): BroadcastCommand {
  const { not_after, ...rest } = fields;
  const moment = not_after instanceof Date ? not_after.toISOString() : not_after;
  const command: BroadcastCommand = { version: 2, ...rest, not_after: moment };
  const given: Record<string, unknown> = { ...command };
  for (const name of REQUIRED) {
    if (given[name] === undefined || given[name] === null) throw new CommandError(`field \`${name}\` is missing`);
  }
  for (const name of Object.keys(given)) {
    if (!FIELDS.includes(name)) throw new CommandError(`\`${name}\` is no field of a command; there are ${FIELDS.join(", ")}`);
  }
  if (given["version"] !== 2) throw new CommandError("field `version` is 2 in what this client builds");
  if (!BROADCAST_ID.test(command.broadcast_id)) throw new CommandError(`field \`broadcast_id\` must match ${BROADCAST_ID.source}`);
  return command;
}

/** The clients are those of the AWS SDK, with the region and the credentials of the app's own role. */
export class Issei {
  constructor(
    private readonly parts: { sqs: SQSClient; dynamodb: DynamoDBClient; queueUrl: string; table?: string },
  ) {}

  /**
   * Puts a command on the queue as it is, and gives SQS's id of the message. An error of SQS leaves open whether it is
   * there, so it is passed on: try again with the same command, as often as you like.
   */
  async send(command: object): Promise<string> {
    const body = JSON.stringify(command);
    const size = new TextEncoder().encode(body).length;
    if (size > COMMAND_BYTES_MAX) {
      throw new CommandError(`the command has ${size} bytes and at most ${COMMAND_BYTES_MAX} are allowed; shorten its content`);
    }
    const answer = await this.parts.sqs.send(new SendMessageCommand({ QueueUrl: this.parts.queueUrl, MessageBody: body }));
    return answer.MessageId ?? "";
  }

  /** How a broadcast stands, in two reads of one item each. */
  async status(broadcastId: string): Promise<Status> {
    const found = await this.item(`b#${broadcastId}`, "broadcast", ["broadcast_state", "recipients", "skipped", "created_at", "totals"]);
    let refused = await this.item("refused", broadcastId, ["refused_at", "reason"]);
    // A command may have been refused before the broadcast was taken. Without the Z, moments sort as text.
    if (found && refused && text(refused["refused_at"]).replace("Z", "") < text(found["created_at"]).replace("Z", "")) refused = undefined;
    const state = found ? text(found["broadcast_state"]) : refused ? "refused" : "absent";
    const status: Status = {
      broadcast_id: broadcastId,
      state,
      over: state === "complete" || state === "stopped",
      recipients: count(found?.["recipients"]),
      skipped: count(found?.["skipped"]),
    };
    const totals = found?.["totals"]?.M;
    if (totals) {
      const spared = count(totals["spared"]);
      status.totals = {
        accepted: count(totals["accepted"]),
        // In the ledger those spared stand among those rejected, where earlier versions look for them.
        rejected: Math.max(count(totals["rejected"]) - spared, 0),
        spared,
        in_doubt: count(totals["in_doubt"]),
        delivered: count(totals["delivered"]),
        bounced: count(totals["bounced"]),
        complained: count(totals["complained"]),
      };
    }
    if (refused) status.refused = { at: text(refused["refused_at"]), reason: text(refused["reason"]) };
    return status;
  }

  private async item(pk: string, sk: string, attributes: string[]): Promise<Record<string, AttributeValue> | undefined> {
    const answer = await this.parts.dynamodb.send(
      new GetItemCommand({
        TableName: this.parts.table ?? "issei-ledger",
        Key: { pk: { S: pk }, sk: { S: sk } },
        ProjectionExpression: attributes.join(", "),
        ConsistentRead: true,
      }),
    );
    return answer.Item;
  }
}

function text(value: AttributeValue | undefined): string {
  return value?.S ?? "";
}

function count(value: AttributeValue | undefined): number {
  return Number(value?.N ?? 0);
}
