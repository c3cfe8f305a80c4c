//! The alterations: of every attribute of every item, each alone, and what the certificate says of it.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::desk::Change::{self, Copied, Gone, Set, Swapped, Unset};
use crate::desk::Kind::{self, Done, Doubt, Forgot, Halted};
use crate::hand::{
    another_ending, doubt, entries, insert_step, letter, n, named, numbers_in, packed, plus, put, s, texts_in, within, without, words,
};

/// What the certificate says of an alteration.
pub(crate) enum Shows {
    /// A finding names it so.
    As(&'static str),
    /// Nothing, for this reason.
    Not(&'static str),
}
use Shows::{As, Not};

pub(crate) struct Alteration {
    pub(crate) kind: Kind,
    pub(crate) what: &'static str,
    pub(crate) changes: Vec<Change>,
    pub(crate) shows: Shows,
}

/// All of them.
pub(crate) fn table() -> Vec<Alteration> {
    let mut all = Vec::new();
    let mut add = |kind, what, changes: Vec<Change>, shows| all.push(Alteration { kind, what, changes, shows });
    broadcast(&mut add);
    numbers(&mut add);
    trail(&mut add);
    around(&mut add);
    pages(&mut add);
    forgotten(&mut add);
    chunks(&mut add);
    elsewhere(&mut add);
    stripped(&mut add);
    events(&mut add);
    log(&mut add);
    halted(&mut add);
    runs(&mut add);
    all
}

type Add<'a> = dyn FnMut(Kind, &'static str, Vec<Change>, Shows) + 'a;

fn broadcast(add: &mut Add<'_>) {
    let b = "broadcast";
    add(Done, "the broadcast is gone", vec![Gone(b)], As("no certificate"));
    add(Done, "another id in the broadcast", vec![Set(b, "broadcast_id", |_| s("doubt"))], As("its id: doubt"));
    add(Done, "another broadcast under its key", vec![Set(b, "command_hash", |_| s(&"0".repeat(64)))], As("command_hash 0000"));
    let resend = |_: Option<&AttributeValue>| AttributeValue::M([("provider".to_owned(), s("Resend"))].into());
    add(Done, "another provider that carried it", vec![Set(b, "carried_by", resend)], As("provider ses: its account"));
    let account = |_: Option<&AttributeValue>| {
        AttributeValue::M([("kind".to_owned(), s("ses")), ("account".to_owned(), s("aws:999999999999"))].into_iter().collect())
    };
    add(Done, "another account of SES that carried it", vec![Set(b, "carried_by", account)], As("ANOTHER ACCOUNT"));
    add(
        Done,
        "an agreement that nobody was asked for",
        vec![Set(b, "agreement", |_| {
            let requesters = AttributeValue::L(Vec::new());
            AttributeValue::M(
                [("persons", n(2)), ("from_recipients", n(1_000)), ("requesters", requesters), ("others", n(2))]
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
            )
        })],
        Not("whether a smaller audience would have needed one is the producer's own setting; nothing goes by it"),
    );
    add(
        Done,
        "a resend that never was",
        vec![Set(b, "resent_as", |_| s("rest"))],
        Not("it is noted before the other is sent, which may never be; it keeps a second resend from being made, and no more"),
    );
    add(Done, "nobody who carried it", vec![Unset(b, "carried_by")], Not("an older build registers nobody"));
    add(Done, "another audience", vec![Set(b, "audience", |_| s("staff"))], As("audience is staff"));
    add(Done, "a larger budget", vec![Set(b, "max_recipients", |v| plus(v, 1))], As("max_recipients is"));
    add(Done, "a canary that never was", vec![Set(b, "canary", |_| n(10))], As("canary is 10"));
    add(Done, "who approves the canary", vec![Set(b, "canary_approval", |_| s("evidence"))], As("canary_approval is Evidence"));
    add(Done, "another policy", vec![Set(b, "in_doubt", |_| s("at_least_once"))], As("in_doubt is AtLeastOnce"));
    add(Done, "another time limit", vec![Set(b, "not_after", |_| s("2020-01-01T00:00:00Z"))], As("not_after is 2020"));
    add(Done, "created earlier", vec![Set(b, "created_at", |_| s("2026-01-01T00:00:00Z"))], As("created_at is 2026-01-01"));
    add(
        Done,
        "stopped, though complete",
        vec![Set(b, "broadcast_state", |_| s("stopped"))],
        As("leads to complete, and the broadcast is stopped"),
    );
    add(
        Halted,
        "complete, though stopped",
        vec![Set(b, "broadcast_state", |_| s("complete"))],
        As("leads to stopped, and the broadcast is complete"),
    );
    add(Done, "running again", vec![Set(b, "broadcast_state", |_| s("running"))], As("broadcast: state"));
    add(Done, "a time to live on the broadcast", vec![Set(b, "expires_at", |_| n(4_000_000_000_u64))], As("`broadcast` may be deleted"));
}

fn numbers(add: &mut Add<'_>) {
    let b = "broadcast";
    add(Done, "epoch 0", vec![Set(b, "epoch", |_| n(0))], As("epoch 0"));
    add(Done, "an epoch that no step led to", vec![Set(b, "epoch", |_| n(99))], As("epoch 99"));
    add(
        Done,
        "an epoch more",
        vec![Set(b, "epoch", |v| plus(v, 1))],
        Not("a recount makes a new epoch and leaves no entry; once it is over nothing goes by it"),
    );
    add(Done, "more remaining", vec![Set(b, "remaining", |v| plus(v, 1))], As("remaining"));
    add(Done, "some withheld", vec![Set(b, "withheld", |_| n(5))], As("withheld"));
    add(Done, "fewer granted", vec![Set(b, "granted", |v| plus(v, -1))], As("granted"));
    add(Done, "more granted", vec![Set(b, "granted", |v| plus(v, 1))], As("granted"));
    add(Done, "no grant", vec![Set(b, "grant_count", |_| n(0))], As("grant_count is 0"));
    add(
        Done,
        "more grants",
        vec![Set(b, "grant_count", |v| plus(v, 7))],
        Not("how many blocks the permits came in follows from nothing; once it is over nothing goes by it"),
    );
    add(
        Done,
        "asked again at SES",
        vec![Set(b, "asked_again", |_| n(1))],
        Not(
            "which providers remember keys stands in no ledger; no more repeats than grants are believed, and once it is over nothing goes by it",
        ),
    );
    add(
        Done,
        "reopenings that never were",
        vec![Set(b, "reopenings", |v| plus(v, 3))],
        Not("evidence reopens and takes back, and both leave no entry; once it is over nothing goes by it"),
    );
    add(Done, "a smaller chunk size", vec![Set(b, "marked_chunk_recipients", |_| n(5))], As("chunk_size is 5"));
    add(Done, "a larger chunk size", vec![Set(b, "marked_chunk_recipients", |_| n(20))], As("chunk_size is 20"));
    add(Done, "the chunk size under its old name too", vec![Set(b, "chunk_size", |_| n(10))], As("duplicate field"));
    add(Done, "no number of partitions", vec![Unset(b, "shards")], As("accepted is 99, and 40 are counted"));
    add(Done, "more partitions", vec![Set(b, "shards", |v| plus(v, 1))], As("accepted is 99, and 40 are counted"));
    add(Done, "fewer partitions", vec![Set(b, "shards", |v| plus(v, -1))], As("page#00000003 can't be read: it is not there"));
    add(Done, "a number of partitions that no build writes", vec![Set(b, "shards", |_| n(0))], As("1 to 100 are possible"));
    add(Done, "a page fewer", vec![Set(b, "pages", |v| plus(v, -1))], As("chain"));
    add(Done, "a page more", vec![Set(b, "pages", |v| plus(v, 1))], As("page#00000004 can't be read: it is not there"));
    add(Done, "nothing enqueued", vec![Set(b, "enqueued_pages", |_| n(0))], As("enqueued_pages is 0 of 4"));
    add(Done, "a chunk more", vec![Set(b, "chunks", |v| plus(v, 1))], As("chunks is 11"));
    add(Done, "a recipient more", vec![Set(b, "recipients", |v| plus(v, 1))], As("recipients is 100"));
    add(Done, "nobody skipped", vec![Set(b, "skipped", |_| n(0))], As("skipped is 0"));
    add(Done, "another skipped for a reason", vec![Set(b, "skipped_by", |v| within(v, "no_address", 1))], As("skipped_by says 2"));
    add(
        Done,
        "nobody skipped for a reason",
        vec![Set(b, "skipped_by", |v| within(v, "no_address", -1))],
        Not("what an older build froze is not counted by reason; the pages hold the reasons"),
    );
    add(Done, "chunks of a canary", vec![Set(b, "canary_chunks", |_| n(1))], As("canary_chunks is 1"));
    add(Done, "another head of the chain", vec![Set(b, "chain", |_| s(&"0".repeat(64)))], As("head of the broadcast's chain"));
    add(Done, "another cursor", vec![Set(b, "last_key", |_| s("zzz"))], As("last_key"));
    add(Done, "a row that was not counted", vec![Set(b, "reading", |v| within(v, "counted", 1))], As("101 counted by the source"));
    add(Done, "a row that was not frozen", vec![Set(b, "reading", |v| within(v, "rows", 1))], As("101 rows read"));
    add(
        Done,
        "another reading",
        vec![Set(b, "reading", |v| within(v, "readings", 1))],
        Not("how often the source was read stands nowhere else; with more than one reading, fewer rows frozen than read are possible"),
    );
    add(Done, "a repeated key that was not skipped", vec![Set(b, "reading", |v| within(v, "repeated", 1))], As("audience: as it was read"));
    add(Done, "a key with rows that differ", vec![Set(b, "reading", |v| within(v, "differing", 1))], As("audience: as it was read"));
    add(
        Done,
        "another count of trimmed addresses",
        vec![Set(b, "reading", |v| within(v, "trimmed", 1))],
        Not("how addresses were written in the source is not frozen; nothing goes by it"),
    );
    add(
        Done,
        "how many want no marketing",
        vec![Set(b, "reading", |v| named(v, "left_out", n(7)))],
        Not("nothing of a row that is none of the audience's is frozen; nothing goes by it"),
    );
    add(
        Done,
        "another file",
        vec![Set(b, "reading", |v| named(v, "digest", s("0")))],
        Not("the file is the customer's; once its audience is frozen nothing goes by it"),
    );
    add(Done, "no totals", vec![Unset(b, "totals")], As("own totals: none"));
    add(Done, "totals: accepted", vec![Set(b, "totals", |v| within(v, "accepted", 1))], As("accepted is 100"));
    add(Done, "totals: rejected", vec![Set(b, "totals", |v| within(v, "rejected", 1))], As("rejected is 1"));
    add(Done, "totals: spared", vec![Set(b, "totals", |v| within(v, "spared", 1))], As("spared is 1"));
    add(Done, "totals: retryable", vec![Set(b, "totals", |v| within(v, "retryable", 1))], As("retryable is 1"));
    add(Doubt, "totals: in doubt", vec![Set(b, "totals", |v| within(v, "in_doubt", -1))], As("in_doubt is 9"));
    add(Done, "totals: delivered", vec![Set(b, "totals", |v| within(v, "delivered", -1))], As("delivered is 98"));
    add(Done, "totals: bounced", vec![Set(b, "totals", |v| within(v, "bounced", 1))], As("bounced is 1"));
    add(Done, "totals: complained", vec![Set(b, "totals", |v| within(v, "complained", 1))], As("complained is 1"));
    add(
        Done,
        "totals: the fingerprint of events",
        vec![Set(b, "totals", |v| named(v, "events_fingerprint", s("0")))],
        As("events_fingerprint"),
    );
    add(
        Done,
        "totals: the fingerprint of chunks",
        vec![Set(b, "totals", |v| named(v, "chunks_fingerprint", s("0")))],
        As("chunks_fingerprint"),
    );
    add(Done, "totals: turned away", vec![Set(b, "totals", |v| within(v, "turned_away", 1))], As("turned_away is 1"));
    add(
        Done,
        "totals: nobody counted as turned away",
        vec![Set(b, "totals", |v| without(v, "turned_away"))],
        As("turned_away: there is none"),
    );
    add(Done, "totals: delayed", vec![Set(b, "totals", |v| within(v, "delayed", 1))], As("delayed is 1"));
    add(Done, "totals: suppressed", vec![Set(b, "totals", |v| within(v, "suppressed", 1))], As("suppressed is 1"));
    add(Done, "totals: not rendered", vec![Set(b, "totals", |v| within(v, "not_rendered", 1))], As("not_rendered is 1"));
}

fn trail(add: &mut Add<'_>) {
    let (b, t) = ("broadcast", "audit_trail");
    add(
        Done,
        "held before its first send",
        vec![Set(b, "held_before_send", |_| AttributeValue::Bool(true))],
        As("held_before_send is true"),
    );
    add(Done, "no trail", vec![Set(b, t, |v| entries(v, Vec::clear))], As("it is empty"));
    add(Done, "the last entry gone", vec![Set(b, t, |v| entries(v, |e| drop(e.pop())))], As("leads to running"));
    add(Done, "the first entry gone", vec![Set(b, t, |v| entries(v, |e| drop(e.remove(0))))], As("it begins with"));
    add(
        Done,
        "another author",
        vec![Set(b, t, |v| entries(v, |e| put(&mut e[0], "actor", "somebody else")))],
        As("it begins with `enumerating` by somebody else"),
    );
    add(
        Done,
        "another last step",
        vec![Set(b, t, |v| entries(v, |e| put(&mut e[2], "step", "running -> stopping")))],
        As("leads to stopping"),
    );
    add(
        Done,
        "a step that there is not",
        vec![Set(b, t, |v| entries(v, |e| put(&mut e[1], "step", "enumerating -> complete")))],
        As("is no step"),
    );
    add(
        Done,
        "a state that there is not",
        vec![Set(b, t, |v| entries(v, |e| put(&mut e[1], "step", "enumerating -> asleep")))],
        As("a state that there is not"),
    );
    add(
        Done,
        "an entry moved back in time",
        vec![Set(b, t, |v| entries(v, |e| put(&mut e[2], "at", "2020-01-01T00:00:00Z")))],
        As("entry 3 is of 2020"),
    );
    add(
        Done,
        "an entry of the future",
        vec![Set(b, t, |v| entries(v, |e| put(&mut e[2], "at", "2120-01-01T00:00:00Z")))],
        As("entry 3 is of 2120"),
    );
    add(Done, "two entries swapped", vec![Set(b, t, |v| entries(v, |e| e.swap(1, 2)))], As("is no step"));
    add(Done, "a pause that never was", vec![Set(b, t, |v| entries(v, |e| insert_step(e, 2, "running -> paused")))], As("is no step"));
    add(
        Done,
        "another reason",
        vec![Set(b, t, |v| entries(v, |e| put(&mut e[1], "reason", "all is well")))],
        As("is not what was written"),
    );
    add(Done, "another hand", vec![Set(b, t, |v| entries(v, |e| put(&mut e[2], "actor", "nobody")))], As("is not what was written"));
    add(Done, "an entry of no chain", vec![Set(b, t, |v| entries(v, |e| put(&mut e[1], "link", "")))], As("entry 2 is of 1970"));
    add(Done, "an entry more in the chain", vec![Set(b, "audit_count", |v| plus(v, 1))], As("the broadcast counts 4"));
    add(Done, "another head of the trail", vec![Set(b, "audit_head", |_| s(&"0".repeat(64)))], As("or their hashes differ"));
    add(Done, "no chain of the trail", vec![Unset(b, "audit_head"), Unset(b, "audit_count")], As("or their hashes differ"));
}

fn around(add: &mut Add<'_>) {
    add(
        Done,
        "another command",
        vec![Set("command", "body", |_| AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([0_u8; 9])))],
        As("command: as it was registered"),
    );
    add(Done, "no command", vec![Gone("command")], As("b#done command"));
    add(Done, "a time to live on the command", vec![Set("command", "expires_at", |_| n(1))], As("`command` may be deleted"));
    add(Done, "not known", vec![Gone("known")], As("not in the list `known`"));
    add(Done, "a time to live in the list", vec![Set("known", "expires_at", |_| n(1))], As("`known` may be deleted"));
    add(Done, "open again", vec![Set("open", "command_hash", |_| s("0"))], As("in the list `open`"));
    add(Done, "told of more", vec![Set("told", "told", |v| plus(v, 1))], Not("it only has the totals counted once more"));
    add(Done, "told of nothing", vec![Gone("told")], Not("it only has the totals counted once more"));
    let no_part = "whether another broadcast may say the same is no part of one that is over";
    add(Done, "said by nobody", vec![Gone("said")], Not(no_part));
    add(
        Done,
        "said by others",
        vec![Set("said", "written_by", |_| s("x")), Set("said", "by", |_| AttributeValue::L(Vec::new()))],
        Not(no_part),
    );
    add(
        Done,
        "closed for new ones",
        vec![Set("closing", "reason", |_| s("x"))],
        Not("whether new broadcasts may begin is no part of one that is over"),
    );
    add(
        Done,
        "a moment of the timeline",
        vec![Set("timeline#0000000010", "accepted", |_| n(5))],
        Not("counts for people to watch; nothing is decided or certified by them"),
    );
    add(
        Done,
        "progress",
        vec![Set("progress#99", "accepted", |_| n(5))],
        Not("counts for people to watch; nothing is decided or certified by them"),
    );
    add(
        Done,
        "an epoch of the ledger more",
        vec![Set("lineage", "ledger_epoch", |v| plus(v, 1))],
        Not("a new epoch's tag is written after it; services of the old one are named while they live"),
    );
    add(Done, "a start fewer", vec![Set("lineage", "starts", |v| plus(v, -1))], As("its lineage"));
    add(
        Done,
        "a start more",
        vec![Set("lineage", "starts", |v| plus(v, 1))],
        Not("the mirror is written after the count, so a count that is ahead is a start that broke off"),
    );
    add(Done, "another table's id", vec![Set("lineage", "table_id", |_| s("another"))], As("its lineage"));
    add(Done, "no lineage", vec![Gone("lineage")], As("its lineage"));
}

