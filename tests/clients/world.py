"""The emulator, the real services before it, an audience of their own, and the clients in their languages.

Everything listens on 127.0.0.1, and what it has started it ends. It waits for progress and never for a time; the bound
is far beyond what any load makes of it.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import boto3
from wire import Wire

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLIENTS = ROOT / "clients"
GOLDENS = ROOT / "crates" / "schema" / "json"
LANGUAGES = ["ruby", "python", "typescript"]
USERS = 20
PATIENCE_S = 900
REGION = "us-east-1"
# So long that a busy machine passes none of them.
SETTINGS = """
page_size = 30
chunk_size = 10
send_timeout_ms = 5000
permit_life_ms = 8000
ledger_timeout_ms = 8000
lease_ms = 20000
handler_timeout_ms = 25000
visibility_timeout_s = 150
request_lifetime_s = 1
close_every_ms = 1500

[audiences.users]
file = "users.csv"
key = "id"
address = "email"
columns = ["name", "locale", "plan"]
"""


class Skipped(Exception):
    """What a test needs is not there."""


def until(what, look):
    """Looks until there is something, and gives it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"after {PATIENCE_S} s: {what} has not come")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def golden(name):
    return json.loads((GOLDENS / f"broadcast-command.{name}.example.json").read_text())


GOLDEN_NAMES = sorted(path.name.removeprefix("broadcast-command.").removesuffix(".example.json") for path in GOLDENS.glob("broadcast-command.v2*.example.json"))


