//! Whether receivers will believe the sender: DKIM, SPF and DMARC, as SES and a name server of the test tell.

use issei_sim::Account;
use issei_test_support::{Mood, Processes, command_body};
use serde_json::{Value, json};

const MX: &str = "feedback-smtp.us-east-1.amazonses.com";

/// An identity as SES tells of it, with a MAIL FROM domain of its own where one is named.
fn identity(dkim: &str, mail_from: Option<&str>) -> Value {
    let mut told = json!({
        "IdentityType": "DOMAIN",
        "VerifiedForSendingStatus": true,
        "DkimAttributes": { "SigningEnabled": true, "Status": dkim, "Tokens": ["one", "two", "three"] },
    });
    if let Some(domain) = mail_from {
        let status = if domain.starts_with("pending") { "PENDING" } else { "SUCCESS" };
        told["MailFromAttributes"] =
            json!({ "MailFromDomain": domain, "MailFromDomainStatus": status, "BehaviorOnMxFailure": "USE_DEFAULT_VALUE" });
    }
    told
}

fn set(world: &Processes, told: Value) {
    world.cloud.configure(|account| account.identities = Some([("example.com".to_owned(), told)].into()));
}

/// What `doctor` says of DKIM, SPF and DMARC of a domain, each with its value.
async fn doctor(world: &Processes, domain: &str) -> [String; 3] {
    let (_, output, error) = world.try_run(&["doctor", "--from", &format!("no-reply@{domain}"), "--json"]).await;
    let told: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{error}"));
    of(&told["findings"], domain)
}

fn of(findings: &Value, domain: &str) -> [String; 3] {
    ["DKIM", "SPF", "DMARC"].map(|kind| {
        let what = format!("{kind} of {domain}");
        let found = findings.as_array().unwrap().iter().find(|finding| finding["what"] == what.as_str());
        let found = found.unwrap_or_else(|| panic!("no {what}: {findings}"));
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        let is_mended = found["judgement"] == "holds" || !text("mend").is_empty();
        assert!(is_mended && !text("why").is_empty() && !text("rule").is_empty(), "{found}");
        // A command, where SES can be told by one.
        let signs = "aws sesv2 put-email-identity-dkim-attributes --email-identity example.com --signing-enabled, and publish ";
        assert!(kind != "DKIM" || found["judgement"] != "broken" || text("mend").starts_with(signs), "{found}");
        format!("{}: {}", text("judgement"), text("value"))
    })
}