fn pages(add: &mut Add<'_>) {
    let p = "page#00000001";
    add(Done, "a page gone", vec![Gone(p)], As("page#00000001 can't be read: it is not there"));
    add(Done, "a page's content", vec![Copied("page#00000002", p)], As("page#00000001"));
    add(Done, "a page's hash", vec![Set(p, "page_hash", |_| s(&"0".repeat(64)))], As("page#00000001"));
    add(Done, "the hash before", vec![Set(p, "previous_hash", |_| s(&"0".repeat(64)))], As("page#00000001"));
    add(Done, "a page's content gone", vec![Unset(p, "salted_body")], As("page#00000001"));
    add(Done, "a tombstone counted that is not there", vec![Set(p, "forgotten", |_| n(1))], As("page#00000001"));
    add(Done, "a page that expires at once", vec![Set(p, "expires_at", |_| n(1))], As("page 1 may be deleted"));
    add(Done, "a page that expires within days", vec![Set(p, "expires_at", |v| plus(v, -80 * 86_400))], As("page 1 may be deleted"));
    add(Done, "a page that never expires", vec![Unset(p, "expires_at")], As("page 1 has no expires_at"));
    add(Done, "two pages swapped", vec![Swapped(p, "page#00000002")], As("page#00000001"));
    add(Done, "a page beyond the last", vec![Copied(p, "page#00000004")], As("a page beyond the last"));
}

