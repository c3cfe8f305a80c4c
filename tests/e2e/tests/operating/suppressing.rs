//! The list of addresses that are not mailed, in an operator's hands.

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
    assert!(code == Some(3) && text.contains("to be entered  1 bounced") && text.contains("not readable   1 (lines 3)"), "{text}");
    assert!(text.contains("nothing was entered") && world.run(&["suppress", "list"]).await.contains("nobody is on the list"), "{text}");
    let entered = world.run(&[&import[..], &["--yes"]].concat()).await;
    assert!(entered.contains("1 entries are on the list"), "{entered}");
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
    both.send().await.unwrap();
    let bad = finding().await;
    assert_eq!((&bad["judgement"], &bad["mend"]), (&json!("broken"), &json!("issei setup")), "{bad}");
    world.run(&["setup"]).await;
    assert_eq!(finding().await["value"], "BOUNCE");
}
