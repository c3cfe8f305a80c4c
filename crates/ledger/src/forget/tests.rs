use std::collections::BTreeSet;

use issei_clock::Clock;
use issei_schema::{MessageKey, Recipient};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{PACKED_BYTES_MAX, Sought};
use crate::commitment::{Digests, Salted};
use crate::page::{Body, Place, UNPACKED_BYTES_MAX, packed};
use crate::salts::Salts;
use crate::{SkipReason, Skipped};

fn recipient(number: usize) -> Recipient {
    Recipient {
        key: number.to_string().parse().unwrap(),
        address: format!("somebody.number{number}@mail.example.com").parse().unwrap(),
        data: [("name".to_owned(), format!("Somebody Number {number}"))].into(),
    }
}

/// So many recipients in chunks of fifty, and one skipped row for each seventh, and for every address of somebody else.
fn body(recipients: usize) -> Body {
    let all: Vec<Option<Recipient>> = (0..recipients).map(|number| Some(recipient(number))).collect();
    let skipped = |number: usize| Skipped {
        key: format!("s{number}"),
        reason: SkipReason::DuplicateAddress,
        rows: 1 + number as u64,
        mailed: Some(number.to_string()),
    };
    let place = Place { first_chunk: 3, last_key: Some("last".to_owned()), in_canary: false, frozen_by: "run".to_owned() };
    let mut body = Body {
        chunks: all.chunks(50).map(<[_]>::to_vec).collect(),
        skipped: (0..recipients / 7).map(|number| Some(skipped(number))).collect(),
        place: Some(place),
        salted: None,
    };
    body.salted = Some(Salted { salts: Salts::new([9; 16], body.entries()), forgotten: Vec::new(), seal: None });
    body
}

proptest! {
    #[test]
    fn whoever_is_forgotten_in_whatever_order_the_hash_stays_and_nothing_names_them(order in proptest::collection::vec(0usize..60, 1..20)) {
        let (mut page, key) = (body(60), MessageKey::new([1; 32]));
        let hash = page.hash("before", 7).unwrap();
        for number in &order {
            page.forget(&Sought::new(&number.to_string()), &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
            prop_assert_eq!(page.hash("before", 7), Ok(hash.clone()));
        }
        let json = serde_json::to_string(&page).unwrap();
        let json = json.split_once(",\"salted\"").unwrap().0;
        for number in &order {
            prop_assert!(!json.contains(&format!("number{number}@")), "{}", json);
            let names = format!("\"{number}\"");
            prop_assert!(!json.contains(&names), "{}", json);
        }
        let forgotten = order.iter().collect::<BTreeSet<_>>().len();
        let skipped = order.iter().filter(|number| **number < 60 / 7).collect::<BTreeSet<_>>().len();
        prop_assert_eq!(page.salted.as_ref().unwrap().forgotten.len(), forgotten + skipped + 1);
        // What stays is not what somebody else would have left.
        let mut other = page.clone();
        other.chunks[0][0] = Some(recipient(59));
        prop_assert_ne!(other.hash("before", 7), Ok(hash.clone()));
        let mut other = page.clone();
        other.salted.as_mut().unwrap().forgotten[0].commitment[0] ^= 1;
        prop_assert_ne!(other.hash("before", 7), Ok(hash));
    }
}

#[test]
fn an_entry_is_there_or_forgotten_and_never_both_or_neither() {
    let (page, key) = (body(20), MessageKey::new([1; 32]));
    let mut forgotten = page.clone();
    forgotten.forget(&Sought::new("4"), &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
    let salts = |body: &Body| body.salted.clone().unwrap();
    // Gone without a trace, with its salt, beside its tombstone, and a row that counts for more.
    let mut gone = page.clone();
    gone.chunks[0][4] = None;
    assert!(gone.hash("", 0).is_err());
    let mut kept = forgotten.clone();
    kept.salted.as_mut().unwrap().salts = salts(&page).salts;
    assert_eq!(kept.hash("", 0), Err("an entry was forgotten, and its salt is there"));
    let mut both = forgotten.clone();
    both.chunks[0][4] = page.chunks[0][4].clone();
    assert!(both.hash("", 0).is_err());
    let mut rows = page.clone();
    rows.forget(&Sought::new("s1"), &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(rows.hash("", 0), page.hash("", 0));
    rows.salted.as_mut().unwrap().forgotten[0].rows = Some(1);
    assert_ne!(rows.hash("", 0), page.hash("", 0));
    let mut more = forgotten;
    let tombstone = salts(&more).forgotten[0].clone();
    more.salted.as_mut().unwrap().forgotten.push(tombstone);
    assert_eq!(more.hash("", 0), Err("a tombstone is of no entry"));
}

#[test]
fn a_reason_that_names_whom_it_is_about_is_known() {
    let (address, key) = (Sought::new("Ann@Example.com"), Sought::new("42"));
    assert!(address.is_named_in("ann@example.com wants it") && key.is_named_in("user 42 wants it"));
    assert!(!address.is_named_in("ticket 42") && !key.is_named_in("ticket 4242, of 2042-04-20"));
}

/// The least of several rounds, since whoever else works on the machine only ever adds.
fn least<T>(mut of: impl FnMut() -> T) -> u128 {
    let clock = Clock::system();
    (0..15)
        .map(|_| {
            let begun = clock.now();
            std::hint::black_box(of());
            clock.now().saturating_duration_since(begun).as_nanos()
        })
        .min()
        .unwrap()
}

#[test]
#[expect(clippy::print_stdout, reason = "what it costs is told")]
fn a_page_costs_a_seed_more_and_what_its_hash_costs_is_told() {
    let page = body(2_500);
    let plain = Body { salted: None, ..page.clone() };
    let (json, older) = (serde_json::to_vec(&page).unwrap(), serde_json::to_vec(&plain).unwrap());
    let size = |bytes: &[u8]| packed(bytes).unwrap().as_b().unwrap().as_ref().len();
    // What a salt of its own in each entry would come to: 16 bytes that no compression makes fewer.
    let salted = page.salted.as_ref().unwrap().salts.all(page.entries()).unwrap();
    let each = [older.clone(), serde_json::to_vec(&salted.iter().flatten().map(hex::encode).collect::<Vec<_>>()).unwrap()].concat();
    let (now, before) = (least(|| page.hash("before", 7)), least(|| crate::page::plain_hash("before", 7, &older)));
    let read = least(|| serde_json::from_slice::<Body>(&json).unwrap());
    let (mut all, key) = (page.clone(), MessageKey::new([1; 32]));
    let everybody = Sought { keys: (0..2_500).map(|number| number.to_string()).collect(), address: String::new() };
    all.forget(&everybody, &Digests(&key), Timestamp::UNIX_EPOCH).unwrap();
    let all = serde_json::to_vec(&all).unwrap();
    println!("with everybody forgotten: {} bytes packed, {} of JSON", size(&all), all.len());
    assert!(size(&all) < PACKED_BYTES_MAX && (all.len() as u64) < UNPACKED_BYTES_MAX);
    println!(
        "{} entries: {} bytes packed, {} before, {} with a salt in each; hash {} us, {} us before; JSON read in {} us",
        page.entries(),
        size(&json),
        size(&older),
        size(&each),
        now / 1_000,
        before / 1_000,
        read / 1_000
    );
    assert!(size(&json) <= size(&older) + 150, "{} and {}", size(&json), size(&older));
}