fn forgotten(add: &mut Add<'_>) {
    let (b, p, body, t) = ("broadcast", "page#00000001", "salted_body", "audit_trail");
    let sealed = "the tombstones of page 1 are not as they were sealed";
    add(
        Forgot,
        "forgotten at another time",
        vec![Set(p, body, |v| packed(v, |b| tombstone(b)["at"] = "2020-01-01T00:00:00Z".into()))],
        As(sealed),
    );
    add(Forgot, "somebody else forgotten", vec![Set(p, body, |v| packed(v, |b| tombstone(b)["key"] = "0".repeat(32).into()))], As(sealed));
    add(
        Forgot,
        "no seal of tombstones",
        vec![Set(p, body, |v| packed(v, |b| drop(b["salted"].as_object_mut().unwrap().remove("seal"))))],
        As(sealed),
    );
    add(
        Forgot,
        "another commitment",
        vec![Set(p, body, |v| packed(v, |b| tombstone(b)["commitment"] = "0".repeat(64).into()))],
        As("page#00000001"),
    );
    add(
        Forgot,
        "a tombstone gone",
        vec![
            Set(p, body, |v| packed(v, |b| drop(b["salted"]["forgotten"].as_array_mut().unwrap().remove(0)))),
            Set(p, "forgotten", |_| n(1)),
        ],
        As("page#00000001"),
    );
    add(
        Forgot,
        "somebody else in the place of a tombstone",
        vec![Set(p, body, |v| packed(v, |b| b["chunks"][0][0] = b["chunks"][0][1].clone()))],
        As("page#00000001"),
    );
    add(
        Forgot,
        "hidden behind a tombstone of a row that counts",
        vec![Set(p, body, |v| packed(v, |b| b["chunks"][0][1] = serde_json::Value::Null))],
        As("page#00000001"),
    );
    add(Forgot, "one more forgotten", vec![Set(b, "forgotten", |v| plus(v, 1))], As("the broadcast counts 2 forgotten"));
    add(Forgot, "nobody forgotten", vec![Unset(b, "forgotten")], As("the broadcast counts 0 forgotten"));
    add(Forgot, "an end that is not kept", vec![Set(b, "ending", |v| entries(v, Vec::clear))], As("`ending`"));
    add(
        Forgot,
        "another end",
        vec![Set(b, "ending", |v| entries(v, |e| put(&mut e[0], "reason", "all is well")))],
        As("has entries that the audit trail has not"),
    );
    add(
        Forgot,
        "another count in the trail",
        vec![Set(b, t, |v| entries(v, |e| put(e.last_mut().unwrap(), "step", "forgot 2 of page 1")))],
        As("by the audit trail 2 were forgotten"),
    );
    add(Done, "somebody forgotten who was not", vec![Set(b, "forgotten", |_| n(1))], As("the broadcast counts 1 forgotten"));
    add(Done, "an end kept beside the trail", vec![Set(b, "ending", |_| AttributeValue::L(Vec::new()))], Not("it says nothing"));
}

