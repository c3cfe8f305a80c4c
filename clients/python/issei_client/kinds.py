"""Written by clients/generate from crates/schema/json/broadcast-command.v2.schema.json. Change those."""

import re
from datetime import datetime
from typing import Literal, NotRequired, TypedDict

# Who asks for the broadcast. Characters: at least 1, at most 256.
Actor = str

# Characters: at most 254.
Address = str

# An audience that the producer's configuration names. Matches ^[A-Za-z0-9_-]{1,64}$
AudienceName = str

# Why, for the audit trail. Characters: at least 1, at most 512.
Reason = str

# Chosen by the app; the same id is the same broadcast. Matches ^[A-Za-z0-9_-]{1,64}$
BroadcastId = str

CanaryShare = TypedDict(
    "CanaryShare",
    {
        # This share of the audience, by a hash of each key: the same people whenever it is asked, and others
        # for another broadcast.
        "share": float,
    },
)

# The value of the audience's key column. Characters: at least 1, at most 256.
RecipientKey = str

CanaryKeys = TypedDict(
    "CanaryKeys",
    {
        # Those of the audience who have these keys.
        "keys": list[RecipientKey],
    },
)

Canary = int | CanaryShare | CanaryKeys

# Who lets a broadcast go on after its canary.
CanaryApproval = Literal["operator", "evidence"]

# What a broadcast is to those who get it.
Class = Literal["legal_notice", "service", "marketing"]

# Text with {{placeholders}}, each the name of a column of the audience. From version 2 on also {{name
# | "default"}} and {{#if name}}…{{else}}…{{/if}}.
Template = str

# The words of a letter.
ContentInlineInline = TypedDict(
    "ContentInlineInline",
    {
        "html": NotRequired[Template],
        "subject": Template,
        "text": NotRequired[Template],
    },
)

# The words themselves. At least one of `text` and `html`.
ContentInline = TypedDict(
    "ContentInline",
    {
        # The words of a letter.
        "inline": ContentInlineInline,
    },
)

# A template stored in SES. Matches ^[A-Za-z0-9_-]{1,64}$
TemplateName = str

# SHA-256 of a template, in hexadecimal. Matches ^[0-9a-f]{64}$
TemplateHash = str

ContentTemplateTemplate = TypedDict(
    "ContentTemplateTemplate",
    {
        "name": TemplateName,
        # The SHA-256 that `issei preview` and `send` show of it: where the template says something else when
        # the broadcast is registered, the command is refused. New in version 2.
        "sha256": NotRequired[TemplateHash],
    },
)

# A template stored in SES. It gets every column `name` as it is and as `html_name`, escaped for HTML,
# since SES itself escapes nothing.
ContentTemplate = TypedDict(
    "ContentTemplate",
    {
        "template": ContentTemplateTemplate,
    },
)

# A column of the audience. Matches ^[A-Za-z_][A-Za-z0-9_]{0,63}$
Column = str

# A value of the column. Characters: at least 1, at most 64.
VariantName = str

# The words of a letter.
VariantsOfValue = TypedDict(
    "VariantsOfValue",
    {
        "html": NotRequired[Template],
        "subject": Template,
        "text": NotRequired[Template],
    },
)

# Words by the value of a column.
Variants = TypedDict(
    "Variants",
    {
        # The column that tells whom which words are for.
        "by": Column,
        # The variant for every other value, and for none. Without it, such a row is skipped.
        "fallback": NotRequired[VariantName],
        # The words for each value of the column, compared by its bytes.
        "of": dict[str, VariantsOfValue],
    },
)

# Words by the value of one column, such as `locale` or `role`. New in version 2.
ContentVariants = TypedDict(
    "ContentVariants",
    {
        "variants": Variants,
    },
)

# What a broadcast says: its own words, some for each kind of recipient, or the name of a template
# stored in SES.
Content = ContentInline | ContentTemplate | ContentVariants

Mailbox = str

# What becomes of a recipient of whom nobody knows whether the provider accepted the message.
InDoubtPolicy = Literal["hold", "evidence_retry", "at_least_once"]

# A provider of `[providers]` in the configuration; `ses` is there without. Matches ^[a-z0-9-]{1,32}$
ProviderName = str

# How a broadcast begins whose sender is new to those who receive its mail.
Ramp = TypedDict(
    "Ramp",
    {
        # Recipients in the hour from the first permit on. In each further hour in which it is sent it is
        # twice as many.
        "first_hour": int,
    },
)

# A day of the week.
Day = str

# Days of the week.
Days = list[Day]

# Hours and minutes. Matches ^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$
TimeOfDay = str

# A time zone of the IANA time zone database, such as `Asia/Tokyo`.
ZoneName = str

# Hours of certain days in which a broadcast is sent: whenever the clocks of that place show them, so
# also twice where an hour comes twice.
SendWindow = TypedDict(
    "SendWindow",
    {
        # The days on which it opens.
        "days": Days,
        # When it opens, `HH:MM`.
        "from": TimeOfDay,
        "time_zone": ZoneName,
        # When it closes, `HH:MM` up to `24:00`, on the same day.
        "to": TimeOfDay,
    },
)

