use super::*;
use crate::Written;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key() -> MessageKey {
    MessageKey::new([7; 32])
}

fn keyed_after(attempt: u32, letters: &str, seen: &Chunk) -> Keyed {
    let under = Under {
        granted_at: Some(at(1_000)),
        repeatable: Some(Repeatable { lasting: Duration::from_secs(100), body: "b".to_owned() }),
        ..Under::default()
    };
    let outcomes = Outcomes::try_from(letters.to_owned()).unwrap();
    Keyed::new(&"terms".parse().unwrap(), 3, attempt, &outcomes, Some(&key()), &under, seen).unwrap()
}

fn keyed(attempt: u32, letters: &str) -> Keyed {
    keyed_after(attempt, letters, &Chunk::Absent)
}

fn the_key(keyed: &Keyed) -> &str {
    keyed.parts()[0].key()
}

fn confirmed(letters: &str, request: Keyed) -> Chunk {
    Chunk::Confirmed {
        page: 0,
        attempt: 1,
        claimed_at: at(1_000),
        outcomes: Outcomes::try_from(letters.to_owned()).unwrap(),
        message_ids: String::new(),
        reopened_at: None,
        request: Some(request),
        written: Written::default(),
    }
}

fn asked(chunk: &Chunk, now: i64) -> Vec<Vec<usize>> {
    chunk.askable(at(now)).into_iter().map(|part| part.positions().collect()).collect()
}

/// Bodies that tell whom they are for.
fn body(places: &[usize]) -> String {
    format!("{places:?}")
}

/// Each part as its recipients, whoever waits behind it, and the first letters of its key.
fn shown(keyed: &Keyed) -> Vec<(Vec<usize>, Vec<usize>, String)> {
    keyed
        .parts()
        .iter()
        .map(|part| {
            let positions: Vec<usize> = part.positions().collect();
            let behind = part.members().skip(positions.len()).collect();
            (positions, behind, part.key().to_owned())
        })
        .collect()
}

#[test]
fn each_attempt_has_a_key_of_its_own_and_always_the_same() {
    assert_eq!(the_key(&keyed(1, "..")), the_key(&keyed(1, "..")));
    assert_ne!(the_key(&keyed(1, "..")), the_key(&keyed(2, "..")));
    assert_eq!(the_key(&keyed(1, "..")).len(), 64);
}

#[test]
fn whoever_is_in_doubt_may_be_asked_about_until_the_time_that_was_written_with_the_claim() {
    let chunk = confirmed("ad", keyed(1, ".."));
    assert_eq!(asked(&chunk, 1_099), [[0, 1]]);
    assert!(asked(&chunk, 1_100).is_empty());
}

#[test]
fn nobody_is_asked_about_who_is_settled_opened_by_evidence_or_of_another_request() {
    assert!(asked(&confirmed("aa", keyed(1, "..")), 1_001).is_empty());
    assert!(asked(&confirmed("dt", keyed(1, "..")), 1_001).is_empty());
    assert!(asked(&confirmed("da", keyed(1, "d.")), 1_001).is_empty());
}

#[test]
fn a_claim_is_asked_about_when_its_lease_is_over_and_no_sooner() {
    let chunk = Chunk::Claimed {
        page: 0,
        attempt: 1,
        claimed_at: at(1_000),
        lease_until: at(1_020),
        outcomes: Outcomes::try_from("..".to_owned()).unwrap(),
        message_ids: String::new(),
        request: Some(keyed(1, "..")),
        written: Written::default(),
    };
    assert!(asked(&chunk, 1_019).is_empty());
    assert_eq!(asked(&chunk, 1_020), [[0, 1]]);
}

#[test]
fn what_was_made_once_and_refused_is_divided_under_keys_of_its_halves() {
    let whole = keyed(1, "....");
    let (halves, next) = whole.divided(the_key(&whole), Divide::Proven, &key(), &body);
    let [(first, behind, one), (second, _, other)] = shown(&halves).try_into().unwrap();
    assert_eq!((first, behind, second), (vec![0, 1], vec![], vec![2, 3]));
    assert!(one != other && one != the_key(&whole) && other != the_key(&whole));
    assert_eq!(next, [one, other]);
    assert_eq!(halves, whole.divided(the_key(&whole), Divide::Proven, &key(), &body).0, "whoever divides it, the keys are the same");
    assert_eq!(halves.parts()[1].body(), "[2, 3]");
    assert_eq!(halves.parts()[1].until(), whole.until());
}