fn tombstone(body: &mut serde_json::Value) -> &mut serde_json::Value {
    &mut body["salted"]["forgotten"][0]
}

fn chunks(add: &mut Add<'_>) {
    let c = "chunk#00000003";
    add(Done, "a chunk gone", vec![Gone(c)], As("events of chunk 3"));
    add(Done, "a chunk gone with its events", vec![Gone(c), Gone("feedback#00000003")], As("outcomes: of everybody"));
    add(Done, "a chunk not confirmed", vec![Set(c, "chunk_state", |_| s("claimed"))], As("chunk 3 was never confirmed"));
    add(Done, "a state that no chunk has", vec![Set(c, "chunk_state", |_| s("sent"))], As("chunk#00000003"));
    add(Done, "no attempt", vec![Set(c, "attempt", |_| n(0))], As("its attempt is 0"));
    add(Done, "claimed in another year", vec![Set(c, "claimed_at", |_| n(1_000_000_000_000_u64))], As("chunk 3 was claimed at 2001"));
    add(Done, "a lease of years", vec![Set(c, "lease_until", |_| n(4_000_000_000_000_u64))], As("lease_until"));
    add(
        Done,
        "accepted turned in doubt",
        vec![Set(c, "outcomes", |v| letter(v, 4, "d"))],
        As("chunk 3, recipient 4 is InDoubt with a message id"),
    );
    add(Done, "accepted turned rejected", vec![Set(c, "outcomes", |v| letter(v, 4, "r"))], As("chunk 3, recipient 4"));
    add(Doubt, "in doubt turned rejected", vec![Set("chunk#doubt", "outcomes", |v| doubt(v, "r"))], As("rejected"));
    add(Doubt, "in doubt turned accepted", vec![Set("chunk#doubt", "outcomes", |v| doubt(v, "a"))], As("the seal of chunk"));
    add(Done, "an outcome too many", vec![Set(c, "outcomes", |_| s("aaaaaaaaaaa"))], As("chunk 3 has 11 outcomes"));
    add(Done, "a letter that there is not", vec![Set(c, "outcomes", |v| letter(v, 4, "x"))], As("chunk#00000003"));
    add(Done, "a message id changed", vec![Set(c, "message_ids", |v| letter(v, 3, "~"))], As("accepted twice"));
    add(Done, "two message ids swapped", vec![Set(c, "message_ids", |v| words(v, |w| w.swap(0, 1)))], As("accepted twice"));
    add(Done, "no message ids", vec![Unset(c, "message_ids")], As("the seal of chunk 3"));
    add(Done, "one message id for two", vec![Set(c, "message_ids", |v| words(v, |w| w[1] = w[0].clone()))], As("one message id for two"));
    add(Done, "another page", vec![Set(c, "page", |v| plus(v, 1))], As("chunk 3 names page"));
    add(Done, "reopened under hold", vec![Set(c, "reopened_at", |_| n(1_790_000_000_000_u64))], As("reopened_at"));
    add(Done, "a chunk that expires at once", vec![Set(c, "expires_at", |_| n(1))], As("chunk 3 may be deleted"));
    add(Done, "a chunk that never expires", vec![Unset(c, "expires_at")], As("chunk 3 has no expires_at"));
    add(Done, "two chunks swapped", vec![Swapped(c, "chunk#00000004")], As("accepted twice"));
    add(Done, "a chunk beyond the last", vec![Copied(c, "chunk#00000012")], As("chunk 12 of 10"));
    add(Done, "a chunk far beyond the last", vec![Copied(c, "chunk#00000030")], As("chunk 30 of 10"));
    add(Done, "an attempt more", vec![Set(c, "attempt", |v| plus(v, 1))], As("chunks_fingerprint"));
    add(Done, "claimed a second later", vec![Set(c, "claimed_at", |v| plus(v, 1_000))], As("chunks_fingerprint"));
    add(Done, "another owner", vec![Set(c, "owner_token", |_| s("somebody"))], As("the seal of chunk 3"));
}