# Whom a copy goes to, and the row that it is written from. It stands in for the audience.
TestCopy = TypedDict(
    "TestCopy",
    {
        # The values of the columns that the content names.
        "data": NotRequired[dict[str, str]],
        "row_address": NotRequired[str],
        # Digests of the row's key and address, which `issei test-send` gives, so that whoever is to be
        # forgotten is found here.
        "row_key": NotRequired[str],
        # In the sender's own domain, or among the producer's `test_recipients`.
        "to": Address,
    },
)

# By the https URL in this column of the audience.
UnsubscribeColumn = TypedDict(
    "UnsubscribeColumn",
    {
        # Characters: at least 1.
        "column": str,
    },
)

# A key of `[unsubscribe_keys]` in the configuration. Matches ^[A-Za-z0-9_-]{1,32}$
UnsubscribeKeyId = str

# By this link, with a token that is signed under the key of this name.
UnsubscribeUrl = TypedDict(
    "UnsubscribeUrl",
    {
        "key": UnsubscribeKeyId,
        # An https URL with {{token}} in its path or query. Characters: at most 256. Matches
        # ^https://[^#]*\{\{token\}\}[^#]*$
        "url": str,
    },
)

# How a recipient unsubscribes with one click.
Unsubscribe = UnsubscribeColumn | UnsubscribeUrl

# Asks for one broadcast. Sending it twice asks for the same broadcast twice, which is one.
BroadcastCommand = TypedDict(
    "BroadcastCommand",
    {
        # Why the same content, or the same subject, goes to this audience once more. Without it, what another
        # broadcast has said to the audience within 30 days is refused.
        "again": NotRequired[Reason],
        "audience": AudienceName,
        # Chosen by the app. The same id with the same command is the same broadcast; the same id with
        # anything else changed is refused.
        "broadcast_id": BroadcastId,
        # Sends to some recipients first, then holds: to this many, or from version 2 on to a share of the
        # audience or to those who have certain keys.
        "canary": NotRequired[Canary],
        # Who lets the broadcast go on after its canary.
        "canary_approval": NotRequired[CanaryApproval],
        # What the broadcast is to those who get it; `marketing` needs `unsubscribe`, and an audience that
        # says who wants it. Needed in version 2, where it is new; a command of version 1 is read as
        # `service`.
        "class": Class,
        "content": Content,
        # The day from which what is announced binds, and before which everybody is to be told. Nothing is
        # sent or kept back by it: what can't be done before is told beforehand and while it runs, and
        # afterwards who was told in time. New in version 2.
        "effective_at": NotRequired[str],
        "from": Mailbox,
        # Once the audience is read, judged and frozen, holds before the first send until an operator
        # approves. For whoever can't read the audience from where they ask.
        "hold": NotRequired[bool],
        "in_doubt": NotRequired[InDoubtPolicy],
        # The budget: an audience with more mailable recipients is refused before the first send.
        "max_recipients": int,
        # The command is refused, and no further send begins, after this moment. At most 72 hours ahead, or 14
        # days where `not_before` or `send_window` is given.
        "not_after": str,
        # Nothing is sent before this moment. The audience is frozen at once. New in version 2.
        "not_before": NotRequired[str],
        # Who carries the broadcast, from its first mail to its last: a provider that the configuration names,
        # or `ses`, which is meant where nothing is said. New in version 2.
        "provider": NotRequired[ProviderName],
        # Sends to so many in the first hour, and to twice as many in each further one, until the account's
        # rate is reached. New in version 2.
        "ramp": NotRequired[Ramp],
        "reply_to": NotRequired[Mailbox],
        "requested_by": Actor,
        # Sends within these hours alone, and waits outside of them. New in version 2.
        "send_window": NotRequired[SendWindow],
        # A copy of the letter instead of a broadcast to the audience: one mail, marked as one. New in version
        # 2.
        "test_copy": NotRequired[TestCopy],
        # How a recipient unsubscribes with one click: each mail carries `List-Unsubscribe` and
        # `List-Unsubscribe-Post`, and `{{unsubscribe_url}}` in the content is the same URL. New in version 2.
        "unsubscribe": NotRequired[Unsubscribe],
        # Version 2, which has a class.
        "version": Literal[2],
    },
)

# What `build` makes a command of: the same fields without a version.
Fields = TypedDict(
    "Fields",
    {
        "again": NotRequired[Reason],
        "audience": AudienceName,
        "broadcast_id": BroadcastId,
        "canary": NotRequired[Canary],
        "canary_approval": NotRequired[CanaryApproval],
        "class": Class,
        "content": Content,
        "effective_at": NotRequired[str],
        "from": Mailbox,
        "hold": NotRequired[bool],
        "in_doubt": NotRequired[InDoubtPolicy],
        "max_recipients": int,
        "not_after": str | datetime,
        "not_before": NotRequired[str],
        "provider": NotRequired[ProviderName],
        "ramp": NotRequired[Ramp],
        "reply_to": NotRequired[Mailbox],
        "requested_by": Actor,
        "send_window": NotRequired[SendWindow],
        "test_copy": NotRequired[TestCopy],
        "unsubscribe": NotRequired[Unsubscribe],
    },
)

# The fields of a command, and those that it must have.
FIELDS = [
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
]
REQUIRED = [
    "audience",
    "broadcast_id",
    "class",
    "content",
    "from",
    "max_recipients",
    "not_after",
    "requested_by",
    "version",
]
BROADCAST_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}\Z")
# Bytes of one command, as JSON in UTF-8.
COMMAND_BYTES_MAX = 327680
