"""SendGrid's and Resend's own clients for Python: does one thing that stands on the input, and tells what came of it."""

import base64
import json
import sys

asked = json.load(sys.stdin)


def sendgrid():
    from python_http_client.exceptions import HTTPError
    from sendgrid import SendGridAPIClient
    from sendgrid.helpers.mail import CustomArg, Email, HtmlContent, Mail, Personalization, PlainTextContent, Substitution

    mail = Mail(from_email=Email("no-reply@example.com", "Example"), subject="Terms for %name%")
    mail.add_content(PlainTextContent("Dear %name%"))
    mail.add_content(HtmlContent("<p>Dear %name%</p>"))
    for at, address in enumerate(asked["to"]):
        one = Personalization()
        one.add_to(Email(address))
        one.add_substitution(Substitution("%name%", f"user {at}"))
        for name, value in {"broadcast": asked["broadcast"], "chunk": "0", "recipient": str(at)}.items():
            one.add_custom_arg(CustomArg(name, value))
        mail.add_personalization(one)
    try:
        response = SendGridAPIClient(api_key=asked["key"], host=asked["url"]).send(mail)
        return {"status": response.status_code, "id": response.headers.get("X-Message-Id")}
    except HTTPError as error:
        return {"status": error.status_code, "body": error.to_dict}


def resend():
    import resend as client
    from resend.exceptions import ResendError

    client.api_url, client.api_key = asked["url"], asked["key"]
    tags = [{"name": "broadcast", "value": asked["broadcast"]}]
    emails = [
        {"from": "Example <no-reply@example.com>", "to": [address], "subject": asked.get("subject", "Terms"), "html": f"<p>user {at}</p>", "tags": tags}
        for at, address in enumerate(asked["to"])
    ]
    try:
        return client.Batch.send(emails, {"idempotency_key": asked["idempotency"]} if "idempotency" in asked else None)
    except ResendError as error:
        return {"code": error.code, "type": error.error_type}


def sendgrid_standing():
    from python_http_client.exceptions import HTTPError
    from sendgrid import SendGridAPIClient

    client = SendGridAPIClient(api_key=asked["key"], host=asked["url"]).client
    try:
        scopes = json.loads(client.scopes.get().body)["scopes"]
        query = {"start_date": asked["day"], "end_date": asked["day"], "aggregated_by": "day"}
        days = json.loads(client.stats.get(query_params=query).body)
        return {"scopes": scopes, "requests": [day["stats"][0]["metrics"]["requests"] for day in days]}
    except HTTPError as error:
        return {"status": error.status_code, "body": error.to_dict}


def sendgrid_webhook():
    from sendgrid.helpers.eventwebhook import EventWebhook

    hook = EventWebhook(asked["key"])
    body = base64.b64decode(asked["body"]).decode()
    return {"good": bool(hook.verify_signature(body, asked["signature"], asked["timestamp"]))}


print(json.dumps({"sendgrid": sendgrid, "sendgrid-standing": sendgrid_standing, "resend": resend, "sendgrid-webhook": sendgrid_webhook}[asked["client"]]()))
