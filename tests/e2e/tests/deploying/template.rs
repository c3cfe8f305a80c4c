//! Reading the templates; and what they say of alarms and metrics.

use std::path::Path;

use issei_sim::Account;
use issei_test_support::Processes;
use serde_json::Value;

/// A template as plain data: it uses the long forms of the functions.
pub(crate) fn template(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Settings out of the chain are refused by issei, whatever template they came from.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_breaks_the_chain_is_refused() {
    let world = Processes::new(1, Account::default()).await;
    for (flag, value, word) in [
        ("--visibility-timeout-s", "10", "visibility_timeout_s"),
        ("--retention-s", "9000000", "ledger_days"),
        ("--dead-letter-retention-s", "9000000", "ledger_days"),
        ("--handler-timeout-ms", "2000", "handler_timeout_ms"),
        ("--permit-life-ms", "900", "permit_life_ms"),
        ("--ledger-days", "40", "ledger_days"),
    ] {
        let (code, _, error) = world.try_run(&["doctor", flag, value]).await;
        assert!(code == Some(1) && error.contains(word), "{flag} {value}: {error}");
    }
}

#[test]
fn every_alarm_leads_to_a_step_of_the_runbooks() {
    let headings: Vec<String> = include_str!("../../../../docs/runbooks/en/incidents.md")
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    let state = template("state.yaml");
    let alarms: Vec<&Value> =
        state["Resources"].as_object().unwrap().values().filter(|resource| resource["Type"] == "AWS::CloudWatch::Alarm").collect();
    for alarm in &alarms {
        let text = alarm["Properties"]["AlarmDescription"]["Fn::Sub"].as_str().unwrap();
        let anchor = text.rsplit('#').next().unwrap();
        assert!(headings.iter().any(|heading| heading == anchor), "{text}: {headings:?}");
    }
    assert!(alarms.len() >= 11, "{}", alarms.len());
}

/// Every metric of issei that an alarm or the dashboard names is one that the code speaks of.
#[test]
fn no_alarm_waits_for_a_metric_that_nobody_emits() {
    let spoken = [
        include_str!("../../../../crates/ledger/src/progress.rs"),
        include_str!("../../../../crates/feedback/src/sweep.rs"),
        include_str!("../../../../crates/feedback/src/batch.rs"),
        include_str!("../../../../crates/feedback/src/second.rs"),
        include_str!("../../../../crates/producer/src/close.rs"),
    ]
    .iter()
    .flat_map(|text| text.lines().filter(|line| line.contains("target: \"issei::metrics\"")))
    .collect::<String>();
    let state = template("state.yaml");
    for (name, resource) in state["Resources"].as_object().unwrap() {
        if resource["Properties"]["Namespace"] == "issei" {
            let metric = resource["Properties"]["MetricName"].as_str().unwrap();
            let field: String = metric
                .chars()
                .enumerate()
                .flat_map(|(at, c)| (at > 0 && c.is_uppercase()).then_some('_').into_iter().chain(c.to_lowercase()))
                .collect();
            assert!(spoken.contains(&field), "{name}: nobody emits {metric}");
        }
    }
}