/// Copies of a chunk where no build looks for any.
fn elsewhere(add: &mut Add<'_>) {
    let c = "chunk#00000003";
    add(Done, "a chunk in the broadcast's own partition", vec![Copied(c, "astray")], As("and no build looks there"));
    add(Done, "a chunk in a partition that it has not", vec![Copied(c, "beyond")], As("and no build looks there"));
    add(Done, "a chunk in another partition than its own", vec![Copied(c, "misplaced")], As("where it does not belong"));
}

/// As if an older build had written it.
fn stripped(add: &mut Add<'_>) {
    let (b, c) = ("broadcast", "chunk#00000003");
    add(Done, "no seal", vec![Unset(c, "seal")], As("chunk 3 has no seal"));
    add(
        Done,
        "no seal, and an owner who leaves no mark",
        vec![Unset(c, "seal"), Set(c, "owner_token", |_| s("somebody"))],
        As("chunk 3 has no seal, and everybody who took part"),
    );
    add(
        Doubt,
        "in doubt turned accepted without its seal",
        vec![Set("chunk#doubt", "outcomes", |v| doubt(v, "a")), Unset("chunk#doubt", "seal")],
        As("has no seal"),
    );
    add(Halted, "no seal after a stop", vec![Unset("chunk#sent", "seal")], As("has no seal"));
    add(Done, "no key", vec![Unset(b, "message_key")], As("the broadcast has no key"));
    add(
        Done,
        "another key",
        vec![Set(b, "message_key", |_| AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([7_u8; 32])))],
        As("the seal of chunk"),
    );
    add(
        Done,
        "totals: no fingerprint of events",
        vec![Set(b, "totals", |v| without(v, "events_fingerprint"))],
        As("events_fingerprint: there is none"),
    );
    add(
        Done,
        "totals: no fingerprint of chunks",
        vec![Set(b, "totals", |v| without(v, "chunks_fingerprint"))],
        Not("there is none where a claim was open when it ended, which may have been confirmed since"),
    );
    add(
        Halted,
        "no fingerprint of events after a stop",
        vec![Set(b, "totals", |v| without(v, "events_fingerprint"))],
        As("events_fingerprint: there is none"),
    );
    add(
        Done,
        "no fingerprint of events, and a producer that tells no timeouts",
        vec![Set(b, "totals", |v| without(v, "events_fingerprint")), Unset("run of page", "timings")],
        Not("so does an older build look"),
    );
}

