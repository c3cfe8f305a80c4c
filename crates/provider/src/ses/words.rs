//! What the words of a refusal by SES point at.

use crate::Cause;

/// Words of SES about the sender and the account (developer guide, "Amazon SES email sending errors",
/// and API reference v2, `BulkEmailEntryResult` and the errors of `SendBulkEmail`). In the sandbox they
/// name recipients, too, and it is still the account that may not send to them.
const SENDER: [&str; 14] = [
    "not verified",
    "failed the check",
    "sandbox",
    "suspended",
    "shut down",
    "paused",
    "sending disabled",
    "configuration set",
    "template",
    "mail from domain",
    "sending pool",
    "not authorized",
    "quota exceeded",
    "sending rate exceeded",
];

/// Words of SES about the form of an address. The last is in the developer guide's list of sending
/// errors; the others are undocumented, and reported by those who met them (awsdocs/aws-doc-sdk-examples
/// #5191, openstax/accounts #253, hcengineering/platform #7864, monde-sistemas/delphi-aws-ses #22,
/// mozilla/fx-private-relay #1887, brave/accounts #35).
const ADDRESS: [&str; 9] = [
    "illegal address",
    "invalid email address",
    "local address contains",
    "domain contains",
    "domain starts with dot",
    "domain ends with dot",
    "missing final '@domain'",
    "missing domain",
    "non-ascii characters in the email address",
];

/// What SES's own words point at.
pub(crate) fn cause(text: &str) -> Cause {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&SENDER) {
        Cause::Sender
    } else if says(&ADDRESS) {
        Cause::Address
    } else {
        Cause::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_ses_tell_the_sender_from_an_address() {
        for (text, cause) in [
            ("Email address is not verified. The following identities failed the check in region EU-WEST-1: u7@example.com", Cause::Sender),
            ("Sending suspended for this account", Cause::Sender),
            ("Account is paused", Cause::Sender),
            ("Email sending was disabled: sending disabled", Cause::Sender),
            ("Configuration set <issei> does not exist.", Cause::Sender),
            ("Template terms does not exist", Cause::Sender),
            ("Illegal address", Cause::Address),
            ("Local address contains control or whitespace", Cause::Address),
            ("Missing final '@domain'", Cause::Address),
            ("There are non-ASCII characters in the email address", Cause::Address),
            ("Bad content", Cause::Unknown),
            ("", Cause::Unknown),
        ] {
            assert_eq!(super::cause(text), cause, "{text}");
        }
    }
}
