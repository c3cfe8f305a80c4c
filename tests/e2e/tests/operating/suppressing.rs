//! The list of addresses that are not mailed, in an operator's hands.

use issei_aws::AwsCall;
use issei_sim::Account;
use issei_test_support::Processes;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_enters_an_address_reads_why_it_is_there_and_takes_it_away() {
    let world = Processes::simulated(10, Account::default()).await;
    assert_eq!(world.try_run(&["suppress", "list", "user000003@example.com"]).await.0, Some(3));
    world.run(&["suppress", "add", "user000003@example.com", "--reason", "asked by phone"]).await;
    let of_case = world.run(&["suppress", "list", "User000003@Example.com"]).await;
    assert!(of_case.contains("operator since") && of_case.contains("asked by phone") && of_case.contains("an operator, by "), "{of_case}");
    // The list itself names nobody.
    let list = world.run(&["suppress", "list"]).await;
    assert!(list.contains("asked by phone") && !list.contains('@') && !list.contains("plain"), "{list}");
    let told: Value = serde_json::from_str(&world.run(&["suppress", "list", "user000003@example.com", "--json"]).await).unwrap();
    assert_eq!((&told["suppressed"], &told["entry"]["keyed"]), (&json!(true), &json!(true)));
    let removed = world.run(&["suppress", "remove", "user000003@example.com", "--reason", "agreed again"]).await;
    assert!(removed.contains("delete-suppressed-destination"), "{removed}");
    assert_eq!(world.try_run(&["suppress", "remove", "user000003@example.com", "--reason", "again"]).await.0, Some(3));
    let (code, text, _) = world.try_run(&["suppress", "list", "user000003@example.com"]).await;
    assert!(code == Some(3) && text.contains("taken off the list since") && text.contains("agreed again"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_another_sender_is_counted_first_and_entered_when_told_so() {
    let world = Processes::simulated(10, Account::default()).await;
    let bounces =
        world.write("bounces.csv", "status,reason,email,created\n5.1.1,no such user,user000001@example.com,1790083507\n,,nobody,1\n");
    let (code, _, error) = world.try_run(&["suppress", "import", &bounces]).await;
    assert!(code == Some(3) && error.contains("--because bounced"), "{error}");
    let import = ["suppress", "import", &bounces, "--because", "bounced"];
    let (code, text, _) = world.try_run(&import).await;
    assert!(
        code == Some(3) && text.contains("to be entered  1 bounced") && text.contains("not readable   1: they are not entered"),
        "{text}"
    );
    assert!(text.contains("line 3: it is no address"), "{text}");
    assert!(text.contains("nothing was entered") && world.run(&["suppress", "list"]).await.contains("nobody is on the list"), "{text}");
    let (code, entered, error) = world.try_run(&[&import[..], &["--yes"]].concat()).await;
    assert!(code == Some(3) && entered.contains("1 entries are on the list") && error.contains("NOT ALL: 1 rows"), "{entered}{error}");
    let why = world.run(&["suppress", "list", "user000001@example.com"]).await;
    assert!(why.contains("bounced since 2026-09-22") && why.contains("import of bounces.csv") && why.contains("no such user"), "{why}");
    // One page of SES's list: that there is more is said before anybody is asked.
    let page = json!({ "SuppressedDestinationSummaries": [{ "EmailAddress": "user000004@example.com", "Reason": "BOUNCE", "LastUpdateTime": "2026-09-22T00:00:00Z" }], "NextToken": "more" });
    let page = world.write("page.json", &page.to_string());
    for (arguments, entered) in
        [(&["suppress", "import", &page][..], "nothing was entered"), (&["suppress", "import", &page, "--yes"], "1 entries")]
    {
        let (code, text, error) = world.try_run(arguments).await;
        assert!(code == Some(3) && text.contains(entered) && error.contains("NOT ALL"), "{text}{error}");
    }
    let other = world.write("users.csv", "email,name\nuser000002@example.com,N\n");
    let (code, _, error) = world.try_run(&["suppress", "import", &other, "--yes"]).await;
    assert!(code == Some(3) && error.contains("columns email, name, and is none of") && error.contains("nothing was entered"), "{error}");
    let (code, text, _) = world.try_run(&["suppress", "migrate"]).await;
    assert!(code == Some(3) && text.contains("repeat with --yes"), "{text}");
    assert!(world.run(&["suppress", "migrate", "--yes"]).await.contains("0 entries were rewritten"));
}

/// SES's own list would keep a legal notice from whoever complained once.
#[tokio::test(flavor = "multi_thread")]
async fn setup_has_ses_suppress_bounces_alone_and_doctor_says_where_it_does_not() {
    let world = Processes::simulated(10, Account::default()).await;
    let finding = async || {
        let (_, told, _) = world.try_run(&["doctor", "--json"]).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        let what = "what SES suppresses by its own list";
        told["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == what).unwrap().clone()
    };
    assert_eq!(finding().await["value"], "BOUNCE");
    let ses = world.provider().await;
    let set = world.named("ISSEI_CONFIGURATION_SET").to_owned();
    let both = ses.put_configuration_set_suppression_options().configuration_set_name(&set);
    let both = both.suppressed_reasons("BOUNCE".into()).suppressed_reasons("COMPLAINT".into());
    both.call().await.unwrap();
    let bad = finding().await;
    assert_eq!((&bad["judgement"], &bad["mend"]), (&json!("broken"), &json!("issei setup")), "{bad}");
    world.run(&["setup"]).await;
    assert_eq!(finding().await["value"], "BOUNCE");
}

/// As carriers in Japan gave them out: `import` and audiences have them in quotes, and so has whoever types one.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_legal_in_quotes_alone_is_one_entry_however_it_is_typed() {
    let world = Processes::simulated(3, Account::default()).await;
    let (plain, quoted) = ("g..g@docomo.example", "\"g..g\"@docomo.example");
    for (added, asked) in [(plain, quoted), (quoted, plain)] {
        let entered = world.run(&["suppress", "add", added, "--reason", "asked by phone"]).await;
        assert!(entered.starts_with("\"g..g\"@docomo.example is on the list"), "{entered}");
        for address in [plain, quoted] {
            assert!(world.run(&["suppress", "list", address]).await.contains("asked by phone"), "{address}");
        }
        world.run(&["suppress", "remove", asked, "--reason", "agreed again"]).await;
        assert_eq!(world.try_run(&["suppress", "list", added]).await.0, Some(3));
    }
    let (code, _, error) = world.try_run(&["suppress", "add", "nobody", "--reason", "r"]).await;
    assert!(code == Some(2) && error.contains("is not a name, one `@` and a domain"), "{error}");
}

/// Whoever can't be read would be mailed on: that is no good end.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_list_that_can_not_be_read_are_named_and_are_no_good_end() {
    let world = Processes::simulated(3, Account::default()).await;
    let ses = json!({ "SuppressedDestinationSummaries": [
        { "EmailAddress": "Gus <gus@example.com>", "Reason": "BOUNCE", "LastUpdateTime": "2026-09-22T00:00:00Z" },
        { "EmailAddress": "eve@example.com", "Reason": "MOOD of eve@example.com", "LastUpdateTime": "2026-09-22T00:00:00Z" },
        { "EmailAddress": "a@example.com, b@example.com", "Reason": "BOUNCE", "LastUpdateTime": "2026-09-22T00:00:00Z" },
    ] });
    let file = world.write("ses.json", &ses.to_string());
    let (code, text, error) = world.try_run(&["suppress", "import", &file, "--yes"]).await;
    assert!(code == Some(3) && text.contains("1 entries are on the list"), "{text}{error}");
    assert!(
        text.contains("entry 2: the reason MOOD of (an address) is none that is known") && text.contains("entry 3: it is no address"),
        "{text}"
    );
    assert!(
        error.contains("NOT ALL: 2 rows can't be read, and are mailed on") && !format!("{text}{error}").contains("@example"),
        "{text}{error}"
    );
    assert!(world.run(&["suppress", "list", "gus@example.com"]).await.contains("bounced since"));
    let (code, told, _) = world.try_run(&["--json", "suppress", "import", &file, "--yes"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["unreadable"], &told["unreadable_rows"][0]["row"]), (Some(3), &json!(2), &json!(2)), "{told}");
    // A word of old that listmonk itself mails.
    let listmonk = "uuid,email,name,attributes,status,created_at,updated_at\n\
        u1,user000001@example.com,Ann,{},disabled,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z\n\
        u2,user000002@example.com,Bob,{},blocklisted,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z\n";
    let file = world.write("listmonk.csv", listmonk);
    let text = world.run(&["suppress", "import", &file, "--yes"]).await;
    assert!(text.contains("1 unsubscribed") && text.contains("1 `disabled`, whom listmonk itself mails"), "{text}");
}
