"""A job of an app under Sidekiq, with its retry set and its dead set in Redis, and all that happens to jobs."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

from world import (
    CLIENTS,
    PATIENCE_S,
    ROOT,
    USERS,
    Skipped,
    free_port,
    golden,
    soon,
    until,
)

TESTS = [
    "a_job_that_is_retried_clicked_twice_killed_and_brought_back_mails_each_user_once",
    "a_job_that_makes_up_an_id_on_each_try_mails_nobody_twice_and_finds_out",
    "the_documentation_shows_the_code_that_is_tested",
    "the_documentation_may_be_followed_to_its_end",
]
APP = CLIENTS / "ruby" / "test" / "sidekiq_app.rb"


class App:
    """An app with Sidekiq, its Redis, and its way to the emulator."""

    def __init__(self, world, row):
        ruby, redis = world.ruby(), os.environ.get("ISSEI_TEST_REDIS") or shutil.which("redis-server")
        if not redis or not shutil.which("redis-cli"):
            raise Skipped("there is no redis-server with redis-cli (Debian: redis-server)")
        if subprocess.run([ruby, "-e", 'require "sidekiq"'], capture_output=True, check=False).returncode != 0:
            raise Skipped("there is no Sidekiq (Debian: ruby-sidekiq)")
        self.world, self.ruby, self.port = world, ruby, free_port()
        self.queue, self.wire = world.serve(), world.wire()
        bind = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(world.scratch)]
        world.start(f"redis-{self.port}", [redis, *bind])
        until("Redis", lambda: self.redis("PING") == "PONG")
        self.environment = {
            **world.of_client(self.wire, self.queue),
            "REDIS_URL": f"redis://127.0.0.1:{self.port}/0",
            "ROW": json.dumps(row),
        }

    def redis(self, *command):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *command], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def jobs(self):
        """How many jobs wait, wait to be tried again, and are dead."""
        return int(self.redis("LLEN", "queue:default")), int(self.redis("ZCARD", "retry")), int(self.redis("ZCARD", "dead"))

    def sidekiq(self, retry_in):
        """A process of Sidekiq that tries a job again after so many seconds, and up to ten more."""
        command = [self.ruby, "-S", "sidekiq", "-r", str(APP), "-c", "2", "-t", "5"]
        return self.world.start(f"sidekiq-{self.port}", command, env={**self.environment, "RETRY_IN": str(retry_in)})

    def press(self, button, given=""):
        done = subprocess.run([self.ruby, str(APP), button], env=self.environment, input=given, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr

    def until_sent(self, count):
        until(f"{count} messages", lambda: len(self.wire.sent()) >= count)

    def until_jobs(self, *wanted):
        until(f"jobs that wait, are to be tried again, are dead: {wanted}", lambda: self.jobs() == wanted)


def a_job_that_is_retried_clicked_twice_killed_and_brought_back_mails_each_user_once(world):
    row = {"id": 17, "subject": "Terms by Sidekiq", "text": "Dear {{name}}", "approved_at": int(time.time()), "approved_by": "ann"}
    app = App(world, row)

    # Two clicks, from two processes of the app. SQS takes both messages, and the jobs never hear of it.
    app.wire.faults.extend(["lose", "lose"])
    app.press("click")
    app.press("click")
    first = app.sidekiq(retry_in=3600)
    app.until_jobs(0, 2, 0)
    app.until_sent(2)

    # A deploy ends the process. Somebody takes fright and kills one of the two jobs in the retry set.
    world.end(first)
    app.press("kill-one")
    app.until_jobs(0, 1, 1)

    # Somebody else presses "Retry now". The job is in the midst of its call when its process dies.
    app.wire.faults.append("hold")
    second = app.sidekiq(retry_in=3600)
    app.press("retry-now")
    app.until_sent(3)
    world.end(second, signal.SIGKILL)
    # What it had in hand went down with it; the message did not.
    app.until_jobs(0, 0, 1)

    # The dead come back to life. The first try fails once more, and Sidekiq tries again by itself.
    app.wire.faults.append("lose")
    third = app.sidekiq(retry_in=1)
    app.press("resurrect")
    app.until_sent(5)
    app.until_jobs(0, 0, 0)
    assert len(set(app.wire.sent())) == 1, app.wire.sent()
    world.wait_for("announcement-17", "complete")

    # It is over, and somebody clicks once more.
    app.press("click")
    app.until_sent(6)
    app.until_jobs(0, 0, 0)
    world.end(third)
    world.until_queue_is_empty()
    bodies = app.wire.sent()
    assert len(bodies) == 6 and len(set(bodies)) == 1, bodies
    told = world.told("announcement-17")
    assert (told["state"], told["accepted"], told["in_doubt"], told["refused"]) == ("complete", USERS, 0, None), told
    world.assert_each_once("Terms by Sidekiq")


def a_job_that_makes_up_an_id_on_each_try_mails_nobody_twice_and_finds_out(world):
    app = App(world, {})
    app.wire.faults.append("lose")
    command = {**golden("v2"), "not_after": soon(), "content": {"inline": {"subject": "Made up", "text": "Dear {{name}}"}}}
    del command["canary"]
    app.press("make-up", json.dumps(command))
    sidekiq = app.sidekiq(retry_in=1)
    app.until_sent(2)
    app.until_jobs(0, 0, 0)
    world.end(sidekiq)
    first, second = (json.loads(body)["broadcast_id"] for body in app.wire.sent())
    assert first != second
    world.until_queue_is_empty()
    # Whichever of the two messages was taken first.
    states = {broadcast: world.ask("ruby", "status", {"broadcast_id": broadcast}, app.wire) for broadcast in [first, second]}
    [refused] = [status for status in states.values() if status["state"] == "refused"]
    assert "said to this audience by the broadcast `mail-" in refused["refused"]["reason"], refused
    [taken] = [broadcast for broadcast in states if states[broadcast]["state"] != "refused"]
    world.wait_for(taken, "complete")
    world.assert_each_once("Made up")


def the_documentation_shows_the_code_that_is_tested(_):
    """A block of code in a page about the clients is part of a file that the tests run."""
    tested = {"ruby": (CLIENTS / "ruby" / "example" / "send_broadcast.rb").read_text()}
    shown = 0
    for page in [ROOT / "docs" / "from-sidekiq-and-sendgrid.md", CLIENTS / "ruby" / "README.md"]:
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if language in tested:
                assert block in tested[language], f"{page.name}: {block}"
                shown += 1
    assert shown >= 2, shown


def the_documentation_may_be_followed_to_its_end(world):
    """The commands of the page, in its order and as they stand there, in a folder of their own."""
    page = (ROOT / "docs" / "from-sidekiq-and-sendgrid.md").read_text()
    commands = [line for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL) for line in block.splitlines()]
    queue, wire = world.serve(), world.wire()
    place = world.scratch / "followed"
    place.mkdir()
    with sqlite3.connect(place / "app.db") as database:
        database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL)")
        database.executemany("INSERT INTO users VALUES (?, ?, ?)", [(at, f"user{at:06}@example.com", f"User {at}") for at in range(1, USERS + 1)])
    # As SendGrid's pages export them.
    (place / "bounces.csv").write_text("status,reason,email,created\n5.1.1,no such user,gone@example.com,1790083507\n")
    (place / "spam-reports.csv").write_text("ip,email,created\n192.0.2.1,angry@example.com,1790083507\n")
    (place / "unsubscribes.csv").write_text("email,created\nleft@example.com,1790083507\n")

    def command(number):
        made = {**golden("v2"), "broadcast_id": f"announcement-{number}", "not_after": soon(), "hold": number == 18}
        del made["canary"]
        return {**made, "content": {"inline": {"subject": f"Followed {number}", "text": "Dear {{name}}"}}}

    (place / "command.json").write_text(json.dumps(command(17)))
    # The story with Sidekiq may have been there before.
    if not world.mails("Terms by Sidekiq"):
        world.ask("ruby", "send", command(17), wire, queue)
        world.wait_for("announcement-17", "complete")
    world.ask("ruby", "send", command(18), wire, queue)
    world.wait_for("announcement-18", "holding")
    environment = {**world.environment, "DATABASE_URL": f"sqlite:{place}/app.db"}
    environment["PATH"] = f"{place}:{environment['PATH']}"
    (place / "issei").symlink_to(world.binary())
    served = []
    for line in commands:
        if line.endswith("&"):
            # As the shell would: a process that goes on.
            service = line.split()[1]
            served.append(world.start(f"followed-{service}", [str(place / "issei"), service], env=environment, cwd=place))
            continue
        done = subprocess.run(["sh", "-c", line], cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        # A dry run of what the broadcast before has said is told so, and nothing else is refused.
        assert done.returncode == 0 or "--dry-run" in line and "belongs to another command" in done.stderr, f"{line}: {done.stdout}{done.stderr}"
    assert len(commands) >= 12 and len(served) == 3, commands
    for process in served:
        world.end(process)
    assert world.told("announcement-18")["state"] in ("stopping", "stopped")
    assert world.mails("Followed 18") == {}
    assert "bounced since" in world.issei("suppress", "list", "gone@example.com")
