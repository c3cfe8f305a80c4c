// Written by clients/generate from crates/schema/json/broadcast-command.v2.schema.json. Change those.

/** Who asks for the broadcast. Characters: at least 1, at most 256. */
export type Actor = string;

/** Characters: at most 254. */
export type Address = string;

/** An audience that the producer's configuration names. Matches ^[A-Za-z0-9_-]{1,64}$ */
export type AudienceName = string;

/** Why, for the audit trail. Characters: at least 1, at most 512. */
export type Reason = string;

/** Chosen by the app; the same id is the same broadcast. Matches ^[A-Za-z0-9_-]{1,64}$ */
export type BroadcastId = string;

export interface CanaryShare {
  /**
   * This share of the audience, by a hash of each key: the same people whenever it is asked, and others
   * for another broadcast.
   */
  share: number;
}

/** The value of the audience's key column. Characters: at least 1, at most 256. */
export type RecipientKey = string;

export interface CanaryKeys {
  /** Those of the audience who have these keys. */
  keys: RecipientKey[];
}

export type Canary = number | CanaryShare | CanaryKeys;

/** Who lets a broadcast go on after its canary. */
export type CanaryApproval = "operator" | "evidence";

/** What a broadcast is to those who get it. */
export type Class = "legal_notice" | "service" | "marketing";

/**
 * Text with {{placeholders}}, each the name of a column of the audience. From version 2 on also {{name
 * | "default"}} and {{#if name}}…{{else}}…{{/if}}.
 */
export type Template = string;

/** The words of a letter. */
export interface ContentInlineInline {
  html?: Template;
  subject: Template;
  text?: Template;
}

/** The words themselves. At least one of `text` and `html`. */
export interface ContentInline {
  /** The words of a letter. */
  inline: ContentInlineInline;
}

/** A template stored in SES. Matches ^[A-Za-z0-9_-]{1,64}$ */
export type TemplateName = string;

/** SHA-256 of a template, in hexadecimal. Matches ^[0-9a-f]{64}$ */
export type TemplateHash = string;

export interface ContentTemplateTemplate {
  name: TemplateName;
  /**
   * The SHA-256 that `issei preview` and `send` show of it: where the template says something else when
   * the broadcast is registered, the command is refused. New in version 2.
   */
  sha256?: TemplateHash;
}

/**
 * A template stored in SES. It gets every column `name` as it is and as `html_name`, escaped for HTML,
 * since SES itself escapes nothing.
 */
export interface ContentTemplate {
  template: ContentTemplateTemplate;
}

/** A column of the audience. Matches ^[A-Za-z_][A-Za-z0-9_]{0,63}$ */
export type Column = string;

/** A value of the column. Characters: at least 1, at most 64. */
export type VariantName = string;

/** The words of a letter. */
export interface VariantsOfValue {
  html?: Template;
  subject: Template;
  text?: Template;
}

/** Words by the value of a column. */
export interface Variants {
  /** The column that tells whom which words are for. */
  by: Column;
  /** The variant for every other value, and for none. Without it, such a row is skipped. */
  fallback?: VariantName;
  /** The words for each value of the column, compared by its bytes. */
  of: { [name: string]: VariantsOfValue };
}

/** Words by the value of one column, such as `locale` or `role`. New in version 2. */
export interface ContentVariants {
  variants: Variants;
}

/**
 * What a broadcast says: its own words, some for each kind of recipient, or the name of a template
 * stored in SES.
 */
export type Content = ContentInline | ContentTemplate | ContentVariants;

export type Mailbox = string;

/** What becomes of a recipient of whom nobody knows whether the provider accepted the message. */
export type InDoubtPolicy = "hold" | "evidence_retry" | "at_least_once";

/** A provider of `[providers]` in the configuration; `ses` is there without. Matches ^[a-z0-9-]{1,32}$ */
export type ProviderName = string;

/** How a broadcast begins whose sender is new to those who receive its mail. */
export interface Ramp {
  /**
   * Recipients in the hour from the first permit on. In each further hour in which it is sent it is
   * twice as many.
   */
  first_hour: number;
}

/** A day of the week. */
export type Day = string;

/** Days of the week. */
export type Days = Day[];

/** Hours and minutes. Matches ^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$ */
export type TimeOfDay = string;

/** A time zone of the IANA time zone database, such as `Asia/Tokyo`. */
export type ZoneName = string;

/**
 * Hours of certain days in which a broadcast is sent: whenever the clocks of that place show them, so
 * also twice where an hour comes twice.
 */
export interface SendWindow {
  /** The days on which it opens. */
  days: Days;
  /** When it opens, `HH:MM`. */
  from: TimeOfDay;
  time_zone: ZoneName;
  /** When it closes, `HH:MM` up to `24:00`, on the same day. */
  to: TimeOfDay;
}