/// The whole may be on its way still: nobody else leaves before the provider has taken something else under its key.
#[test]
fn what_may_have_been_made_before_keeps_its_key_until_something_else_is_accepted_under_it() {
    let whole = keyed(1, "....");
    let key_of_all = the_key(&whole).to_owned();
    let divided = |of: &Keyed, how| of.divided(&key_of_all, how, &key(), &body);
    let (half, next) = divided(&whole, Divide::Unproven);
    assert_eq!(shown(&half), [(vec![0, 1], vec![2, 3], key_of_all.clone())]);
    assert_eq!(next, std::slice::from_ref(&key_of_all));
    let (quarter, _) = divided(&half, Divide::Unproven);
    assert_eq!(shown(&quarter), [(vec![0], vec![1, 2, 3], key_of_all.clone())]);
    // One who was refused waits behind all others.
    let (next, _) = divided(&quarter, Divide::Next);
    assert_eq!(shown(&next), [(vec![1], vec![2, 3, 0], key_of_all.clone())]);
    assert_eq!(next.parts()[0].body(), "[1]");
    // Proved is nothing of what somebody else may have made.
    assert_eq!(divided(&quarter, Divide::Proven).0, quarter);
    let (accepted, keys) = divided(&next, Divide::Accepted);
    let [(one, _, own), (rest, _, second), (refused, _, third)] = shown(&accepted).try_into().unwrap();
    assert_eq!((one, rest, refused, &own), (vec![1], vec![2, 3], vec![0], &key_of_all));
    assert_eq!(keys, [second.clone(), third.clone()]);
    assert!(second != third && second != key_of_all && third != key_of_all);
}

#[test]
fn whoever_waits_behind_a_part_is_asked_about_with_it() {
    let whole = keyed(1, "..");
    let (half, _) = whole.divided(the_key(&whole), Divide::Unproven, &key(), &body);
    let chunk = confirmed("rd", half.clone());
    assert_eq!(asked(&chunk, 1_001), [[0]]);
    assert!(asked(&confirmed("dt", half.clone()), 1_001).is_empty(), "evidence has opened one of them");
    assert_eq!(half.clone().without(the_key(&whole)), None);
}

/// Else whoever was refused for a moment would make the others' doubt last for ever.
#[test]
fn whoever_is_in_doubt_since_an_earlier_attempt_goes_on_being_asked_about_under_its_key() {
    let first = keyed(1, "....");
    let (halves, keys) = first.divided(the_key(&first), Divide::Proven, &key(), &body);
    let seen = confirmed("ddtt", halves);
    let second = keyed_after(2, "dd..", &seen);
    assert_eq!(shown(&second).iter().map(|(positions, ..)| positions.clone()).collect::<Vec<_>>(), [[0, 1], [2, 3]]);
    assert_eq!(second.parts()[0].key(), keys[0]);
    assert!(!keys.contains(&second.parts()[1].key().to_owned()), "the same recipients of another attempt are another request");
    assert_eq!(asked(&confirmed("dddd", second), 1_001), [[0, 1], [2, 3]]);
}

/// A build that knows no parts would ask about the whole beside them.
#[test]
fn what_is_divided_stands_where_an_older_build_does_not_find_it() {
    let whole = keyed(1, "..");
    let place = |keyed: &Keyed| keyed.stored().map(|(there, beside, _)| (there, beside)).unwrap();
    assert_eq!(place(&whole), ("keyed_request", "keyed_parts"));
    for how in [Divide::Proven, Divide::Unproven] {
        let (divided, _) = whole.divided(the_key(&whole), how, &key(), &body);
        assert_eq!(place(&divided), ("keyed_parts", "keyed_request"));
        let (_, _, value) = divided.stored().unwrap();
        assert_eq!(serde_dynamo::from_attribute_value::<_, Keyed>(value).unwrap(), divided);
        assert_ne!(divided.sealed_with(key().prover("x")).prove(), whole.sealed_with(key().prover("x")).prove());
    }
    let (_, _, value) = whole.stored().unwrap();
    assert_eq!(Keyed::from(serde_dynamo::from_attribute_value::<_, Whole>(value).unwrap()), whole);
}
