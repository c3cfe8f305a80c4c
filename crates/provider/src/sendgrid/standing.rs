//! What SendGrid says of a key, by its own scopes, and what it has counted.

use http::Method;
use issei_aws::Web;
use issei_schema::{both, without_addresses};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{SendGridOptions, request};
use crate::{Counted, Right, Span, Standing};

/// "Retrieve a list of scopes for which this user has access": all of those of the key that asks.
const SCOPES: &str = "SendGrid GET /v3/scopes";
/// Of `mail/send` (API key permissions, "Mail Send").
const MAY_SEND: &str = "mail.send";
const DAY: SignedDuration = SignedDuration::from_hours(24);

#[derive(Deserialize)]
struct Scopes {
    scopes: Vec<String>,
}

/// "Retrieve global email statistics".
#[derive(Deserialize)]
struct Day {
    stats: Vec<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    metrics: Metrics,
}

#[derive(Deserialize)]
struct Metrics {
    requests: u64,
}

async fn get(web: &Web, options: &SendGridOptions, path: &str) -> Result<(u16, Vec<u8>), String> {
    let request = request::asked(options, Method::GET, path, Vec::new()).map_err(|error| error.to_string())?;
    let answer = web.call(request, options.timeout).await.map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), answer.into_body()))
}

/// In SendGrid's own words, less any address.
fn refused(status: u16, body: &[u8]) -> String {
    let told: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let words = told["errors"][0]["message"].as_str().unwrap_or("no reason given");
    without_addresses(&format!("{status}: {words}")).chars().take(200).collect()
}

pub(super) async fn read(web: &Web, options: &SendGridOptions) -> Standing {
    let right = match get(web, options, "/v3/scopes").await {
        Ok((status, body)) => right(status, &body),
        Err(error) => Right::Untold(error),
    };
    Standing { asked: SCOPES, right }
}

fn right(status: u16, body: &[u8]) -> Right {
    match status {
        200 => match serde_json::from_slice::<Scopes>(body) {
            Ok(Scopes { scopes }) if scopes.iter().any(|scope| scope == MAY_SEND) => {
                Right::MaySend(format!("the key has {MAY_SEND}, among {} scopes", scopes.len()))
            }
            Ok(Scopes { scopes }) => Right::MayNot {
                why: format!("the key lacks {MAY_SEND}; it has {} other scopes", scopes.len()),
                mend: "give the key Mail Send under Settings > API Keys".to_owned(),
            },
            Err(_) => Right::Untold("200, with a body that is no list of scopes".to_owned()),
        },
        401 | 403 => Right::MayNot {
            why: refused(status, body),
            mend: "make a key under Settings > API Keys with Mail Send, and set the variable to it".to_owned(),
        },
        _ => Right::Untold(refused(status, body)),
    }
}

/// All that was asked for on the days of a broadcast, by whomever. The days are the account's own, so one before and one
/// after belong to them.
pub(super) async fn count(web: &Web, options: &SendGridOptions, span: Span) -> Counted {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let (first, last) =
        (span.begins_at.saturating_sub(DAY).unwrap_or(span.begins_at), span.ended_at.saturating_add(DAY).unwrap_or(span.ended_at));
    // It has no statistics of days that are still to come.
    let last = last.min(span.now);
    let path = format!("/v3/stats?start_date={}&end_date={}&aggregated_by=day", day(first), day(last));
    let told = get(web, options, &path).await.and_then(|(status, body)| match status {
        200 => sum(&body).ok_or_else(|| "200, with a body that has no statistics".to_owned()),
        _ => Err(refused(status, &body)),
    });
    Counted {
        what: both!("SendGrid: requests on these days", "SendGrid: 該当日の要求数"),
        asked: "SendGrid GET /v3/stats, requests",
        told,
        mend: both!(
            "give the key Stats (read) under Settings > API Keys",
            "Settings > API Keys で、このキーに Stats(Read)を許可してください"
        ),
        too_few: both!(
            "certify again later, since when its statistics are whole is not documented; where it stays too small, see whether the key that is asked with here is of the account that sent",
            "統計がいつ揃うかは公開されていないため、後でもう一度 `issei certify` を実行してください。少ないままの場合は、ここで使っているキーが送信したアカウントのものか確認してください"
        ),
    }
}

fn sum(body: &[u8]) -> Option<u64> {
    let days: Vec<Day> = serde_json::from_slice(body).ok()?;
    Some(days.iter().flat_map(|day| &day.stats).map(|stats| stats.metrics.requests).fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_without_the_right_to_send_is_told_from_one_that_is_none() {
        let asked = |status, body: serde_json::Value| right(status, body.to_string().as_bytes());
        assert!(matches!(asked(200, json!({ "scopes": ["mail.send", "alerts.read"] })), Right::MaySend(_)));
        let lacks = asked(200, json!({ "scopes": ["mail.send.read", "alerts.read"] }));
        assert!(matches!(lacks, Right::MayNot { why, .. } if why.contains("lacks mail.send")));
        let invalid =
            json!({ "errors": [{ "field": null, "message": "The provided authorization grant is invalid, expired, or revoked" }] });
        assert!(matches!(asked(401, invalid), Right::MayNot { why, .. } if why.contains("invalid, expired, or revoked")));
        for (status, body) in [(200, json!([])), (429, json!({})), (500, json!("x"))] {
            assert!(matches!(asked(status, body.clone()), Right::Untold(_)), "{status} {body}");
        }
    }

    #[test]
    fn requests_are_summed_over_days() {
        let day =
            |requests: u64| json!({ "date": "2026-11-24", "stats": [{ "metrics": { "requests": requests, "delivered": 1, "opens": 0 } }] });
        assert_eq!(sum(json!([day(3), day(u64::MAX), day(4)]).to_string().as_bytes()), Some(u64::MAX));
        assert_eq!(sum(json!([day(3), day(4)]).to_string().as_bytes()), Some(7));
        assert_eq!(sum(b"[]"), Some(0));
        assert_eq!(sum(json!([{ "date": "2026-11-24" }]).to_string().as_bytes()), None);
    }
}
