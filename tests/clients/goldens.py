"""What the clients make of commands: the goldens of the schema's own tests, and what is none."""

import copy
import json
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone

from world import CLIENTS, GOLDEN_NAMES, LANGUAGES, ROOT, golden

TESTS = [
    "what_is_committed_is_what_the_generator_makes",
    "every_golden_command_is_of_the_generated_types_and_what_is_none_is_not",
    "every_client_puts_the_golden_commands_on_the_queue_as_they_stand",
    "what_issei_would_refuse_is_refused_where_it_is_built_or_sent",
    "a_moment_is_written_in_utc_and_one_without_a_zone_is_refused",
    "the_code_that_the_readmes_show_is_of_the_types",
]


def what_is_committed_is_what_the_generator_makes(_):
    done = subprocess.run([sys.executable, str(CLIENTS / "generate"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def changed(change):
    command = copy.deepcopy(golden("v2"))
    change(command)
    return command


# What no type may take, though it is JSON.
BAD = {
    "without_class": changed(lambda command: command.pop("class")),
    "unknown_class": changed(lambda command: command.update({"class": "newsletter"})),
    "misnamed_field": changed(lambda command: command.update(subjct="x")),
    "misnamed_word": changed(lambda command: command["content"]["inline"].update(subjct="x")),
    "no_subject": changed(lambda command: command["content"]["inline"].pop("subject")),
    "share_in_words": changed(lambda command: command.update(canary={"share": "half"})),
    "keys_that_are_numbers": changed(lambda command: command.update(canary={"keys": [17]})),
    "hold_in_words": changed(lambda command: command.update(hold="yes")),
    "no_id": changed(lambda command: command.pop("broadcast_id")),
}


def every_golden_command_is_of_the_generated_types_and_what_is_none_is_not(world):
    good = {name.replace(".", "_").replace("-", "_"): golden(name) for name in GOLDEN_NAMES}
    assert len(good) >= 4, good
    place = world.scratch / "typed"
    place.mkdir()
    for name, command in {**good, **BAD}.items():
        (place / f"{name}.py").write_text(f"from issei_client import BroadcastCommand\n\ncommand: BroadcastCommand = {command!r}\n")
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(world.scratch / "mypy")]
    environment = {**world.environment, "MYPYPATH": str(CLIENTS / "python")}
    told = subprocess.run([*mypy, "-p", "issei_client"], env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    told = subprocess.run([*mypy, *map(str, sorted(place.glob("*.py")))], env=environment, capture_output=True, text=True, check=False)
    assert {line.split("typed/")[1].split(".py")[0] for line in told.stdout.splitlines() if ": error:" in line} == set(BAD), told.stdout

    client = world.typescript()
    place = client / "test" / "typed"
    place.mkdir()
    for name, command in {**good, **BAD}.items():
        text = f'import type {{ BroadcastCommand }} from "../../src/index.js";\nexport const command: BroadcastCommand = {json.dumps(command)};\n'
        (place / f"{name}.ts").write_text(text)
    told = subprocess.run(["npx", "--no-install", "tsc", "--noEmit"], cwd=client, capture_output=True, text=True, check=False)
    shutil.rmtree(place)
    assert {line.split("typed/")[1].split(".ts")[0] for line in told.stdout.splitlines() if ": error" in line} == set(BAD), told.stdout

    # Ruby's interpreter looks at no types, so there they are looked at where a command is built.
    commands = {**good, **BAD}
    fields = [{key: value for key, value in command.items() if key != "version"} for command in commands.values()]
    for name, told in zip(commands, world.ask_each("ruby", "build", fields), strict=True):
        assert ("error" in told) == (name in BAD), f"{name}: {told}"
        assert name not in BAD or told["message"].startswith("field `"), told


def every_client_puts_the_golden_commands_on_the_queue_as_they_stand(world):
    wire, names = world.wire(), ["v1", *GOLDEN_NAMES]
    for language in LANGUAGES:
        queue = world.raw_queue()
        commands = [golden(name) for name in GOLDEN_NAMES]
        fields = [{key: value for key, value in command.items() if key != "version"} for command in commands]
        assert world.ask_each(language, "build", fields) == commands, language
        # One of version 1, which a job from before an upgrade may hold, is sent as it is.
        told = world.ask_each(language, "send", [golden(name) for name in names], wire, queue)
        assert all(one.get("message_id") for one in told), f"{language}: {told}"
        bodies = [json.loads(body) for body in world.drained(queue, len(names))]
        for name in names:
            assert golden(name) in bodies, f"{language} {name}: {bodies}"
    # Nothing else: a group or a deduplication id would be refused by some queues and mean nothing to issei.
    assert {(operation, *sorted(given)) for operation, given in wire.requests} == {("SendMessage", "MessageBody", "QueueUrl")}


def what_issei_would_refuse_is_refused_where_it_is_built_or_sent(world):
    fields = {key: value for key, value in golden("v2").items() if key != "version"}
    bad = [
        *(({**fields, "broadcast_id": bad}, "broadcast_id") for bad in ["", "a.b", "a b", "é", "a\n", "x" * 65]),
        ({**fields, "subjct": "x"}, "subjct"),
        ({**fields, "version": 1}, "version"),
        *(({key: value for key, value in fields.items() if key != name}, name) for name in ["class", "broadcast_id", "not_after", "from"]),
    ]
    for language in LANGUAGES:
        for (given, word), told in zip(bad, world.ask_each(language, "build", [given for given, _ in bad]), strict=True):
            assert told.get("error", "").endswith("CommandError") and word in told["message"], f"{language} {given}: {told}"
    # By its bytes and not its characters, and to the last of them.
    wire = world.wire()
    limit = 320 * 1024
    for language in LANGUAGES:
        queue = world.raw_queue()
        command = {**golden("v2"), "content": {"inline": {"subject": "x", "text": ""}}}
        room = limit - len(json.dumps(command, ensure_ascii=False, separators=(",", ":")).encode())
        text = "あ" * (room // 3) + "x" * (room % 3)
        largest, larger = ({**command, "content": {"inline": {"subject": "x", "text": text + more}}} for more in ["", "x"])
        sent, refused = world.ask_each(language, "send", [largest, larger], wire, queue)
        assert "message_id" in sent, f"{language}: {sent}"
        assert refused.get("error", "").endswith("CommandError") and str(limit) in refused["message"], f"{language}: {refused}"
        [body] = world.drained(queue, 1)
        assert len(body.encode()) == limit
    assert f"COMMAND_BYTES_MAX: usize = {limit // 1024} * 1024" in (ROOT / "crates" / "schema" / "src" / "limits.rs").read_text()


def a_moment_is_written_in_utc_and_one_without_a_zone_is_refused(world):
    fields = {key: value for key, value in golden("v2").items() if key not in ("version", "not_after")}
    sys.path.insert(0, str(CLIENTS / "python"))
    from issei_client import CommandError, build

    tokyo = datetime(2026, 11, 26, 18, 0, 0, 123_000, timezone(timedelta(hours=9)))
    assert build({**fields, "not_after": tokyo})["not_after"] == "2026-11-26T09:00:00.123000Z"
    try:
        build({**fields, "not_after": tokyo.replace(tzinfo=None)})
        raise AssertionError("a moment of no zone was taken")
    except CommandError as error:
        assert "time zone" in str(error)

    def run(*command):
        return subprocess.run(command, input=json.dumps(fields), capture_output=True, text=True, check=True).stdout.strip()

    moment = "2026-11-26T18:00:00.123+09:00"
    library = str(CLIENTS / "ruby" / "lib")
    script = f'require "issei"; puts Issei.build(**JSON.parse($stdin.read, symbolize_names: true), not_after: Time.iso8601("{moment}"))["not_after"]'
    assert run(world.ruby(), "-w", "-I", library, "-e", script) == "2026-11-26T09:00:00.123Z"
    module = world.typescript() / "dist" / "src" / "index.js"
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ build }} from "{module}";
        console.log(build({{ ...JSON.parse(readFileSync(0, "utf8")), not_after: new Date("{moment}") }}).not_after);
    """
    assert run(world.node(), "--input-type=module", "-e", script) == "2026-11-26T09:00:00.123Z"


def the_code_that_the_readmes_show_is_of_the_types(world):
    """With a row of the app's own, which the pages don't show. What Ruby's shows is run."""

    def shown(language):
        [block] = re.findall(rf"^```{language}\n(.*?)^```", (CLIENTS / language / "README.md").read_text(), re.MULTILINE | re.DOTALL)
        return block

    page = world.scratch / "readme.py"
    row = "from datetime import datetime, timedelta\n\n\nclass Row:\n    id: int\n    subject: str\n    text: str\n    approved_at: datetime\n    approved_by: str\n\n\nrow = Row()\n"
    page.write_text(row + shown("python"))
    mypy = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--cache-dir", str(world.scratch / "mypy"), str(page)]
    told = subprocess.run(mypy, env={**world.environment, "MYPYPATH": str(CLIENTS / "python")}, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout

    client = world.typescript()
    row = "declare const row: { id: number; subject: string; text: string; approvedAt: Date; approvedBy: string };\n"
    (client / "test" / "readme.ts").write_text(shown("typescript").replace('"issei-client"', '"../src/index.js"') + row)
    try:
        told = subprocess.run(["npx", "--no-install", "tsc", "--noEmit"], cwd=client, capture_output=True, text=True, check=False)
        assert "readme.ts" not in told.stdout, told.stdout
    finally:
        (client / "test" / "readme.ts").unlink()