/** Whom a copy goes to, and the row that it is written from. It stands in for the audience. */
export interface TestCopy {
  /** The values of the columns that the content names. */
  data?: { [name: string]: string };
  row_address?: string;
  /**
   * Digests of the row's key and address, which `issei test-send` gives, so that whoever is to be
   * forgotten is found here.
   */
  row_key?: string;
  /** In the sender's own domain, or among the producer's `test_recipients`. */
  to: Address;
}

/** By the https URL in this column of the audience. */
export interface UnsubscribeColumn {
  /** Characters: at least 1. */
  column: string;
}

/** A key of `[unsubscribe_keys]` in the configuration. Matches ^[A-Za-z0-9_-]{1,32}$ */
export type UnsubscribeKeyId = string;

/** By this link, with a token that is signed under the key of this name. */
export interface UnsubscribeUrl {
  key: UnsubscribeKeyId;
  /**
   * An https URL with {{token}} in its path or query. Characters: at most 256. Matches
   * ^https://[^#]*\{\{token\}\}[^#]*$
   */
  url: string;
}

/** How a recipient unsubscribes with one click. */
export type Unsubscribe = UnsubscribeColumn | UnsubscribeUrl;

/** Asks for one broadcast. Sending it twice asks for the same broadcast twice, which is one. */
export interface BroadcastCommand {
  /**
   * Why the same content, or the same subject, goes to this audience once more. Without it, what another
   * broadcast has said to the audience within 30 days is refused.
   */
  again?: Reason;
  audience: AudienceName;
  /**
   * Chosen by the app. The same id with the same command is the same broadcast; the same id with
   * anything else changed is refused.
   */
  broadcast_id: BroadcastId;
  /**
   * Sends to some recipients first, then holds: to this many, or from version 2 on to a share of the
   * audience or to those who have certain keys.
   */
  canary?: Canary;
  /** Who lets the broadcast go on after its canary. */
  canary_approval?: CanaryApproval;
  /**
   * What the broadcast is to those who get it; `marketing` needs `unsubscribe`, and an audience that
   * says who wants it. Needed in version 2, where it is new; a command of version 1 is read as
   * `service`.
   */
  class: Class;
  content: Content;
  /**
   * The day from which what is announced binds, and before which everybody is to be told. Nothing is
   * sent or kept back by it: what can't be done before is told beforehand and while it runs, and
   * afterwards who was told in time. New in version 2.
   */
  effective_at?: string;
  from: Mailbox;
  /**
   * Once the audience is read, judged and frozen, holds before the first send until an operator
   * approves. For whoever can't read the audience from where they ask.
   */
  hold?: boolean;
  in_doubt?: InDoubtPolicy;
  /** The budget: an audience with more mailable recipients is refused before the first send. */
  max_recipients: number;
  /**
   * The command is refused, and no further send begins, after this moment. At most 72 hours ahead, or 14
   * days where `not_before` or `send_window` is given.
   */
  not_after: string;
  /** Nothing is sent before this moment. The audience is frozen at once. New in version 2. */
  not_before?: string;
  /**
   * Who carries the broadcast, from its first mail to its last: a provider that the configuration names,
   * or `ses`, which is meant where nothing is said. New in version 2.
   */
  provider?: ProviderName;
  /**
   * Sends to so many in the first hour, and to twice as many in each further one, until the account's
   * rate is reached. New in version 2.
   */
  ramp?: Ramp;
  reply_to?: Mailbox;
  requested_by: Actor;
  /** Sends within these hours alone, and waits outside of them. New in version 2. */
  send_window?: SendWindow;
  /**
   * A copy of the letter instead of a broadcast to the audience: one mail, marked as one. New in version
   * 2.
   */
  test_copy?: TestCopy;
  /**
   * How a recipient unsubscribes with one click: each mail carries `List-Unsubscribe` and
   * `List-Unsubscribe-Post`, and `{{unsubscribe_url}}` in the content is the same URL. New in version 2.
   */
  unsubscribe?: Unsubscribe;
  /** Version 2, which has a class. */
  version: 2;
}

/** The fields of a command, and those that it must have. */
export const FIELDS: readonly string[] = [
    "again",
    "audience",
    "broadcast_id",
    "canary",
    "canary_approval",
    "class",
    "content",
    "effective_at",
    "from",
    "hold",
    "in_doubt",
    "max_recipients",
    "not_after",
    "not_before",
    "provider",
    "ramp",
    "reply_to",
    "requested_by",
    "send_window",
    "test_copy",
    "unsubscribe",
    "version",
];
export const REQUIRED: readonly string[] = [
    "audience",
    "broadcast_id",
    "class",
    "content",
    "from",
    "max_recipients",
    "not_after",
    "requested_by",
    "version",
];
export const BROADCAST_ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Bytes of one command, as JSON in UTF-8. */
export const COMMAND_BYTES_MAX = 327680;
