"""The clients with the real services behind the queue: what is one broadcast, what is refused, and what is told of it."""

from world import LANGUAGES, USERS, golden, soon

TESTS = [
    "a_command_from_three_languages_is_one_broadcast_and_all_read_the_same_of_it",
    "a_broadcast_that_holds_is_read_as_one_until_it_is_approved",
    "a_command_that_is_refused_is_told_with_its_reason",
    "an_answer_of_sqs_that_is_lost_mails_nobody_twice",
    "an_error_of_sqs_comes_to_whoever_sends",
]


def ready(name, broadcast, **more):
    """A golden command that may be carried out now."""
    return {**golden(name), "broadcast_id": broadcast, "not_after": soon(), **more}


def assert_read_alike(world, wire, broadcast):
    """Every client reads what the services' own command tells; gives that."""
    own = world.told(broadcast)
    for language in LANGUAGES:
        status = world.ask(language, "status", {"broadcast_id": broadcast}, wire)
        for name in ["broadcast_id", "state", "recipients", "skipped"]:
            assert status[name] == own[name], f"{language} {name}: {status}, {own}"
        assert status["over"] == (own["state"] in ("complete", "stopped")), status
        if status["over"]:
            assert status["totals"] == {name: own[name] for name in status["totals"]}, f"{language}: {status}, {own}"
        else:
            assert "totals" not in status, status
        assert status.get("refused", {}).get("reason") == (own["refused"] or {}).get("reason"), f"{language}: {status}, {own}"
    return own


def a_command_from_three_languages_is_one_broadcast_and_all_read_the_same_of_it(world):
    queue, wire = world.serve(), world.wire()
    for language in LANGUAGES:
        assert world.ask(language, "status", {"broadcast_id": "terms"}, wire)["state"] == "absent"
    command = ready("v2", "terms")
    del command["canary"]
    for language in LANGUAGES:
        assert "message_id" in world.ask(language, "send", command, wire, queue)
    world.wait_for("terms", "complete")
    world.until_queue_is_empty()
    own = assert_read_alike(world, wire, "terms")
    # Had one of them said it otherwise, that one would be refused: the id would belong to another command.
    assert own["refused"] is None and own["queues"]["commands"]["dead_letters"] == 0, own
    assert (own["accepted"], own["in_doubt"]) == (USERS, 0), own
    world.assert_each_once("our terms of service change")
    # Nobody bounces here, so counts that differ are put into a copy of what the services have written.
    ledger = world.aws("dynamodb")
    item = ledger.get_item(TableName=world.table, Key={"pk": {"S": "b#terms"}, "sk": {"S": "broadcast"}})["Item"]
    counts = {"accepted": 1, "rejected": 9, "spared": 2, "in_doubt": 3, "delivered": 4, "bounced": 5, "complained": 6}
    assert set(counts) <= set(item["totals"]["M"]), item["totals"]
    item["totals"]["M"].update({name: {"N": str(count)} for name, count in counts.items()})
    ledger.put_item(TableName=world.table, Item={**item, "pk": {"S": "b#counted"}, "skipped": {"N": "7"}})
    # As an older build counts, which knows of nobody spared.
    del item["totals"]["M"]["spared"]
    ledger.put_item(TableName=world.table, Item={**item, "pk": {"S": "b#older"}})
    for language in LANGUAGES:
        status = world.ask(language, "status", {"broadcast_id": "counted"}, wire)
        # The provider has refused seven; the other two were spared.
        assert status["totals"] == {**counts, "rejected": 7} and status["skipped"] == 7, f"{language}: {status}"
        status = world.ask(language, "status", {"broadcast_id": "older"}, wire)
        assert status["totals"] == {**counts, "spared": 0}, f"{language}: {status}"


