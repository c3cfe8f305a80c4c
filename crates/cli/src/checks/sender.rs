//! Whether SES sends for the sender. `send` and `doctor` show the same.

use aws_sdk_sesv2::operation::get_email_identity::{GetEmailIdentityError, GetEmailIdentityOutput};
use issei_assembly::Parts;
use issei_aws::chain;
use issei_certificate::Finding;
use issei_schema::Mailbox;

use super::setting;

/// An identity that SES knows.
struct Identity {
    name: String,
    told: GetEmailIdentityOutput,
}

pub(crate) async fn sender(parts: &Parts, from: &Mailbox) -> Finding {
    let address = from.address().as_str();
    let domain = address.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let finding = setting(&format!("identity of {domain}"), "SES GetEmailIdentity").rule("verified", "SES sends for verified senders only");
    let Identity { name, told } = match identity(parts, address, &domain).await {
        Ok(Some(identity)) => identity,
        Ok(None) => return finding.found("SES knows neither the domain nor the address", false).mend("verify it in the SES console"),
        Err(why) => return finding.unreadable(why).mend("verify it in the SES console"),
    };
    let verified = told.verified_for_sending_status;
    let value = format!("{name} {}", if verified { "verified" } else { "not verified" });
    finding.found(value, verified).mend("verify it in the SES console")
}

/// What SES takes the sender for: the domain, one above it, or the one address (SES developer guide, "Verified
/// identities": a domain's verification is that of its subdomains).
async fn identity(parts: &Parts, address: &str, domain: &str) -> Result<Option<Identity>, String> {
    let mut unread = None;
    for name in above(domain).chain([address]) {
        match parts.clients.ses.get_email_identity().email_identity(name).send().await {
            Ok(told) => return Ok(Some(Identity { name: name.to_owned(), told })),
            Err(error) if error.as_service_error().is_some_and(GetEmailIdentityError::is_not_found_exception) => {}
            Err(error) => unread = Some(chain(&error)),
        }
    }
    unread.map_or(Ok(None), Err)
}

/// A domain and those above it, down to two labels.
fn above(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |domain| domain.split_once('.').map(|(_, above)| above)).filter(|domain| domain.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_looked_for_upwards_to_two_labels() {
        assert_eq!(above("mail.example.co.jp").collect::<Vec<_>>(), ["mail.example.co.jp", "example.co.jp", "co.jp"]);
        assert_eq!(above("localhost").count(), 0);
    }
}
