//! Tokens of links to unsubscribe, as an operator checks one and as an app does.

use std::process::Command;

use issei_schema::{Class, UnsubscribeKey, UnsubscribeToken};
use issei_sim::Account;
use issei_test_support::Processes;
use serde_json::{Value, json};

const SECRET: &str = "a key of a test, 32 bytes or more";

fn token(recipient: &str, secret: &str) -> String {
    let (key, broadcast_id) = ("2026-11".parse().unwrap(), "terms-2026-11".parse().unwrap());
    let token = UnsubscribeToken { key, broadcast_id, class: Class::Marketing, recipient: recipient.parse().unwrap() };
    token.signed(&UnsubscribeKey::try_from(secret.to_owned()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_token_is_told_what_it_says_or_why_it_says_nothing() {
    let world = Processes::simulated(1, Account::default()).await;
    let config = world.write("keys.toml", "[unsubscribe_keys]\n\"2026-11\" = { env = \"APP_KEY\" }\n");
    let verify = async |token: &str, key: Option<&str>| {
        let arguments = ["--config", &config, "unsubscribe-token", "verify", token, "--json"];
        let (code, output, error) = world.try_run_under(&[("APP_KEY", key)], &arguments).await;
        (code, serde_json::from_str::<Value>(&output).unwrap_or_default(), error)
    };
    let good = token("渡邉 17", SECRET);
    let (code, told, _) = verify(&good, Some(SECRET)).await;
    let says = json!({ "valid": true, "broadcast_id": "terms-2026-11", "class": "marketing", "recipient": "渡邉 17", "key": "2026-11" });
    assert_eq!((code, told), (Some(0), says));
    for (token, key, reason) in [
        (token("17", &"x".repeat(32)), Some(SECRET), "its signature does not fit"),
        (good.replace("2026-11", "2025"), Some(SECRET), "its key `2025` is not known here"),
        (good.clone(), None, "`2026-11` is not set"),
        ("17".to_owned(), Some(SECRET), "no token of issei"),
    ] {
        let (code, told, error) = verify(&token, key).await;
        assert_eq!((code, &told["valid"]), (Some(3), &json!(false)), "{error}");
        assert!(told["reason"].as_str().unwrap().contains(reason), "{told}");
    }
    let (code, _, error) = verify(&good, Some("short")).await;
    assert!(code == Some(1) && error.contains("APP_KEY") && error.contains("32 or more") && !error.contains("short"), "{error}");
}

/// The block of this language in the page for apps.
fn snippet(language: &str) -> String {
    let page = include_str!("../../../../docs/unsubscribe.md");
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// What a program of the page says of each token: three lines, or `nothing`.
fn said(program: &str, file: &str, text: &str, tokens: &[String]) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(file);
    std::fs::write(&file, text).unwrap();
    let ran = Command::new(program).arg(&file).args(tokens).env("ISSEI_UNSUBSCRIBE_KEY", SECRET).output();
    let Ok(ran) = ran else {
        println!("SKIPPED: no {program}");
        return None;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(String::from_utf8(ran.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn the_lines_that_apps_are_given_believe_good_tokens_and_no_other() {
    let (good, japanese) = (token("17", SECRET), token("渡邉 17", SECRET));
    let (head, signature) = good.rsplit_once('.').unwrap();
    let tokens = [
        good.clone(),
        japanese.clone(),
        // Of another key, of another recipient, cut, of an unknown key, of another version, and no token at all.
        token("17", &"x".repeat(32)),
        format!("{}.{signature}", japanese.rsplit_once('.').unwrap().0),
        format!("{head}."),
        good.replace("2026-11", "2025"),
        good.replace("2026-11", "constructor"),
        good.replace("iu1", "iu2"),
        format!("{good}.{signature}"),
        "17".to_owned(),
        String::new(),
    ];
    let mut expected = vec![r#"["terms-2026-11","marketing","17"]"#.to_owned(), r#"["terms-2026-11","marketing","渡邉 17"]"#.to_owned()];
    expected.resize(tokens.len(), "null".to_owned());
    let python = format!(
        "{}\n\nimport json, sys\nfor token in sys.argv[1:]:\n    print(json.dumps(read_token(token), ensure_ascii=False, separators=(\",\", \":\")))\n",
        snippet("python")
    );
    let typescript = snippet("typescript");
    assert!(typescript.contains("(token: string)"));
    // Node runs it without its one type.
    let javascript = typescript.replace("(token: string)", "(token)");
    let javascript = format!("{javascript}\nfor (const token of process.argv.slice(2)) console.log(JSON.stringify(readToken(token)));\n");
    for (program, file, text) in [("python3", "app.py", python), ("node", "app.mjs", javascript)] {
        if let Some(said) = said(program, file, &text, &tokens) {
            assert_eq!(said, expected, "{program}");
        }
    }
}