def a_broadcast_that_holds_is_read_as_one_until_it_is_approved(world):
    queue, wire = world.serve(), world.wire()
    # Its links would need a key that the services are given.
    command = ready("v2.variants", "prices", canary={"share": 0.5}, canary_approval="operator", in_doubt="hold")
    del command["unsubscribe"]
    for language in LANGUAGES:
        assert "message_id" in world.ask(language, "send", command, wire, queue)
    world.wait_for("prices", "holding")
    world.until_queue_is_empty()
    assert assert_read_alike(world, wire, "prices")["refused"] is None
    world.issei("approve", "prices", "--reason", "the canary looks well")
    world.wait_for("prices", "complete")
    assert assert_read_alike(world, wire, "prices")["accepted"] == USERS
    english, japanese = world.mails("New prices, User"), world.mails("料金改定のお知らせ")
    assert set(english.values()) == set(japanese.values()) == {1} and len(english) + len(japanese) == USERS, (english, japanese)


def a_command_that_is_refused_is_told_with_its_reason(world):
    queue, wire = world.serve(), world.wire()
    words = {"inline": {"subject": "Refused", "text": "Dear {{name}}"}}
    first = ready("v2", "first", content=words)
    del first["canary"]
    world.ask("python", "send", first, wire, queue)
    world.wait_for("first", "complete")
    # The same words under an id of its own, as of an app that makes one up on each try.
    for language in LANGUAGES:
        world.ask(language, "send", {**first, "broadcast_id": f"first-{language}"}, wire, queue)
    world.until_queue_is_empty()
    for language in LANGUAGES:
        status = world.ask(language, "status", {"broadcast_id": f"first-{language}"}, wire)
        assert status["state"] == "refused" and not status["over"] and "totals" not in status, status
        assert "said to this audience by the broadcast `first`" in status["refused"]["reason"], status
    # Other words under the same id: the first goes on untouched, and the refusal stands beside it.
    world.ask("ruby", "send", {**first, "max_recipients": 50}, wire, queue)
    world.until_queue_is_empty()
    own = assert_read_alike(world, wire, "first")
    assert own["state"] == "complete" and "belongs to another command" in own["refused"]["reason"], own
    world.assert_each_once("Refused")
    # One that came too late, and its better after it: the older refusal is of no account.
    late = ready("v2", "late", content={"inline": {"subject": "In time", "text": "Dear {{name}}"}})
    del late["canary"]
    world.ask("python", "send", {**late, "not_after": "2026-01-01T00:00:00Z"}, wire, queue)
    world.until_queue_is_empty()
    for language in LANGUAGES:
        assert world.ask(language, "status", {"broadcast_id": "late"}, wire)["state"] == "refused", language
    world.ask("python", "send", late, wire, queue)
    world.until_queue_is_empty()
    world.wait_for("late", "complete")
    assert assert_read_alike(world, wire, "late")["refused"] is None


def an_answer_of_sqs_that_is_lost_mails_nobody_twice(world):
    queue = world.serve()
    for language in LANGUAGES:
        wire = world.wire()
        wire.faults.append("lose")
        command = ready("v2", f"lost-{language}", content={"inline": {"subject": f"Lost in {language}", "text": "Dear {{name}}"}})
        del command["canary"]
        told = world.ask(language, "send", command, wire, queue)
        if language == "ruby":
            # What stands in for its SDK tries nothing again; the job does.
            assert "error" in told, told
            told = world.ask(language, "send", command, wire, queue)
        assert "message_id" in told, told
        bodies = wire.sent()
        assert len(bodies) == 2 and len(set(bodies)) == 1, bodies
        world.wait_for(f"lost-{language}", "complete")
        world.until_queue_is_empty()
        assert assert_read_alike(world, wire, f"lost-{language}")["refused"] is None
        world.assert_each_once(f"Lost in {language}")


def an_error_of_sqs_comes_to_whoever_sends(world):
    wire = world.wire()
    missing = world.raw_queue() + "-that-is-not-there"
    for language in LANGUAGES:
        told = world.ask(language, "send", golden("v2"), wire, missing)
        assert "error" in told and not told["error"].endswith("CommandError"), f"{language}: {told}"
        assert "exist" in f"{told['error']} {told['message']}", f"{language}: {told}"