fn events(add: &mut Add<'_>) {
    let f = "feedback#00000003";
    add(Done, "events gone", vec![Gone(f)], As("delivered is 99, and 89 are counted"));
    add(Done, "a delivery gone", vec![Set(f, "delivered", |v| numbers_in(v, |at| drop(at.pop())))], As("delivered is 99"));
    add(Done, "a bounce invented", vec![Set(f, "bounced", |_| AttributeValue::Ns(vec!["2".to_owned()]))], As("bounced is 0"));
    add(Done, "a complaint invented", vec![Set(f, "complained", |_| AttributeValue::Ns(vec!["2".to_owned()]))], As("complained is 0"));
    add(
        Done,
        "an event of nobody",
        vec![Set(f, "delivered", |v| numbers_in(v, |at| at.push("30".to_owned())))],
        As("recipient 30 has the event delivered"),
    );
    add(
        Done,
        "the id of an event changed",
        vec![Set(f, "message_ids", |v| texts_in(v, |ids| another_ending(&mut ids[0])))],
        As("accepted twice"),
    );
    add(Done, "no ids of events", vec![Unset(f, "message_ids")], As("no message id of it"));
    add(
        Done,
        "an id without its event",
        vec![Set(f, "message_ids", |v| texts_in(v, |ids| ids.push("30 0011223344556677".to_owned())))],
        As("and no event"),
    );
    add(Done, "events that expire at once", vec![Set(f, "expires_at", |_| n(1))], As("the events of chunk 3 may be deleted"));
    add(
        Done,
        "a kind of event that changes no count",
        vec![Set(f, "soft_bounced", |_| AttributeValue::Ns(vec!["2".to_owned()]))],
        As("events_fingerprint"),
    );
    add(Done, "what proves no more than others", vec![Unset(f, "sent")], As("events_fingerprint"));
    add(Done, "events swapped", vec![Swapped(f, "feedback#00000004")], As("accepted twice"));
    add(
        Doubt,
        "an event invented for somebody in doubt",
        vec![
            Set("feedback#doubt", "delivered", |_| AttributeValue::Ns(vec!["0".to_owned()])),
            Set("feedback#doubt", "message_ids", |_| AttributeValue::Ss(vec!["0 0011223344556677".to_owned()])),
        ],
        As("accepted is 89, and 90 are counted"),
    );
}

