# frozen_string_literal: true

# Written by clients/generate from crates/schema/json/broadcast-command.v2.schema.json. Change those.
module Issei
  # Bytes of one command, as JSON in UTF-8.
  COMMAND_BYTES_MAX = 327_680

  # Each kind of value in a command by its name. A field that must be there has true before its kind.
  KINDS = {
    # Who asks for the broadcast. Characters: at least 1, at most 256.
    "Actor" => [:string, 1..256, nil],
    # Characters: at most 254.
    "Address" => [:string, 0..254, nil],
    # An audience that the producer's configuration names. Matches ^[A-Za-z0-9_-]{1,64}$
    "AudienceName" => [:string, 0.., /\A[A-Za-z0-9_-]{1,64}\z/],
    # Why, for the audit trail. Characters: at least 1, at most 512.
    "Reason" => [:string, 1..512, nil],
    # Chosen by the app; the same id is the same broadcast. Matches ^[A-Za-z0-9_-]{1,64}$
    "BroadcastId" => [:string, 0.., /\A[A-Za-z0-9_-]{1,64}\z/],
    "CanaryShare" => [:object, {
      # This share of the audience, by a hash of each key: the same people whenever it is asked, and others
      # for another broadcast.
      "share" => [true, [:number, 1e-06..1]],
    }],
    # The value of the audience's key column. Characters: at least 1, at most 256.
    "RecipientKey" => [:string, 1..256, nil],
    "CanaryKeys" => [:object, {
      # Those of the audience who have these keys.
      "keys" => [true, [:list, [:kind, "RecipientKey"], 1..1000]],
    }],
    "Canary" => [:one_of, [:integer, 1..], [:kind, "CanaryShare"], [:kind, "CanaryKeys"]],
    # Who lets a broadcast go on after its canary.
    "CanaryApproval" => [:one_of, [:const, "operator"], [:const, "evidence"]],
    # What a broadcast is to those who get it.
    "Class" => [:one_of, [:const, "legal_notice"], [:const, "service"], [:const, "marketing"]],
    # Text with {{placeholders}}, each the name of a column of the audience. From version 2 on also {{name
    # | "default"}} and {{#if name}}…{{else}}…{{/if}}.
    "Template" => [:string, 0.., nil],
    # The words of a letter.
    "ContentInlineInline" => [:object, {
      "html" => [false, [:kind, "Template"]],
      "subject" => [true, [:kind, "Template"]],
      "text" => [false, [:kind, "Template"]],
    }],
    # The words themselves. At least one of `text` and `html`.
    "ContentInline" => [:object, {
      # The words of a letter.
      "inline" => [true, [:kind, "ContentInlineInline"]],
    }],
    # A template stored in SES. Matches ^[A-Za-z0-9_-]{1,64}$
    "TemplateName" => [:string, 0.., /\A[A-Za-z0-9_-]{1,64}\z/],
    # SHA-256 of a template, in hexadecimal. Matches ^[0-9a-f]{64}$
    "TemplateHash" => [:string, 0.., /\A[0-9a-f]{64}\z/],
    "ContentTemplateTemplate" => [:object, {
      "name" => [true, [:kind, "TemplateName"]],
      # The SHA-256 that `issei preview` and `send` show of it: where the template says something else when
      # the broadcast is registered, the command is refused. New in version 2.
      "sha256" => [false, [:kind, "TemplateHash"]],
    }],
    # A template stored in SES. It gets every column `name` as it is and as `html_name`, escaped for HTML,
    # since SES itself escapes nothing.
    "ContentTemplate" => [:object, {
      "template" => [true, [:kind, "ContentTemplateTemplate"]],
    }],
    # A column of the audience. Matches ^[A-Za-z_][A-Za-z0-9_]{0,63}$
    "Column" => [:string, 0.., /\A[A-Za-z_][A-Za-z0-9_]{0,63}\z/],
    # A value of the column. Characters: at least 1, at most 64.
    "VariantName" => [:string, 1..64, nil],
    # The words of a letter.
    "VariantsOfValue" => [:object, {
      "html" => [false, [:kind, "Template"]],
      "subject" => [true, [:kind, "Template"]],
      "text" => [false, [:kind, "Template"]],
    }],
    # Words by the value of a column.
    "Variants" => [:object, {
      # The column that tells whom which words are for.
      "by" => [true, [:kind, "Column"]],
      # The variant for every other value, and for none. Without it, such a row is skipped.
      "fallback" => [false, [:kind, "VariantName"]],
      # The words for each value of the column, compared by its bytes.
      "of" => [true, [:map, [:kind, "VariantsOfValue"]]],
    }],
    # Words by the value of one column, such as `locale` or `role`. New in version 2.
    "ContentVariants" => [:object, {
      "variants" => [true, [:kind, "Variants"]],
    }],
    # What a broadcast says: its own words, some for each kind of recipient, or the name of a template
    # stored in SES.
    "Content" => [:one_of, [:kind, "ContentInline"], [:kind, "ContentTemplate"], [:kind, "ContentVariants"]],
    "Mailbox" => [:string, 0.., nil],
    # What becomes of a recipient of whom nobody knows whether the provider accepted the message.
    "InDoubtPolicy" => [:one_of, [:const, "hold"], [:const, "evidence_retry"], [:const, "at_least_once"]],
    # A provider of `[providers]` in the configuration; `ses` is there without. Matches ^[a-z0-9-]{1,32}$
    "ProviderName" => [:string, 0.., /\A[a-z0-9-]{1,32}\z/],
    # How a broadcast begins whose sender is new to those who receive its mail.
    "Ramp" => [:object, {
      # Recipients in the hour from the first permit on. In each further hour in which it is sent it is
      # twice as many.
      "first_hour" => [true, [:integer, 1..]],
    }],
    # A day of the week.
    "Day" => [:string, 0.., nil],
    # Days of the week.
    "Days" => [:list, [:kind, "Day"], 1..],
    # Hours and minutes. Matches ^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$
    "TimeOfDay" => [:string, 0.., /\A(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)\z/],
    # A time zone of the IANA time zone database, such as `Asia/Tokyo`.
    "ZoneName" => [:string, 0.., nil],
    # Hours of certain days in which a broadcast is sent: whenever the clocks of that place show them, so
    # also twice where an hour comes twice.
    "SendWindow" => [:object, {
      # The days on which it opens.
      "days" => [true, [:kind, "Days"]],
      # When it opens, `HH:MM`.
      "from" => [true, [:kind, "TimeOfDay"]],
      "time_zone" => [true, [:kind, "ZoneName"]],
      # When it closes, `HH:MM` up to `24:00`, on the same day.
      "to" => [true, [:kind, "TimeOfDay"]],
    }],
    # Whom a copy goes to, and the row that it is written from. It stands in for the audience.
    "TestCopy" => [:object, {
      # The values of the columns that the content names.
      "data" => [false, [:map, [:string, 0.., nil]]],
      "row_address" => [false, [:string, 0.., nil]],
      # Digests of the row's key and address, which `issei test-send` gives, so that whoever is to be
      # forgotten is found here.
      "row_key" => [false, [:string, 0.., nil]],
      # In the sender's own domain, or among the producer's `test_recipients`.
      "to" => [true, [:kind, "Address"]],
    }],
    # By the https URL in this column of the audience.
    "UnsubscribeColumn" => [:object, {
      # Characters: at least 1.
      "column" => [true, [:string, 1.., nil]],
    }],
    # A key of `[unsubscribe_keys]` in the configuration. Matches ^[A-Za-z0-9_-]{1,32}$
    "UnsubscribeKeyId" => [:string, 0.., /\A[A-Za-z0-9_-]{1,32}\z/],
    # By this link, with a token that is signed under the key of this name.
    "UnsubscribeUrl" => [:object, {
      "key" => [true, [:kind, "UnsubscribeKeyId"]],
      # An https URL with {{token}} in its path or query. Characters: at most 256. Matches
      # ^https://[^#]*\{\{token\}\}[^#]*$
      "url" => [true, [:string, 0..256, /\Ahttps:\/\/[^#]*\{\{token\}\}[^#]*\z/]],
    }],
    # How a recipient unsubscribes with one click.
    "Unsubscribe" => [:one_of, [:kind, "UnsubscribeColumn"], [:kind, "UnsubscribeUrl"]],
    # Asks for one broadcast. Sending it twice asks for the same broadcast twice, which is one.
    "BroadcastCommand" => [:object, {
      # Why the same content, or the same subject, goes to this audience once more. Without it, what another
      # broadcast has said to the audience within 30 days is refused.
      "again" => [false, [:kind, "Reason"]],
      "audience" => [true, [:kind, "AudienceName"]],
      # Chosen by the app. The same id with the same command is the same broadcast; the same id with
      # anything else changed is refused.
      "broadcast_id" => [true, [:kind, "BroadcastId"]],
      # Sends to some recipients first, then holds: to this many, or from version 2 on to a share of the
      # audience or to those who have certain keys.
      "canary" => [false, [:kind, "Canary"]],
      # Who lets the broadcast go on after its canary.
      "canary_approval" => [false, [:kind, "CanaryApproval"]],
      # What the broadcast is to those who get it; `marketing` needs `unsubscribe`, and an audience that
      # says who wants it. Needed in version 2, where it is new; a command of version 1 is read as
      # `service`.
      "class" => [true, [:kind, "Class"]],
      "content" => [true, [:kind, "Content"]],
      # The day from which what is announced binds, and before which everybody is to be told. Nothing is
      # sent or kept back by it: what can't be done before is told beforehand and while it runs, and
      # afterwards who was told in time. New in version 2.
      "effective_at" => [false, [:string, 0.., nil]],
      "from" => [true, [:kind, "Mailbox"]],
      # Once the audience is read, judged and frozen, holds before the first send until an operator
      # approves. For whoever can't read the audience from where they ask.
      "hold" => [false, [:boolean]],
      "in_doubt" => [false, [:kind, "InDoubtPolicy"]],
      # The budget: an audience with more mailable recipients is refused before the first send.
      "max_recipients" => [true, [:integer, 1..]],
      # The command is refused, and no further send begins, after this moment. At most 72 hours ahead, or 14
      # days where `not_before` or `send_window` is given.
      "not_after" => [true, [:string, 0.., nil]],
      # Nothing is sent before this moment. The audience is frozen at once. New in version 2.
      "not_before" => [false, [:string, 0.., nil]],
      # Who carries the broadcast, from its first mail to its last: a provider that the configuration names,
      # or `ses`, which is meant where nothing is said. New in version 2.
      "provider" => [false, [:kind, "ProviderName"]],
      # Sends to so many in the first hour, and to twice as many in each further one, until the account's
      # rate is reached. New in version 2.
      "ramp" => [false, [:kind, "Ramp"]],
      "reply_to" => [false, [:kind, "Mailbox"]],
      "requested_by" => [true, [:kind, "Actor"]],
      # Sends within these hours alone, and waits outside of them. New in version 2.
      "send_window" => [false, [:kind, "SendWindow"]],
      # A copy of the letter instead of a broadcast to the audience: one mail, marked as one. New in version
      # 2.
      "test_copy" => [false, [:kind, "TestCopy"]],
      # How a recipient unsubscribes with one click: each mail carries `List-Unsubscribe` and
      # `List-Unsubscribe-Post`, and `{{unsubscribe_url}}` in the content is the same URL. New in version 2.
      "unsubscribe" => [false, [:kind, "Unsubscribe"]],
      # Version 2, which has a class.
      "version" => [true, [:const, 2]],
    }],
  }.freeze
end