const SIGNED: &str = "holds: signed as example.com, 3 keys in DNS";
const OWN: &str = "holds: SES's own MAIL FROM, which aligns with nothing: DMARC rests on DKIM alone";

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_dkim_spf_and_dmarc_align_is_sound_in_send_and_doctor() {
    let world = Processes::new(5, Account::default()).await;
    let aligned = [SIGNED, OWN, "holds: p=none at _dmarc.example.com; DKIM aligns"];
    assert_eq!(doctor(&world, "example.com").await, aligned);
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let told: Value = serde_json::from_str(&world.run(&["send", "--dry-run", "--json", &command]).await).unwrap();
    assert_eq!(of(&told["forecast"]["findings"], "example.com"), aligned);

    set(&world, identity("SUCCESS", Some("bounce.example.com")));
    world.names.txt("bounce.example.com", &["other", "v=spf1 include:amazonses.com ~all"]);
    world.names.mx("bounce.example.com", MX);
    world.names.txt("_dmarc.example.com", &["v=DMARC1; p=reject"]);
    // A domain below has no policy of its own, and is signed for as the one above.
    for domain in ["example.com", "mail.example.com"] {
        let says =
            [SIGNED, "holds: bounce.example.com includes amazonses.com", "holds: p=reject at _dmarc.example.com; DKIM and SPF align"];
        assert_eq!(doctor(&world, domain).await, says);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_not_there_stands_twice_or_is_too_strict_is_named() {
    let world = Processes::new(5, Account::default()).await;
    set(&world, identity("SUCCESS", None));
    for (records, domain, says) in [
        (
            &["v=DMARC1; p=none", "v=DMARC1; p=reject"][..],
            "example.com",
            "broken: 2 policies at _dmarc.example.com, of which receivers take none",
        ),
        (&["v=DMARC1; p=perhaps"], "example.com", "broken: no policy in `v=DMARC1; p=perhaps` at _dmarc.example.com"),
        (&["v=DMARC1; p=reject; adkim=s"], "example.com", "holds: p=reject at _dmarc.example.com; DKIM aligns"),
        (&["v=DMARC1; p=reject; adkim=s"], "mail.example.com", "broken: p=reject at _dmarc.example.com; neither DKIM nor SPF aligns"),
        (&["v=spf1 -all"], "example.com", "broken: no policy"),
    ] {
        world.names.txt("_dmarc.example.com", records);
        assert_eq!(doctor(&world, domain).await, [SIGNED, OWN, says]);
    }
    world.names.forget("_dmarc.example.com");
    assert_eq!(doctor(&world, "example.com").await[2], "broken: no policy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_or_a_mail_from_domain_that_is_not_ready_is_named() {
    let world = Processes::new(5, Account::default()).await;
    set(&world, identity("PENDING", None));
    let neither = "broken: p=none at _dmarc.example.com; neither DKIM nor SPF aligns";
    assert_eq!(doctor(&world, "example.com").await, ["broken: signing is on, PENDING says SES", OWN, neither]);
    // SES has seen the keys once, and somebody has taken one away since.
    set(&world, identity("SUCCESS", Some("bounce.example.com")));
    world.names.forget("two._domainkey.example.com");
    world.names.txt("bounce.example.com", &["v=spf1 include:amazonses.com ~all"]);
    world.names.mx("bounce.example.com", MX);
    let [dkim, _, dmarc] = doctor(&world, "example.com").await;
    assert_eq!(dkim, "broken: SUCCESS says SES, and DNS has no key at two._domainkey.example.com");
    assert_eq!(dmarc, "holds: p=none at _dmarc.example.com; SPF aligns, and DKIM does not");

    world.names.alias("two._domainkey.example.com", "two.dkim.amazonses.com");
    for (records, says) in [
        (&["v=spf1 -all"][..], "broken: bounce.example.com has an SPF record without amazonses.com"),
        (
            &["v=spf1 include:amazonses.com ~all", "v=spf1 -all"],
            "broken: bounce.example.com has 2 SPF records, of which receivers take none",
        ),
        (&["v=spf1 include:_spf.example.com -all"], "unreadable: bounce.example.com includes others, which are not followed"),
        (&[], "broken: bounce.example.com has no SPF record"),
    ] {
        world.names.txt("bounce.example.com", records);
        world.names.mx("bounce.example.com", MX);
        assert_eq!(doctor(&world, "example.com").await, [SIGNED, says, "holds: p=none at _dmarc.example.com; DKIM aligns"]);
    }
    world.names.txt("bounce.example.com", &["v=spf1 include:amazonses.com ~all"]);
    assert_eq!(doctor(&world, "example.com").await[1], "broken: bounce.example.com has the MX of nobody");
    set(&world, identity("SUCCESS", Some("pending.example.com")));
    assert_eq!(doctor(&world, "example.com").await[1], "broken: pending.example.com: PENDING says SES; SES then takes its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dns_does_not_tell_is_never_called_fine_and_keeps_nobody_from_sending() {
    let mut world = Processes::new(5, Account::default()).await;
    set(&world, identity("SUCCESS", Some("bounce.example.com")));
    for mood in [Some(Mood::Silent), Some(Mood::Fails), None] {
        match mood {
            Some(mood) => world.names.be(mood),
            None => world.set("ISSEI_DNS_RESOLVER", &format!("127.0.0.1:{}", issei_test_support::free_port())),
        }
        let unread = doctor(&world, "example.com").await;
        for (found, says) in
            unread.iter().zip(["the keys are not looked at: DNS ", "its records are not looked at: DNS ", "not looked at: DNS "])
        {
            assert!(found.starts_with("unreadable: ") && found.contains(says), "{found}");
        }
    }
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let text = world.run(&["send", "--yes", &command]).await;
    assert!(text.contains("UNREADABLE  DMARC of example.com") && text.contains("enqueued"), "{text}");
}
