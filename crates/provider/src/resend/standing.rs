//! What Resend says of a key: the list of domains, which a key that may send alone is kept from by a name of its own
//! ("Errors" of the API reference: `restricted_api_key`).

use http::{Method, Request, header};
use issei_aws::Web;
use issei_schema::{Mailbox, without_addresses};
use serde::Deserialize;

use super::{ResendOptions, USER_AGENT};
use crate::{Right, Standing};

const ASKED: &str = "Resend GET /domains";

#[derive(Deserialize)]
struct Domains {
    data: Vec<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
    status: String,
}

#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
}

pub(super) async fn read(web: &Web, options: &ResendOptions, from: Option<&Mailbox>) -> Standing {
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("{}/domains", options.base_url))
        .header(header::AUTHORIZATION, options.key.bearer())
        .header(header::USER_AGENT, USER_AGENT)
        .body(Vec::new());
    let right = match request {
        Err(error) => Right::Untold(error.to_string()),
        Ok(request) => match web.call(request, options.timeout).await {
            Ok(answer) => right(answer.status().as_u16(), answer.body(), from),
            Err(error) => Right::Untold(error.to_string()),
        },
    };
    Standing { asked: ASKED, right }
}

fn right(status: u16, body: &[u8], from: Option<&Mailbox>) -> Right {
    if status == 200 {
        return match serde_json::from_slice::<Domains>(body) {
            Ok(domains) => of_domains(&domains.data, from),
            Err(_) => Right::Untold("200, with a body that is no list of domains".to_owned()),
        };
    }
    let Refused { name, message } = serde_json::from_slice(body).unwrap_or_default();
    let text: String = without_addresses(&format!("{status} {name}: {message}")).chars().take(200).collect();
    match (status, name.as_str()) {
        (401, "restricted_api_key") => {
            Right::MaySend("the key may send and nothing else, so Resend does not tell it which domains are verified".to_owned())
        }
        // By 400, 401 or 403 and by several names ("Errors").
        (400 | 401 | 403, _) => {
            Right::MayNot { why: text, mend: "make a key in Resend's dashboard, and set the variable to it".to_owned() }
        }
        _ => Right::Untold(text),
    }
}

/// A subdomain is another domain ("403 Error Domain Mismatch").
fn of_domains(domains: &[Domain], from: Option<&Mailbox>) -> Right {
    let verified: Vec<String> =
        domains.iter().filter(|domain| domain.status == "verified").map(|domain| domain.name.to_ascii_lowercase()).collect();
    let listed = if verified.is_empty() { "none".to_owned() } else { verified.join(", ") };
    let told = format!("the key has full access; domains that are verified: {listed}");
    let Some((_, domain)) = from.and_then(|from| from.address().as_str().rsplit_once('@')) else { return Right::MaySend(told) };
    if verified.contains(&domain.to_ascii_lowercase()) {
        return Right::MaySend(told);
    }
    Right::MayNot { why: told, mend: format!("verify {domain} in Resend's dashboard, or send from a domain that is verified") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(status: u16, body: &Value, from: &str) -> Right {
        right(status, body.to_string().as_bytes(), Some(&from.parse().unwrap()))
    }

    #[test]
    fn a_key_that_may_send_alone_is_told_from_one_that_is_none() {
        let error = |status: u16, name: &str, message: &str| {
            asked(status, &json!({ "statusCode": status, "name": name, "message": message }), "a@example.com")
        };
        assert!(matches!(error(401, "restricted_api_key", "This API key is restricted to only send emails."), Right::MaySend(_)));
        for (status, name, message) in [
            (401, "missing_api_key", "Missing API Key"),
            (401, "validation_error", "API key is invalid"),
            (400, "validation_error", "API key is invalid"),
            (403, "invalid_api_key", "API key is invalid."),
        ] {
            assert!(matches!(error(status, name, message), Right::MayNot { .. }), "{status} {name}");
        }
        for status in [302, 404, 429, 500] {
            assert!(matches!(error(status, "x", "y"), Right::Untold(_)), "{status}");
        }
        assert!(matches!(asked(200, &json!([]), "a@example.com"), Right::Untold(_)));
    }

    #[test]
    fn a_sender_whose_domain_is_not_verified_is_named() {
        let domains = json!({ "object": "list", "data": [{ "id": "1", "name": "Mail.Example.com", "status": "verified" }, { "id": "2", "name": "example.com", "status": "pending" }] });
        assert!(matches!(asked(200, &domains, "a@mail.example.com"), Right::MaySend(told) if told.contains("mail.example.com")));
        assert!(matches!(asked(200, &domains, "a@example.com"), Right::MayNot { mend, .. } if mend.starts_with("verify example.com")));
    }
}
