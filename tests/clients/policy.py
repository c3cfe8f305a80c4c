"""The policy that the documentation gives to the app, held against all that the clients ask for."""

import fnmatch
import json

from world import CLIENTS, LANGUAGES, golden

# It comes last, so that it sees what the other tests have asked for.
TESTS = ["a_client_asks_for_nothing_that_its_policy_does_not_allow"]


def allowed(policy, operation, given):
    """Whether the policy lets a request through, as IAM reads the few kinds of conditions that it has."""
    service, resource = ("sqs", given["QueueUrl"].rsplit("/", 1)[1]) if operation == "SendMessage" else ("dynamodb", given["TableName"])
    key = given.get("Key", {})
    seen = {
        "dynamodb:LeadingKeys": [key["pk"]["S"]] if key else [],
        "dynamodb:Attributes": [*key, *(name.strip() for name in given.get("ProjectionExpression", "").split(",") if name.strip())],
        "dynamodb:Select": ["SPECIFIC_ATTRIBUTES" if "ProjectionExpression" in given else "ALL_ATTRIBUTES"],
    }

    def holds(operator, name, patterns):
        patterns = [patterns] if isinstance(patterns, str) else patterns
        match = fnmatch.fnmatchcase if operator.endswith("Like") else str.__eq__
        matches = [any(match(value, pattern) for pattern in patterns) for value in seen[name]]
        return any(matches) if operator.startswith("ForAnyValue") else all(matches)

    def applies(statement):
        action, named = statement["Action"], statement["Resource"].replace("/", ":").rsplit(":", 1)[1]
        conditions = [(operator, name, patterns) for operator, of in statement.get("Condition", {}).items() for name, patterns in of.items()]
        return fnmatch.fnmatchcase(f"{service}:{operation}", action) and named == resource and all(holds(*condition) for condition in conditions)

    effects = {statement["Effect"] for statement in policy["Statement"] if applies(statement)}
    return effects == {"Allow"}


def a_client_asks_for_nothing_that_its_policy_does_not_allow(world):
    policy = json.loads((CLIENTS / "policy.json").read_text())
    world.serve()
    wire = world.wire()
    for language in LANGUAGES:
        world.ask(language, "send", golden("v2"), wire, world.raw_queue())
        world.ask(language, "status", {"broadcast_id": "terms"}, wire)

    def request(operation, given):
        # Tests name their own queues and table.
        if operation == "SendMessage":
            return allowed(policy, operation, {**given, "QueueUrl": "https://sqs/1/issei-commands"})
        return allowed(policy, operation, {**given, "TableName": "issei-ledger"})

    asked = world.requests()
    assert {operation for operation, _ in asked} == {"SendMessage", "GetItem"}
    for operation, given in asked:
        assert request(operation, given), (operation, given)
    read = {name for operation, given in asked if operation == "GetItem" for name in [*given["Key"], *given["ProjectionExpression"].split(", ")]}
    [statement] = [statement for statement in policy["Statement"] if statement["Action"] == "dynamodb:GetItem"]
    assert read == set(statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]), "more is allowed than is asked for"
    # What holds the recipients, what proves messages, and whose address is not mailed.
    for pk, sk, names in [
        ("b#terms#00", "page#00000000", "recipients"),
        ("b#terms#01", "chunk#00000001", "reason"),
        ("b#terms", "broadcast", "message_key"),
        ("b#terms", "command", "body"),
        ("suppressed#00", "hmac#00", "reason"),
        ("ledger", "lineage", "reason"),
    ]:
        assert not request("GetItem", {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}, "ProjectionExpression": names}), (pk, names)
    assert not request("GetItem", {"Key": {"pk": {"S": "b#terms"}, "sk": {"S": "broadcast"}}})
    assert not request("PutItem", {"Key": {"pk": {"S": "b#terms"}, "sk": {"S": "broadcast"}}})
    # The documentation names the same attributes.
    contract = (CLIENTS / "README.md").read_text()
    for name in sorted(read - {"pk", "sk"}):
        assert f"`{name}`" in contract, f"{name} is not in clients/README.md"
