//! Calls to the webhooks' address that nobody has signed. Anybody may make them, so what names no letter of this ledger is counted and
//! let go; what does may be the provider's under another secret, and is kept.

use issei_ledger::{Broadcast, OfNobody};
use issei_provider::Webhook;
use issei_sim::{Fault, Rule};
use issei_test_support::World;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::webhooks::{as_registered_before_letters_were_marked, by, put, registered_otherwise, taken_off, world_of};

async fn reasons(world: &World) -> Vec<String> {
    world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect()
}

/// Of each provider, and of all other names: how many were let go, and how many kept.
async fn counted(world: &World) -> Vec<(Option<String>, u64, u64)> {
    let told = world.ledger().unsigned().await.unwrap();
    told.into_iter().map(|OfNobody { provider, let_go, kept, .. }| (provider.map(|name| name.to_string()), let_go, kept)).collect()
}

/// A call as anybody may make it now.
fn call(world: &World, provider: &str, body: &str) -> String {
    let (id, timestamp, signature) = ("msg_1".to_owned(), world.now().as_second().to_string(), "v1,AAAA".to_owned());
    Webhook { provider: provider.to_owned(), id, timestamp, signature, body: body.as_bytes().to_vec() }.to_line()
}

/// The same, with a bounce of the first recipient in it, of a letter that bears this mark.
fn bounce(name: &str, id: &str, mark: Option<&str>) -> String {
    let mut tags = json!({ "broadcast": id, "chunk": "0", "recipient": "0" });
    if let Some(mark) = mark {
        tags["registration"] = mark.into();
    }
    if name == "resend" {
        return json!({ "type": "email.bounced", "data": { "email_id": "x", "to": ["user000001@example.com"], "tags": tags } }).to_string();
    }
    let mut event = json!({ "event": "bounce", "email": "user000001@example.com" });
    event.as_object_mut().unwrap().extend(tags.as_object().unwrap().clone());
    Value::Array(vec![event]).to_string()
}

