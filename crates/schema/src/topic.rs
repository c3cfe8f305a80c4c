//! An SNS topic, by its ARN.

use std::fmt;
use std::str::FromStr;

/// The ARN of an SNS topic: `arn:aws:sns:REGION:ACCOUNT:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicArn(String);

impl TopicArn {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `aws`, or `aws-cn` and `aws-us-gov`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.part(1)
    }

    #[must_use]
    pub fn region(&self) -> &str {
        self.part(3)
    }

    #[must_use]
    pub fn account(&self) -> &str {
        self.part(4)
    }

    fn part(&self, at: usize) -> &str {
        self.0.split(':').nth(at).unwrap_or_default()
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TopicArn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["arn", partition, "sns", region, account, name]
                if [partition, region, account, name].into_iter().all(|part| is_word(part)) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err("it is no ARN of an SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME)".to_owned()),
        }
    }
}
