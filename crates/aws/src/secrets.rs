//! Values of Secrets Manager: one call, and it only reads. What it gives is shown nowhere, not even in the SDK's own logs.

use std::fmt;

use aws_config::{Region, SdkConfig};
use aws_smithy_types::body::SdkBody;
use serde::Deserialize;
use serde_json::Value;

use crate::lambda;
use crate::signed::{CallError, Service, Signed, TRY_TIMEOUT, text};

static SECRETS: Service =
    Service { id: "Secrets Manager", name: "secretsmanager", refusal: lambda::refusal, try_timeout: TRY_TIMEOUT, most: None };
const GET: &str = "GetSecretValue";

/// A secret as ECS names it: its ARN, and where it is an object of JSON `:KEY` behind it, and where another than the current
/// value is meant `:STAGE:VERSION` behind that (ECS developer guide, "Pass Secrets Manager secrets through environment
/// variables").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretName {
    whole: String,
    arn: String,
    region: String,
    key: Option<String>,
    stage: Option<String>,
    version: Option<String>,
}

impl SecretName {
    /// Its ARN and the member of it that is meant, whichever of its versions.
    #[must_use]
    pub fn of_any_version(&self) -> String {
        self.key.as_ref().map_or(self.arn.clone(), |key| format!("{}:{key}", self.arn))
    }
}

impl TryFrom<String> for SecretName {
    type Error = String;

    fn try_from(whole: String) -> Result<Self, String> {
        let parts: Vec<&str> = whole.split(':').collect();
        let [arn, partition, service, region, account, secret, name, more @ ..] = parts.as_slice() else { return Err(no_arn()) };
        let is_arn = *arn == "arn" && partition.starts_with("aws") && *service == "secretsmanager" && *secret == "secret";
        if !is_arn || more.len() > 3 || [region, account, name].iter().any(|part| part.is_empty()) {
            return Err(no_arn());
        }
        let part = |at: usize| more.get(at).filter(|part| !part.is_empty()).map(|part| (*part).to_owned());
        Ok(Self {
            arn: [*arn, partition, service, region, account, secret, name].join(":"),
            region: (*region).to_owned(),
            key: part(0),
            stage: part(1),
            version: part(2),
            whole,
        })
    }
}

/// Without what stood there, which may be the secret itself.
fn no_arn() -> String {
    "a secret is named by its ARN, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, with :KEY behind it where it is JSON".to_owned()
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

/// What a secret holds. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue")
    }
}

/// Reads secrets.
#[derive(Clone, Debug)]
pub struct Secrets(SdkConfig);

impl Secrets {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(config.clone())
    }

    /// What a secret holds, in the region of its ARN.
    ///
    /// # Errors
    /// Says why there is none, with the ARN, and never with what it holds.
    pub async fn value(&self, name: &SecretName) -> Result<SecretValue, String> {
        let config = self.0.clone().into_builder().region(Region::new(name.region.clone())).build();
        let mut asked = serde_json::Map::new();
        for (member, value) in [("SecretId", Some(&name.arn)), ("VersionStage", name.stage.as_ref()), ("VersionId", name.version.as_ref())]
        {
            asked.extend(value.map(|value| (member.to_owned(), Value::from(value.as_str()))));
        }
        let request = http::Request::post("/")
            .header(http::header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", "secretsmanager.GetSecretValue")
            .body(SdkBody::from(Value::Object(asked).to_string()));
        let answer = Signed::new(&config, &SECRETS).call_for(GET, request, |response| SecretValue(text(response).into_owned())).await;
        let answer = answer.map_err(|error| format!("the secret {name} can't be read: {}", words(&error)))?;
        held(answer.as_str(), name).map(SecretValue).map_err(|why| format!("the secret {name} {why}"))
    }
}

fn words(error: &CallError) -> String {
    let why = error.why();
    match error.code() {
        Some("ResourceNotFoundException") => format!("{why}; correct the ARN, or make the secret"),
        Some(code) if code.starts_with("AccessDenied") => {
            format!("{why}; grant {} on it, and kms:Decrypt where a key of the customer's encrypts it", error.action())
        }
        Some("InvalidRequestException") => format!("{why}; restore it where it was deleted"),
        _ => why.to_owned(),
    }
}

/// What the answer holds, and of an object of JSON the member that is meant.
fn held(answer: &str, name: &SecretName) -> Result<String, &'static str> {
    let answer: Value = serde_json::from_str(answer).map_err(|_| "came in an answer that can't be read")?;
    let text = answer["SecretString"].as_str().ok_or("holds bytes and no text; store it as text")?;
    let Some(key) = &name.key else { return Ok(text.to_owned()) };
    let object: Value = serde_json::from_str(text).map_err(|_| "is no JSON, and a key of it is named; take the key off the ARN")?;
    match object.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(_) => Err("has no text under the key that is named"),
        None => Err("has no such key; correct what stands behind the ARN's name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:issei/resend-AbCdEf";

    fn name(text: &str) -> Result<SecretName, String> {
        SecretName::try_from(text.to_owned())
    }

    #[test]
    fn a_secret_is_named_as_ecs_names_it_and_what_is_none_is_not_shown() {
        assert_eq!(name(ARN).unwrap().key, None);
        let whole = name(&format!("{ARN}:key:AWSPREVIOUS:v1")).unwrap();
        assert_eq!((whole.arn.as_str(), whole.region.as_str()), (ARN, "ap-northeast-1"));
        assert_eq!(
            (whole.key.as_deref(), whole.stage.as_deref(), whole.version.as_deref()),
            (Some("key"), Some("AWSPREVIOUS"), Some("v1"))
        );
        assert_eq!(name(&format!("{ARN}::AWSPREVIOUS:")).unwrap().key, None);
        for wrong in ["re_1234567890", "arn:aws:ssm:eu-west-1:1:parameter:x", "arn:aws:secretsmanager:eu-west-1:1:secret:", ""] {
            let refusal = name(wrong).unwrap_err();
            assert!(refusal.contains("named by its ARN") && !refusal.contains("re_1234"), "{refusal}");
        }
    }

    #[test]
    fn of_an_object_the_named_member_is_held_and_no_reason_shows_what_is() {
        let held = |secret: &str, key: &str| {
            held(&serde_json::json!({ "SecretString": secret }).to_string(), &name(&format!("{ARN}{key}")).unwrap())
        };
        assert_eq!(held("re_1", "").unwrap(), "re_1");
        assert_eq!(held(r#"{"key":"re_1","n":7}"#, ":key").unwrap(), "re_1");
        assert_eq!(held(r#"{"key":"re_1","n":7}"#, ":n").unwrap(), "7");
        for (secret, key) in [("re_1", ":key"), (r#"{"other":"re_1"}"#, ":key"), (r#"{"key":["re_1"]}"#, ":key")] {
            assert!(!held(secret, key).unwrap_err().contains("re_1"));
        }
        assert!(!format!("{:?}", SecretValue("re_1".to_owned())).contains("re_1"));
    }
}
