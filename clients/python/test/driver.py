"""Does one thing with the client, for the tests: `driver.py build|send|status`, for each line of JSON from standard input
a line of JSON to standard output."""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import boto3
from issei_client import Issei, build

REGION = os.environ["AWS_REGION"]
CLIENT = Issei(boto3.client("sqs", REGION), boto3.client("dynamodb", REGION), os.environ["QUEUE_URL"], os.environ["ISSEI_TABLE"])
ACTIONS = {
    "build": build,
    "send": lambda given: {"message_id": CLIENT.send(given)},
    "status": lambda given: CLIENT.status(given["broadcast_id"]),
}

for line in sys.stdin:
    try:
        told = ACTIONS[sys.argv[1]](json.loads(line))
    except Exception as error:
        told = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(told))
