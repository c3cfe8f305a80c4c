use std::fmt::Write as _;
use std::path::Path;

use super::*;

fn documentation() -> String {
    let mut text = include_str!("configuration_head.md").to_owned();
    for (name, env, kind, default, doc) in keys() {
        let kind = match kind {
            "String" => "text",
            "f64" => "number",
            "bool" => "`true` or `false`",
            _ => "whole number",
        };
        let flag = name.replace('_', "-");
        writeln!(text, "| `{name}` | `--{flag}` | `{env}` | {kind} | `{}` | {doc} |", default.trim_matches('"')).unwrap();
    }
    text.push_str(
        "\n## Audiences\n\nEach audience is a table `[audiences.NAME]` of the file. A command names it.\n\n| key | meaning |\n|---|---|\n",
    );
    let schema = schemars::schema_for!(AudienceConfig);
    for (name, property) in schema.get("properties").and_then(|properties| properties.as_object()).unwrap() {
        let described = property["description"].as_str().unwrap();
        writeln!(text, "| `{name}` | {} |", described.replace('\n', " ")).unwrap();
    }
    text.push_str(include_str!("configuration_tail.md"));
    text
}

/// With `ISSEI_UPDATE=1` it writes the page instead.
#[test]
fn the_documentation_lists_the_settings_as_they_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("ISSEI_UPDATE").is_some() {
        std::fs::write(path, documentation()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), documentation(), "run the tests with ISSEI_UPDATE=1");
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let file: Layer = toml::from_str("table = 'from-file'\nchunk_size = 10").unwrap();
    let flags = Layer { table: Some("from-flag".to_owned()), ..Layer::default() };
    let settings = Settings::of(flags, file);
    assert_eq!((settings.table.as_str(), settings.chunk_size, settings.page_size), ("from-flag", 10, 2_000));
}

#[test]
fn a_key_that_does_not_exist_is_refused_by_name() {
    let error = toml::from_str::<Layer>("chunk_sice = 10").unwrap_err().to_string();
    assert!(error.contains("chunk_sice"), "{error}");
}

#[test]
fn settings_that_break_a_rule_are_refused_with_the_rule() {
    for (change, word) in [
        ((|settings| settings.chunk_size = 51) as fn(&mut Settings), "chunk_size"),
        (|settings| settings.table = String::new(), "table is empty"),
        (|settings| settings.lease_ms = 1_000, "permit_life_ms"),
        (|settings| settings.visibility_timeout_s = 179, "visibility_timeout_s"),
        (|settings| settings.ledger_days = 53, "ledger_days"),
        (|settings| settings.rate_ceiling = -1.0, "rate_ceiling"),
        (|settings| settings.evidence_wait_s = 899, "evidence_wait_s"),
        (|settings| settings.bounce_rate_max = 2.0, "bounce_rate_max"),
        (|settings| settings.sns_signatures = "always".to_owned(), "where-present"),
        (|settings| settings.sns_signatures = "require".to_owned(), "sns_topic"),
        (|settings| settings.sns_topic = "issei-events".to_owned(), "sns_topic"),
        (|settings| settings.chunks_queue.clone_from(&settings.feedback_queue), "each a queue of its own"),
        (|settings| settings.commands_queue = format!("{}-dead", settings.chunks_queue), "commands_queue is issei-chunks-dead"),
        (|settings| settings.feedback_queue = "issei-commands-dead".to_owned(), "feedback_queue is issei-commands-dead"),
        (|settings| settings.dns_resolver = "127.0.0.1".to_owned(), "dns_resolver"),
    ] {
        let error = Settings::defaults(change).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_heartbeat_tells_what_is_not_at_its_default_and_names_no_person() {
    let settings = Settings::defaults(|settings| {
        settings.approvals = 2;
        settings.approvals_classes = "legal_notice".to_owned();
        settings.rate_ceiling = 50.0;
        settings.test_recipients = "ann@example.com".to_owned();
    })
    .unwrap();
    let told = settings.told();
    let changed: Vec<(&str, &str)> = told.changed.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(changed[..3], [("approvals", "2"), ("approvals_classes", "legal_notice"), ("rate_ceiling", "50")]);
    assert!(changed.len() == 4 && changed[3].0 == "test_recipients" && !changed[3].1.contains('@'), "{changed:?}");
    assert_eq!(Settings::approvals_told(&told).unwrap(), settings.approvals_wanted().unwrap());
    let unchanged = Settings::defaults(|_| {}).unwrap();
    assert_eq!(Settings::approvals_told(&unchanged.told()).unwrap(), unchanged.approvals_wanted().unwrap());
}

/// The TOML of every page: configurations are read and checked, and of commands those that stand alone.
#[test]
fn every_sample_in_the_docs_is_one_that_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut pages, mut folders) = (Vec::new(), ["docs", "infra", "clients"].map(|name| root.join(name)).to_vec());
    pages.extend(["README.md", "README.ja.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                pages.push(path);
            }
        }
    }
    let (mut configurations, mut commands) = (0, 0);
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for sample in text.split("\n```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()) {
            let told = |error: &dyn std::fmt::Display| format!("{}: {error}\n{sample}", page.display());
            let table: toml::Table = toml::from_str(sample).unwrap_or_else(|error| panic!("{}", told(&error)));
            if !table.contains_key("broadcast_id") {
                let layer: Layer = toml::from_str(sample).unwrap_or_else(|error| panic!("{}", told(&error)));
                Settings::of(Layer::default(), layer).checked().unwrap_or_else(|error| panic!("{}", told(&error)));
                configurations += 1;
            } else if !sample.contains("_file = ") {
                // Whoever copies it is to put one of their own there: no date that is printed is to come for ever.
                let body = serde_json::to_string(&table).unwrap().replace("BINDING_MOMENT", "2099-01-02T00:00:00Z");
                let body = body.replace("MOMENT", "2099-01-01T00:00:00Z");
                assert!(sample.contains("not_after = \"MOMENT\""), "{}: a date that goes by\n{sample}", page.display());
                issei_schema::BroadcastCommand::parse(&body).unwrap_or_else(|error| panic!("{}", told(&error)));
                commands += 1;
            }
        }
    }
    assert!(configurations >= 3 && commands >= 1, "{configurations} configurations and {commands} commands");
}
