// SendGrid's and Resend's own clients for Node: does one thing that stands on the input, and tells what came of it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// Installed beside the build, and not beside this file.
const require = createRequire(join(process.env.ISSEI_TEST_PROVIDER_CLIENTS, "package.json"));
const asked = JSON.parse(readFileSync(0, "utf8"));

async function sendgrid() {
  const mail = require("@sendgrid/mail");
  mail.setApiKey(asked.key);
  mail.client.setDefaultRequest("baseUrl", asked.url);
  const personalizations = asked.to.map((email, at) => ({
    to: email,
    substitutions: { name: `user ${at}` },
    customArgs: { broadcast: asked.broadcast, chunk: "0", recipient: String(at) },
  }));
  try {
    const [response] = await mail.send({
      from: { email: "no-reply@example.com", name: "Example" },
      subject: "Terms for {{name}}",
      text: "Dear {{name}}",
      html: "<p>Dear {{name}}</p>",
      personalizations,
    });
    return { status: response.statusCode, id: response.headers["x-message-id"] };
  } catch (error) {
    return { status: error.code, body: error.response?.body };
  }
}

async function resend() {
  const { Resend } = require("resend");
  const client = new Resend(asked.key, { baseUrl: asked.url });
  const emails = asked.to.map((email, at) => ({
    from: "Example <no-reply@example.com>",
    to: [email],
    subject: asked.subject ?? "Terms",
    html: `<p>user ${at}</p>`,
    tags: [{ name: "broadcast", value: asked.broadcast }],
  }));
  const { data, error } = await client.batch.send(emails, asked.idempotency ? { idempotencyKey: asked.idempotency } : {});
  return error ? { code: error.statusCode, type: error.name } : data;
}

function sendgridWebhook() {
  const { EventWebhook } = require("@sendgrid/eventwebhook");
  const hook = new EventWebhook();
  const body = Buffer.from(asked.body, "base64");
  return { good: hook.verifySignature(hook.convertPublicKeyToECDSA(asked.key), body, asked.signature, asked.timestamp) };
}

function resendWebhook() {
  const { Resend } = require("resend");
  const headers = { id: asked.id, timestamp: asked.timestamp, signature: asked.signature };
  const payload = Buffer.from(asked.body, "base64").toString();
  try {
    return { good: Boolean(new Resend("re_x").webhooks.verify({ payload, headers, webhookSecret: asked.key })) };
  } catch {
    return { good: false };
  }
}

async function resendDomains() {
  const { Resend } = require("resend");
  const { data, error } = await new Resend(asked.key, { baseUrl: asked.url }).domains.list();
  return error ? { code: error.statusCode, type: error.name } : { domains: data.data.map(({ name, status }) => [name, status]) };
}

const clients = { sendgrid, resend, "resend-domains": resendDomains, "sendgrid-webhook": sendgridWebhook, "resend-webhook": resendWebhook };
console.log(JSON.stringify(await clients[asked.client]()));
