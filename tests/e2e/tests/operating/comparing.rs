//! The figure at the top of README: what a job for each user and issei make of the same faults.

use issei_sim::Account;
use issei_test_support::Processes;
use serde_json::Value;

const PICTURE: &str = include_str!("../../../../docs/compare.svg");
const README: &str = include_str!("../../../../README.md");

/// As README writes numbers.
fn told(count: &Value) -> String {
    let count = count.as_u64().unwrap();
    if count < 1_000 { count.to_string() } else { format!("{},{:03}", count / 1_000, count % 1_000) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figure_of_readme_is_what_a_run_of_its_seed_counts() {
    let world = Processes::simulated(1, Account::default()).await;
    let output = world.run(&["demo", "--compare", "--json", "--recipients", "10000", "--seed", "1", "-o", "compare.svg"]).await;
    let counted: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(world.read("compare.svg"), PICTURE, "make it again: issei demo --compare -o docs/compare.svg; {counted}");
    let (naive, issei) = (&counted["naive"], &counted["issei"]);
    for side in [naive, issei] {
        let users: u64 = ["missed", "once", "twice", "three_times", "four_times", "five_times_or_more"]
            .iter()
            .map(|of| side[of].as_u64().unwrap())
            .sum();
        assert_eq!(users, 10_000, "{side}");
    }
    let several = |side: &Value| {
        Value::from(["twice", "three_times", "four_times", "five_times_or_more"].iter().map(|of| side[of].as_u64().unwrap()).sum::<u64>())
    };
    assert_eq!((several(issei), &issei["missed_unknown"], &issei["mails"]), (0.into(), &0.into(), &issei["once"]), "{issei}");
    assert_eq!(naive["missed"], naive["missed_unknown"], "{naive}");
    for words in [
        format!(
            "sends {} mails: {} users get two to five, and {} get none, which nobody knows.",
            told(&naive["mails"]),
            told(&several(naive)),
            told(&naive["missed"])
        ),
        format!("issei sends {}, nobody gets two, and the {} who get none", told(&issei["mails"]), told(&issei["missed"])),
    ] {
        assert!(README.contains(&words), "README does not say: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_faults_both_mail_everybody_once() {
    let world = Processes::simulated(1, Account::default()).await;
    let counted: Value = serde_json::from_str(&world.run(&["demo", "--compare", "--calm", "--json", "--recipients", "500"]).await).unwrap();
    for side in [&counted["naive"], &counted["issei"]] {
        assert_eq!((&side["mails"], &side["once"], &side["missed"]), (&500.into(), &500.into(), &0.into()), "{side}");
    }
    let (code, _, error) = world.try_run(&["demo", "-o", "picture.svg"]).await;
    assert!(code == Some(2) && error.contains("--compare"), "{error}");
}

/// With so few calls chance may spare all of them, and then a demo shows nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_demo_has_its_faults_too_and_says_which() {
    let world = Processes::simulated(1, Account::default()).await;
    for (provider, in_doubt, asked_again) in [("resend", false, true), ("sendgrid", true, false)] {
        let told: Value =
            serde_json::from_str(&world.run(&["demo", "--provider", provider, "--recipients", "500", "--json"]).await).unwrap();
        assert_eq!((&told["duplicates"], &told["missing"]), (&0.into(), &0.into()), "{told}");
        let count = |name: &str| told["faults"][name].as_u64().unwrap();
        assert!(count("answers_lost") > 0 && count("throttled") > 0 && count("killed") == 1, "{told}");
        assert_eq!((told["in_doubt"].as_u64().unwrap() > 0, count("asked_again") > 0), (in_doubt, asked_again), "{told}");
    }
}
