//! Limits of the messages, each with its reason. All sizes are bytes of JSON unless said otherwise.

/// Recipients in one chunk: `SendBulkEmail` takes 50 destinations at most
/// (SES API v2 reference, `SendBulkEmail`).
pub const CHUNK_RECIPIENTS_MAX: usize = 50;

/// One chunk message. Ten of them, the most that `SendMessageBatch` takes, stay well under the
/// 1 MiB that one batch may hold, and one is billed as a single 64 KiB request by SQS.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// One recipient with its template data, so that any recipient fits a chunk and any chunk a page.
pub const RECIPIENT_BYTES_MAX: usize = 16 * 1024;

/// One command. The ledger keeps it as one DynamoDB item (400 KB at most), so this leaves room.
pub const COMMAND_BYTES_MAX: usize = 320 * 1024;

/// Subject, text and HTML together: every `SendBulkEmail` call carries them once.
pub const CONTENT_BYTES_MAX: usize = 256 * 1024;

/// The subject alone. RFC 5322 section 2.1.1 allows 998 characters in a line.
pub const SUBJECT_BYTES_MAX: usize = 900;

/// A broadcast's id, which becomes an SES tag value (256 at most there) and part of a ledger key.
pub const ID_BYTES_MAX: usize = 64;

/// A provider's name.
pub const PROVIDER_BYTES_MAX: usize = 32;

/// A recipient's key (the value of the audience's key column).
pub const KEY_BYTES_MAX: usize = 256;

/// Keys that a canary names. They are people who look at what they get; more of them are a share.
pub const CANARY_KEYS_MAX: usize = 1_000;

/// A reason in a command. The audit trail keeps 1,000 bytes of what it is told.
pub const REASON_BYTES_MAX: usize = 512;

/// A URL to unsubscribe, in a header of its own. SES takes 996 characters of name and value together (SES API v2
/// reference, `MessageHeader`), and a line of mail has 998 (RFC 5322 section 2.1.1).
pub const UNSUBSCRIBE_URL_BYTES_MAX: usize = 850;

/// A link that a token is put into, which has 527 characters at most.
pub const UNSUBSCRIBE_LINK_BYTES_MAX: usize = 256;

/// The name of a key, which stands in every token.
pub const UNSUBSCRIBE_KEY_ID_BYTES_MAX: usize = 32;

/// A key that signs tokens: as long as what it makes (RFC 2104 section 3).
pub const UNSUBSCRIBE_KEY_BYTES_MIN: usize = 32;

/// An address: RFC 5321 section 4.5.3.1.3 allows a path of 256 octets with its angle brackets.
pub const ADDRESS_BYTES_MAX: usize = 254;

/// How far ahead `not_after` may lie, in hours. A command is an order for now; an old one that
/// turns up again must find its time over.
pub const NOT_AFTER_HOURS_MAX: i64 = 72;

/// How far ahead it may lie where the command says when to send, in hours: two weeks, so that a notice can be frozen and
/// approved a week before the week in which it is sent. SQS keeps no message longer (14 days; API reference,
/// `SetQueueAttributes`), so neither a command that lies in a queue nor its dead letter outlives its time by much.
pub const SCHEDULED_HOURS_MAX: i64 = 14 * 24;