fn bytes(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes))
}

fn log(add: &mut Add<'_>) {
    let (b, l) = ("broadcast", "log");
    add(Forgot, "a batch of the log gone", vec![Gone(l)], As("delivered is 99"));
    add(Forgot, "a log that is not read", vec![Unset(b, "logs_events")], As("delivered is 99"));
    add(Done, "a log where there is none", vec![Set(b, "logs_events", |_| AttributeValue::Bool(true))], Not("it says nothing"));
    add(Forgot, "a bounce put into the log", vec![Set(l, "bounced", |_| bytes(&[4]))], As("bounced is 0"));
    // Place 30 of chunk 3, whose recipients are ten.
    add(Forgot, "an event of nobody in the log", vec![Set(l, "bounced", |_| bytes(&[0xbc, 3]))], As("whose answer named a message"));
    add(Forgot, "a log that no build wrote", vec![Set(l, "delivered", |_| bytes(&[0xff]))], As("the log of events"));
    let shown = "when an event was, and why, is shown and certified by nobody";
    add(Forgot, "when it was delivered", vec![Set(l, "delivered_at", |_| bytes(&[1, 4]))], Not(shown));
    add(Forgot, "why it bounced", vec![Set(l, "reasons", |_| bytes(&[0xff]))], Not(shown));
    add(Forgot, "an event for the sake of its time", vec![Set(l, "evidence_bounced", |_| bytes(&[4]))], Not(shown));
    add(Forgot, "a log that expires at once", vec![Set(l, "expires_at", |_| n(1))], As("the log of events may be deleted"));
}