async fn world_with_terms(name: &str) -> World {
    let world = world_of(name, &[]).await;
    world.post_command(&by("terms", name)).await;
    world.run_to_the_end("terms").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_signed_and_names_no_letter_of_this_ledger_is_counted_and_lies_in_no_queue() {
    for name in ["resend", "sendgrid"] {
        let world = world_with_terms(name).await;
        taken_off(&world).await;
        let another = "0123456789abcdef0123-0123456789abcdef";
        let strange = [
            call(&world, name, "no JSON"),
            call(&world, name, "[]"),
            call(&world, name, &bounce(name, "terms", None)),
            call(&world, name, &bounce(name, "terms", Some("0123456789abcdef0123"))),
            call(&world, name, &bounce(name, "terms", Some(another))),
            call(&world, name, &bounce(name, "nobody-knows-it", None)),
            // Headers that are no text, and none at all.
            format!("webhook~{name}~/w==~/w==~/w==~e30="),
            format!("webhook~{name}~~~~"),
        ];
        put(&world, &strange).await;
        // The API has an address for each provider, configured or not; and whoever may write to the queue chooses any name.
        put(&world, &["mailgun", "postmark"].map(|other| call(&world, other, &bounce(name, "terms", None)))).await;
        world.take_events().await;
        assert_eq!(reasons(&world).await, Vec::<String>::new(), "{name}");
        assert_eq!(taken_off(&world).await, Vec::<String>::new(), "{name}");
        assert_eq!(counted(&world).await, [(None, 2, 0), (Some(name.to_owned()), 8, 0)], "{name}");
        let told = world.ledger().unsigned().await.unwrap();
        assert!(told.iter().all(|calls| calls.first_at <= calls.last_at && calls.last_at.is_some_and(|at| at <= world.now())), "{told:?}");
        assert!(world.outcomes("terms").await.iter().all(|recipient| recipient.events.is_empty()), "{name}: it counts");
        assert!(told.iter().all(|calls| calls.mended_by().is_none()), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_signed_and_names_a_letter_of_this_ledger_is_kept_and_counts_once_its_key_is_there() {
    for name in ["resend", "sendgrid"] {
        let mut world = world_with_terms(name).await;
        let own = taken_off(&world).await;
        let mark = world.broadcast("terms").await.letter_mark().unwrap();
        let keys = std::mem::take(&mut world.options.webhooks);
        // Before the key is configured, and after it was named otherwise.
        put(&world, &own).await;
        world.take_events().await;
        let told = world.dead_letters("feedback").await;
        let says = format!("the webhook is not its provider's: no key of `{name}` is configured here");
        assert!(told.len() == own.len() && told.iter().all(|(_, reason)| *reason == says), "{told:?}");
        assert_eq!(counted(&world).await, [(None, 0, own.len() as u64)]);
        world.options.webhooks = keys;
        // What can't be read, or is of a registration that nobody knows any more, and names the ledger.
        let named = mark.split_once('-').unwrap().1;
        let forgotten = bounce(name, "terms", Some(&format!("0123456789abcdef0123-{named}")));
        put(&world, &[call(&world, name, &format!("{{ \"x\": \"{mark}")), call(&world, name, &forgotten)]).await;
        world.take_events().await;
        let told = reasons(&world).await;
        let says = "the webhook is not its provider's: its signature ";
        assert!(told.len() == 2 && told.iter().all(|reason| reason.starts_with(says) || reason.contains("header")), "{told:?}");
        assert_eq!(counted(&world).await[1], (Some(name.to_owned()), 0, 2));
        let told = world.ledger().unsigned().await.unwrap();
        let mend = told[1].mended_by().unwrap().english;
        assert!(mend.starts_with(&format!("2 calls as {name} ")) && mend.contains(&format!("[providers.{name}]")), "{mend}");
        // Moved back, they count.
        put(&world, &own).await;
        world.take_events().await;
        assert!(world.outcomes("terms").await.iter().all(|recipient| !recipient.events.is_empty()), "{name}");
    }
}

/// Whoever writes JSON may write every character as an escape, and a provider may begin to any day.
#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_letter_of_this_ledger_in_the_escapes_of_json_is_kept() {
    for name in ["resend", "sendgrid"] {
        let world = world_with_terms(name).await;
        taken_off(&world).await;
        let mark = world.broadcast("terms").await.letter_mark().unwrap();
        let in_escapes = |mark: &str| mark.bytes().fold(String::new(), |text, byte| text + &format!("\\u{byte:04x}"));
        let plain = bounce(name, "terms", Some(&mark));
        let escaped = [plain.replace(&mark, &mark.replace('-', "\\u002d")), plain.replace(&mark, &in_escapes(&mark))];
        let another = plain.replace(&mark, &in_escapes("0123456789abcdef0123-0123456789abcdef"));
        put(&world, &[&escaped[0], &escaped[1], &another].map(|body| call(&world, name, body))).await;
        world.take_events().await;
        assert_eq!(reasons(&world).await.len(), 2, "{name}");
        assert_eq!(counted(&world).await, [(Some(name.to_owned()), 1, 2)], "{name}");
    }
}

/// Letters of an older build do not say whose they are, so the ledger itself tells.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_signed_about_a_letter_that_names_no_ledger_is_kept_where_the_ledger_knows_the_letter() {
    for is_marked in [true, false] {
        let mut world = world_of("resend", &[]).await;
        world.post_command(&by("terms", "resend")).await;
        world.run_until("terms", 0, Broadcast::is_enqueued).await;
        if is_marked {
            registered_otherwise(
                &world,
                "SET marked_chunk_recipients = named_chunk_recipients REMOVE named_chunk_recipients, letters_name",
            )
            .await;
        } else {
            as_registered_before_letters_were_marked(&world).await;
        }
        world.run_to_the_end("terms").await;
        let own = taken_off(&world).await;
        world.options.webhooks.clear();
        put(&world, &own).await;
        put(&world, &[call(&world, "resend", &bounce("resend", "terms", Some("0123456789abcdef0123")))]).await;
        world.take_events().await;
        assert_eq!(reasons(&world).await.len(), own.len(), "marked: {is_marked}");
        assert_eq!(counted(&world).await, [(None, 1, own.len() as u64)], "marked: {is_marked}");
    }
}

/// What is let go is nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_can_not_be_counted_is_not_let_go() {
    let world = world_with_terms("resend").await;
    taken_off(&world).await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::ErrorBefore).holding("\"unsigned\""));
    put(&world, &[call(&world, "resend", "no JSON")]).await;
    world.take_events().await;
    assert_eq!((reasons(&world).await, counted(&world).await), (Vec::new(), Vec::new()));
    world.cloud.heal();
    world.cloud.show_all_messages();
    world.take_events().await;
    assert_eq!(counted(&world).await, [(Some("resend".to_owned()), 1, 0)]);
    assert_eq!((reasons(&world).await, taken_off(&world).await), (Vec::new(), Vec::new()));
}

/// No letter of such a ledger can name it, so nothing tells a stranger's call.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_has_no_name_yet_keeps_all_that_nobody_has_signed() {
    let world = world_of("resend", &[]).await;
    let put_one = async || {
        put(&world, &[call(&world, "resend", "no JSON")]).await;
        world.take_events().await;
        reasons(&world).await.len()
    };
    assert_eq!(put_one().await, 1);
    let consumer = world.consumer().await;
    world.call(&consumer, Vec::new(), &CancellationToken::new()).await;
    assert_eq!(put_one().await, 0);
    assert_eq!(counted(&world).await, [(Some("resend".to_owned()), 1, 1)]);
}

/// Whoever calls chooses how many broadcasts a call names, and must not choose what that costs.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_names_a_thousand_broadcasts_costs_a_few_reads() {
    let world = world_with_terms("sendgrid").await;
    taken_off(&world).await;
    let of = |id: usize| {
        let [event] = serde_json::from_str::<[Value; 1]>(&bounce("sendgrid", &format!("b{id}"), None)).unwrap();
        event
    };
    let reads = || world.cloud.counts().get(&("dynamodb", "GetItem".to_owned())).copied().unwrap_or_default();
    let before = reads();
    put(&world, &[call(&world, "sendgrid", &Value::Array((0..1_000).map(of).collect()).to_string())]).await;
    world.take_events().await;
    let asked = reads() - before;
    assert!(asked < 20, "{asked}");
    assert_eq!(counted(&world).await, [(Some("sendgrid".to_owned()), 1, 0)]);
}
