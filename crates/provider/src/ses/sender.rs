//! What SES says of a sender, by `GetEmailIdentity`.

use aws_sdk_sesv2::operation::get_email_identity::{GetEmailIdentityError, GetEmailIdentityOutput};
use aws_sdk_sesv2::types::{BehaviorOnMxFailure, DkimAttributes, DkimStatus, MailFromAttributes, MailFromDomainStatus};
use issei_aws::{AwsCall, chain};
use issei_schema::Mailbox;

use super::Ses;
use crate::{Identity, ReturnPath, Sender, Signs, above};

const INCLUDED: &str = "amazonses.com";
/// `feedback-smtp.REGION.amazonses.com` (SES developer guide, "Using a custom MAIL FROM domain").
const TAKEN_BY: (&str, &str) = ("feedback-smtp.", ".amazonses.com");

impl Ses {
    pub(super) async fn known(&self, from: &Mailbox) -> Sender {
        let domain = from.address().as_str().rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        Sender {
            asked: "SES GetEmailIdentity",
            why: "SES sends for verified senders only",
            told: self.identity(from).await,
            mend: format!(
                "aws sesv2 create-email-identity --email-identity {domain}, then publish the three CNAME records of its DkimAttributes.Tokens (TOKEN._domainkey.{domain} to TOKEN.dkim.amazonses.com); where it is known and not verified yet, aws sesv2 get-email-identity --email-identity {domain} names them again"
            ),
        }
    }

    /// What SES takes the sender for: the domain, one above it, or the one address (SES developer guide, "Verified
    /// identities": a domain's verification is that of its subdomains).
    async fn identity(&self, from: &Mailbox) -> Result<Option<Identity>, String> {
        let address = from.address().as_str();
        let domain = address.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let mut unread = None;
        for name in above(&domain).chain([address]) {
            match self.client.get_email_identity().email_identity(name).call().await {
                Ok(told) => return Ok(Some(read(name, &told))),
                Err(error) if error.as_service_error().is_some_and(GetEmailIdentityError::is_not_found_exception) => {}
                Err(error) => unread = Some(chain(&error)),
            }
        }
        unread.map_or(Ok(None), Err)
    }
}

fn read(name: &str, told: &GetEmailIdentityOutput) -> Identity {
    let signer = name.rsplit('@').next().unwrap_or_default();
    Identity {
        name: name.to_owned(),
        is_verified: told.verified_for_sending_status,
        signs: told.dkim_attributes.as_ref().map_or(Signs::Untold, |told| signs(told, signer)),
        path: told.mail_from_attributes.as_ref().filter(|told| !told.mail_from_domain.is_empty()).map_or(ReturnPath::Own, path),
    }
}

/// As the identity's domain, which is the sender's or one above it.
fn signs(told: &DkimAttributes, signer: &str) -> Signs {
    let mend = format!(
        "aws sesv2 put-email-identity-dkim-attributes --email-identity {signer} --signing-enabled, and publish a CNAME record TOKEN._domainkey.{signer} to TOKEN.dkim.amazonses.com for each of the DkimAttributes.Tokens that aws sesv2 get-email-identity --email-identity {signer} names"
    );
    let status = told.status.as_ref().map_or("not told", DkimStatus::as_str);
    if !told.signing_enabled || told.status != Some(DkimStatus::Success) {
        let on = if told.signing_enabled { "on" } else { "off" };
        return Signs::No { told: format!("signing is {on}, {status} says SES"), mend };
    }
    let keys = told.tokens().iter().map(|token| format!("{token}._domainkey.{signer}")).collect();
    Signs::As { domain: signer.to_owned(), keys, told: format!("{status} says SES"), mend }
}

/// SES lets MAIL FROM be below the identity's domain.
fn path(told: &MailFromAttributes) -> ReturnPath {
    let (domain, status) = (told.mail_from_domain.clone(), told.mail_from_domain_status.as_str());
    let mend = format!("publish what the SES console names for {domain}: one MX, and `v=spf1 include:{INCLUDED} ~all`");
    let told_status = format!("{status} says SES");
    if told.mail_from_domain_status == MailFromDomainStatus::Success {
        return ReturnPath::Theirs { domain, told: told_status, includes: INCLUDED, taken_by: TAKEN_BY, mend };
    }
    let then = match told.behavior_on_mx_failure {
        BehaviorOnMxFailure::RejectMessage => "SES then sends nothing",
        _ => "SES then takes its own",
    };
    ReturnPath::NotReady { domain, told: format!("{told_status}; {then}"), mend }
}
