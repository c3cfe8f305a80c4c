"""Puts a broadcast's command on issei's queue, and reads back how the broadcast stands.

What it must never do: make up an id, or look at a clock. A job that is tried again sends what it was given, byte for
byte, and that is how issei knows it for the same broadcast.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict, cast

from .kinds import BROADCAST_ID, COMMAND_BYTES_MAX, FIELDS, REQUIRED, BroadcastCommand, Fields

__all__ = ["BroadcastCommand", "CommandError", "Fields", "Issei", "Refusal", "Status", "Totals", "build"]


class CommandError(ValueError):
    """A command that issei would refuse. Trying again changes nothing."""


class Totals(TypedDict):
    """Recipients by outcome, counted exactly. Those from `delivered` on are as far as the provider has told."""

    accepted: int
    # By the provider.
    rejected: int
    # To whom nothing was sent, since they came on the suppression list after the audience was frozen.
    spared: int
    in_doubt: int
    delivered: int
    bounced: int
    complained: int


class Refusal(TypedDict):
    at: str
    reason: str


class Status(TypedDict):
    broadcast_id: str
    # One of `enumerating`, `running`, `paused`, `holding`, `stopping`, `stopped` and `complete`, as the ledger has it;
    # `refused` where there is no broadcast since its command was refused, and `absent` where there is neither.
    state: str
    # Nothing more is ever sent.
    over: bool
    recipients: int
    skipped: int
    # There once it is over and counted.
    totals: NotRequired[Totals]
    # Of the last command that asked for this id in vain.
    refused: NotRequired[Refusal]


def build(fields: Fields) -> BroadcastCommand:
    """A command of version 2: plain data, for a job's arguments. Build it once, where somebody decides, and let the job
    send what it was given."""
    command: dict[str, Any] = {"version": 2, **fields}
    for name in REQUIRED:
        if command.get(name) is None:
            raise CommandError(f"field `{name}` is missing")
    for name in command:
        if name not in FIELDS:
            raise CommandError(f"`{name}` is no field of a command; there are {', '.join(FIELDS)}")
    if command["version"] != 2:
        raise CommandError("field `version` is 2 in what this client builds")
    if not BROADCAST_ID.match(str(command["broadcast_id"])):
        raise CommandError(f"field `broadcast_id` must match {BROADCAST_ID.pattern}")
    if isinstance(command["not_after"], datetime):
        if command["not_after"].tzinfo is None:
            raise CommandError("field `not_after` has no time zone")
        command["not_after"] = command["not_after"].astimezone(UTC).isoformat().replace("+00:00", "Z")
    return cast(BroadcastCommand, command)


class Issei:
    """`sqs` and `dynamodb` are clients of boto3, with the region and the credentials of the app's own role."""

    def __init__(self, sqs: Any, dynamodb: Any, queue_url: str, table: str = "issei-ledger") -> None:
        self.sqs, self.dynamodb, self.queue_url, self.table = sqs, dynamodb, queue_url, table

    def send(self, command: Mapping[str, Any]) -> str:
        """Puts a command on the queue as it is, and gives SQS's id of the message. An error of SQS leaves open whether
        it is there, so it is passed on: try again with the same command, as often as you like."""
        body = json.dumps(command, ensure_ascii=False, separators=(",", ":"))
        size = len(body.encode())
        if size > COMMAND_BYTES_MAX:
            raise CommandError(f"the command has {size} bytes and at most {COMMAND_BYTES_MAX} are allowed; shorten its content")
        return str(self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)["MessageId"])

    def status(self, broadcast_id: str) -> Status:
        """How a broadcast stands, in two reads of one item each."""
        found = self._item(f"b#{broadcast_id}", "broadcast", ["broadcast_state", "recipients", "skipped", "created_at", "totals"])
        refused = self._item("refused", broadcast_id, ["refused_at", "reason"])
        # A command may have been refused before the broadcast was taken. Without the Z, moments sort as text.
        if found and refused and refused["refused_at"].rstrip("Z") < found["created_at"].rstrip("Z"):
            refused = None
        absent = "refused" if refused else "absent"
        state = found["broadcast_state"] if found else absent
        status: Status = {
            "broadcast_id": broadcast_id,
            "state": state,
            "over": state in ("complete", "stopped"),
            "recipients": found["recipients"] if found else 0,
            "skipped": found["skipped"] if found else 0,
        }
        if found and found.get("totals"):
            totals = cast(Totals, {name: found["totals"].get(name, 0) for name in Totals.__annotations__})
            # In the ledger those spared stand among those rejected, where earlier versions look for them.
            totals["rejected"] = max(totals["rejected"] - totals["spared"], 0)
            status["totals"] = totals
        if refused:
            status["refused"] = {"at": refused["refused_at"], "reason": refused["reason"]}
        return status

    def _item(self, pk: str, sk: str, attributes: list[str]) -> dict[str, Any] | None:
        answer = self.dynamodb.get_item(
            TableName=self.table,
            Key={"pk": {"S": pk}, "sk": {"S": sk}},
            ProjectionExpression=", ".join(attributes),
            ConsistentRead=True,
        )
        item = answer.get("Item")
        return {name: _plain(value) for name, value in item.items()} if item else None


def _plain(value: Mapping[str, Any]) -> Any:
    [(kind, inner)] = value.items()
    if kind == "N":
        return int(inner)
    if kind == "M":
        return {name: _plain(of) for name, of in inner.items()}
    return None if kind == "NULL" else inner
