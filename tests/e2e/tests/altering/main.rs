//! One alteration of a ledger by hand at a time, and what the certificate says of it. What it can't find
//! stands in the table with its reason, and in docs/safety.md.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod desk;
mod hand;
mod table;

use desk::{Desk, Kind};
use table::{Shows, table};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_alters_the_ledger_by_hand_is_named_or_stands_in_the_list_of_what_is_inherent() {
    let desk = Desk::new().await;
    for kind in Kind::ALL {
        assert_eq!(desk.against(kind).await, "", "{kind:?}, before anything was altered");
    }
    let (mut wrong, mut named, mut inherent) = (Vec::new(), 0, 0);
    for alteration in table() {
        let before = desk.apply(alteration.kind, &alteration.changes).await;
        let against = desk.against(alteration.kind).await;
        desk.restore(before).await;
        match alteration.shows {
            Shows::As(name) if against.contains(name) => named += 1,
            Shows::As(name) => wrong.push(format!("{}: wanted `{name}`, found `{against}`", alteration.what)),
            Shows::Not(_) if against.is_empty() => inherent += 1,
            Shows::Not(reason) => wrong.push(format!("{}: `{reason}`, and yet it is found: `{against}`", alteration.what)),
        }
    }
    for kind in Kind::ALL {
        assert_eq!(desk.against(kind).await, "", "{kind:?}, after everything was put back");
    }
    assert!(wrong.is_empty(), "{named} named, {inherent} inherent, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(named >= 80, "{named} named, {inherent} inherent");
}