fn halted(add: &mut Add<'_>) {
    let (b, c, f) = ("broadcast", "chunk#sent", "feedback#sent");
    add(Halted, "events of a chunk that nobody claimed", vec![Copied(f, "feedback#unclaimed")], As("which nobody has claimed"));
    add(Halted, "more remaining after a stop", vec![Set(b, "remaining", |v| plus(v, 1))], As("remaining"));
    add(Halted, "a stop by nobody", vec![Set(b, "audit_trail", |v| entries(v, |e| drop(e.pop())))], As("leads to stopping"));
    add(Halted, "no totals after a stop", vec![Unset(b, "totals")], As("own totals: none"));
    add(Halted, "a sent chunk gone", vec![Gone(c)], As("which nobody has claimed"));
    add(Halted, "a sent chunk gone with its events", vec![Gone(c), Gone(f)], As("own totals: accepted is"));
    add(Halted, "the events of a sent chunk gone", vec![Gone(f)], As("delivered is"));
    add(
        Halted,
        "a bounce invented after a stop",
        vec![Set(f, "soft_bounced", |_| AttributeValue::Ns(vec!["0".to_owned()]))],
        As("events_fingerprint"),
    );
    add(Halted, "totals of a stop", vec![Set(b, "totals", |v| within(v, "accepted", 1))], As("accepted is"));
}

fn runs(add: &mut Add<'_>) {
    add(Done, "the heartbeat of who claimed gone", vec![Gone("run of chunk")], As("of which there is no heartbeat"));
    add(Done, "the heartbeat of who froze gone", vec![Gone("run of page")], As("runs of the producer that took part: 0"));
    add(Done, "another build", vec![Set("run of chunk", "build", |_| s("another"))], As("whose heartbeat was altered since"));
    add(Done, "another version", vec![Set("run of chunk", "version", |_| s("another"))], As("whose heartbeat was altered since"));
    add(Done, "other settings", vec![Set("run of chunk", "settings", |_| s("others"))], As("whose heartbeat was altered since"));
    add(Done, "another process", vec![Set("run of chunk", "actor", |_| s("another"))], As("whose heartbeat was altered since"));
    add(
        Done,
        "a claim by a run that there is not",
        vec![Set("chunk#00000003", "owner_token", |_| s("0.0.0"))],
        As("chunk 3 names the run 0"),
    );
    let resend = |_: Option<&AttributeValue>| {
        AttributeValue::M([("ses".to_owned(), AttributeValue::M([("kind".to_owned(), s("resend"))].into()))].into())
    };
    add(Done, "as whom it sent", vec![Set("run of chunk", "carries", resend)], As("ANOTHER ACCOUNT: "));
    add(Done, "that it told as whom", vec![Unset("run of chunk", "carries")], Not("an older build tells nobody as whom it sends"));
    add(
        Done,
        "when it ended",
        vec![Set("run of chunk", "ended_at", |_| s("2026-01-01T00:00:00Z"))],
        Not("a run's own word is all that there is about whether it lives"),
    );
}