def soon():
    """A moment by which everything is over."""
    return (datetime.now(UTC) + timedelta(hours=24)).strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    def __enter__(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="issei-clients-"))
        self.started = []
        self.wires = []
        self.compiled = False
        self.emulator = os.environ.get("ISSEI_TEST_AWS_URL", "")
        self.is_serving = False
        # An account of its own, which the emulator takes from the key, and names of their own.
        self.account = f"{random.randrange(10**11, 10**12)}"
        name = f"{random.randrange(10**8):08}"
        self.table, self.queue = f"ledger-{name}", f"commands-{name}"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ISSEI_"))},
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.emulator,
            "ISSEI_TABLE": self.table,
            "ISSEI_COMMANDS_QUEUE": self.queue,
            "ISSEI_CHUNKS_QUEUE": f"chunks-{name}",
            "ISSEI_FEEDBACK_QUEUE": f"feedback-{name}",
            "ISSEI_CONFIGURATION_SET": f"set-{name}",
        }
        return self

    def __exit__(self, *_):
        for _, process in reversed(self.started):
            self.end(process)
        for wire in self.wires:
            wire.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def start(self, name, command, **more):
        with open(self.scratch / f"{name}.log", "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **{"cwd": self.scratch, **more})
        self.started.append((name, process))
        return process

    def end(self, process, how=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def print_logs(self):
        for log in sorted(self.scratch.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}")

    def aws(self, service):
        keys = {"aws_access_key_id": self.account, "aws_secret_access_key": "test"}
        return boto3.client(service, REGION, endpoint_url=self.emulator, **keys)

    def wire(self):
        """A way to the emulator that keeps what goes over it."""
        if not self.emulator:
            raise Skipped("ISSEI_TEST_AWS_URL names no emulator")
        wire = Wire(self.emulator)
        self.wires.append(wire)
        return wire

    def requests(self):
        """All that any client has asked for so far."""
        return [request for wire in self.wires for request in wire.requests]

    def raw_queue(self):
        """A queue that nobody reads from but the test."""
        return self.aws("sqs").create_queue(QueueName=f"raw-{random.randrange(10**8):08}")["QueueUrl"]

    def drained(self, url, count):
        """So many messages of a queue."""
        sqs, bodies = self.aws("sqs"), []

        def look():
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return len(bodies) >= count

        until(f"{count} messages", look)
        assert sqs.receive_message(QueueUrl=url).get("Messages", []) == [], "more than they should be"
        return bodies

    # The clients.

    def driver(self, language):
        if language == "python":
            return [str(ROOT / "target" / "clients-venv" / "bin" / "python"), str(CLIENTS / "python" / "test" / "driver.py")]
        if language == "ruby":
            return [self.ruby(), "-w", str(CLIENTS / "ruby" / "test" / "driver.rb")]
        return [self.node(), str(self.typescript() / "dist" / "test" / "driver.js")]

    def ruby(self):
        found = shutil.which("ruby")
        if not found or subprocess.run([found, "-e", 'require "aws-sigv4"'], capture_output=True, check=False).returncode != 0:
            raise Skipped("there is no Ruby with aws-sigv4 (Debian: ruby ruby-aws-sigv4)")
        return found

    def node(self):
        found = shutil.which("node")
        if not found or not shutil.which("npm") or int(subprocess.check_output([found, "-p", "process.versions.node"]).split(b".")[0]) < 20:
            raise Skipped("there is no Node of 20 or later with npm")
        return found

    def typescript(self):
        """The TypeScript client, compiled beside the packages that it needs."""
        self.node()
        place = ROOT / "target" / "clients-typescript"
        if not self.compiled:
            source = CLIENTS / "typescript"
            lock = (source / "package-lock.json").read_text()
            mark = place / "installed.json"
            place.mkdir(parents=True, exist_ok=True)
            for name in ["package.json", "package-lock.json", "tsconfig.json"]:
                shutil.copy(source / name, place)
            if not mark.exists() or mark.read_text() != lock:
                subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=place, check=True)
                mark.write_text(lock)
            for name in ["src", "test", "dist"]:
                shutil.rmtree(place / name, ignore_errors=True)
            for name in ["src", "test"]:
                shutil.copytree(source / name, place / name)
            subprocess.run(["npx", "--no-install", "tsc"], cwd=place, check=True)
            self.compiled = True
        return place

    def ask(self, language, action, given, wire=None, queue=""):
        """Has a client do one thing, and gives what it tells."""
        [told] = self.ask_each(language, action, [given], wire, queue)
        return told

    def ask_each(self, language, action, given, wire=None, queue=""):
        """Has a client do one thing with each of these, one after the other, and gives what it tells of each."""
        environment = self.of_client(wire, queue)
        command = [*self.driver(language), action]
        lines = "".join(f"{json.dumps(one)}\n" for one in given)
        done = subprocess.run(command, input=lines, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert done.returncode == 0, f"{language} {action}: {done.stderr}"
        assert language != "ruby" or "clients/ruby/lib" not in done.stderr, f"Ruby warns: {done.stderr}"
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(told) == len(given), done.stdout + done.stderr
        return told

    def of_client(self, wire, queue):
        """A client's environment. Some SDKs go where the queue's URL says; one that builds talks to nobody."""
        at = wire.url if wire else "http://127.0.0.1:9"
        return {**self.environment, "AWS_ENDPOINT_URL": at, "QUEUE_URL": queue.replace(self.emulator, at)}

    # The services.

    def issei(self, *arguments, code=0):
        command = [str(self.binary()), *arguments]
        done = subprocess.run(command, env=self.environment, cwd=self.scratch, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert done.returncode == code, f"issei {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def binary(self):
        found = pathlib.Path(os.environ.get("ISSEI_TEST_BINARY", ROOT / "target" / "debug" / "issei"))
        if not found.exists():
            raise Skipped(f"{found} is not built")
        return found

    def serve(self):
        """Starts the services, and gives the URL of the commands queue."""
        if not self.is_serving:
            self.mails("")
            rows = [f"{at},user{at:06}@example.com,User {at},{['en', 'ja'][at % 2]},{['pro', ''][at % 2]}\n" for at in range(1, USERS + 1)]
            (self.scratch / "users.csv").write_text("id,email,name,locale,plan\n" + "".join(rows))
            (self.scratch / "issei.toml").write_text(SETTINGS)
            self.issei("setup")
            self.aws("sesv2").create_email_identity(EmailIdentity="example.com")
            for service in ["producer", "consumer"]:
                self.start(service, [str(self.binary()), service], env=self.environment)
            self.is_serving = True
        return self.aws("sqs").get_queue_url(QueueName=self.queue)["QueueUrl"]

    def told(self, broadcast):
        return json.loads(self.issei("--json", "status", broadcast))

    def wait_for(self, broadcast, state):
        """Until a broadcast is in a state, as the services' own command tells."""
        command = [str(self.binary()), "--json", "status", broadcast]

        def look():
            done = subprocess.run(command, env=self.environment, cwd=self.scratch, capture_output=True, text=True, check=False)
            told = json.loads(done.stdout) if done.stdout.startswith("{") else {}
            assert told.get("state") not in {"paused", "stopped", "refused"} - {state}, told
            return told if told.get("state") == state else None

        return until(f"{broadcast} is {state}", look)

    def until_queue_is_empty(self):
        """Until every command was taken."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.serve()

        def look():
            depths = self.aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            return all(depths[name] == "0" for name in names)

        until("an empty commands queue", look)

    def mails(self, subject):
        """How many mails with this in their subject each address has, as the emulator's SES has kept them."""
        if not self.emulator:
            raise Skipped("ISSEI_TEST_AWS_URL names no emulator")
        try:
            with urllib.request.urlopen(f"{self.emulator}/_ministack/ses/messages?account={self.account}", timeout=600) as answer:
                kept = json.load(answer)["messages"].get(self.account, [])
        except OSError as error:
            raise Skipped(f"the emulator does not tell what its SES has sent ({error})") from error
        counts = {}
        for mail in kept:
            if subject in mail["Subject"]:
                for to in mail["To"]:
                    counts[to] = counts.get(to, 0) + 1
        return counts

    def assert_each_once(self, subject):
        assert self.mails(subject) == {f"user{at:06}@example.com": 1 for at in range(1, USERS + 1)}, self.mails(subject)
