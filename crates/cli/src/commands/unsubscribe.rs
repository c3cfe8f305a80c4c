//! `issei unsubscribe-token`: what a token of a link to unsubscribe says. Reads nothing but the configuration's keys, which may
//! be secrets.

use issei_assembly::{Settings, say};
use issei_schema::{TokenError, UnsubscribeToken as Token};
use serde_json::json;

use crate::Ended;
use crate::args::UnsubscribeToken;

pub(crate) async fn run(settings: &Settings, options: &UnsubscribeToken, as_json: bool) -> anyhow::Result<Ended> {
    let UnsubscribeToken::Verify { token } = options;
    let read = Token::read(token, &settings.own_unsubscribe_keys().await?).map_err(|error| reason(settings, &error));
    match &read {
        Ok(Token { key, broadcast_id, class, recipient }) if as_json => {
            say(&json!({ "valid": true, "broadcast_id": broadcast_id, "class": class, "recipient": recipient, "key": key }).to_string());
        }
        Ok(Token { key, broadcast_id, class, recipient }) => {
            say(&format!("broadcast      {broadcast_id}"));
            say(&format!("class          {class}"));
            say(&format!("recipient      {}", recipient.as_str()));
            say(&format!("key            {key}"));
        }
        Err(reason) if as_json => say(&json!({ "valid": false, "reason": reason }).to_string()),
        Err(reason) => say(&format!("not valid: {reason}")),
    }
    Ok(if read.is_ok() { Ended::Well } else { Ended::Refused })
}

/// A key that is named and not at hand is another thing to mend than one that is not named.
fn reason(settings: &Settings, error: &TokenError) -> String {
    match error {
        TokenError::UnknownKey { key } if settings.unsubscribe_keys.contains_key(key) => {
            format!("the environment variable that [unsubscribe_keys] names for its key `{key}` is not set; set it")
        }
        other => other.to_string(),
    }
}
