//! Whether SES sends for the sender, and whether receivers will believe that it does so in the sender's name:
//! DKIM, SPF and DMARC of its domain, as far as SES and DNS tell. `send` and `doctor` show the same, and what
//! nobody could tell is unreadable.

use aws_sdk_sesv2::operation::get_email_identity::{GetEmailIdentityError, GetEmailIdentityOutput};
use aws_sdk_sesv2::types::{BehaviorOnMxFailure, DkimAttributes, DkimStatus, MailFromDomainStatus};
use futures_util::future::join_all;
use issei_assembly::Parts;
use issei_aws::chain;
use issei_certificate::Finding;
use issei_schema::Mailbox;

use super::dmarc::{Aligned, dmarc, policy, tag};
use super::dns::Dns;
use super::setting;

const SPF: &str = "v=spf1";
const INCLUDED: &str = "amazonses.com";
const RESOLVER: &str = "name a resolver that answers: --dns-resolver";

/// An identity that SES knows.
struct Identity {
    name: String,
    told: GetEmailIdentityOutput,
}

pub(crate) async fn sender(parts: &Parts, from: &Mailbox) -> Vec<Finding> {
    let address = from.address().as_str();
    let domain = address.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let finding = setting(&format!("identity of {domain}"), "SES GetEmailIdentity").rule("verified", "SES sends for verified senders only");
    let identity = match identity(parts, address, &domain).await {
        Ok(Some(identity)) => identity,
        Ok(None) => return vec![finding.found("SES knows neither the domain nor the address", false).mend("verify it in the SES console")],
        Err(why) => return vec![finding.unreadable(why).mend("verify it in the SES console")],
    };
    let verified = identity.told.verified_for_sending_status;
    let value = format!("{} {}", identity.name, if verified { "verified" } else { "not verified" });
    let finding = finding.found(value, verified).mend("verify it in the SES console");
    let dns = Dns::new(parts.settings.resolver(), parts.clock.now());
    let looked = tokio::join!(dkim(&identity, &domain, &dns), spf(&identity, &domain, &dns), policy(&domain, &dns));
    let ((dkim, signed), (spf, path), policy) = looked;
    vec![finding, dkim, spf, dmarc(&domain, policy, signed, path)]
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
pub(super) fn above(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |domain| domain.split_once('.').map(|(_, above)| above)).filter(|domain| domain.contains('.'))
}

/// SES signs as the identity's domain, and the keys must be where receivers look for them. That domain is the
/// sender's or one above it, so in the relaxed mode of DMARC it aligns.
async fn dkim(identity: &Identity, domain: &str, dns: &Dns) -> (Finding, Aligned) {
    let signer = identity.name.rsplit('@').next().unwrap_or_default();
    let finding = setting(&format!("DKIM of {domain}"), "SES GetEmailIdentity, and DNS").rule(
        "signed as the sender's domain or one above it, with the keys in DNS",
        "receivers take a mail for the domain's own by its signature (RFC 6376), and where SES can't sign in time it sends unsigned (SES developer guide)",
    );
    let mend = "turn on Easy DKIM for the domain in the SES console, and publish the records that it names";
    let Some(told) = &identity.told.dkim_attributes else {
        return (finding.unreadable("SES did not tell").mend(mend), Aligned::Unread);
    };
    let status = told.status.as_ref().map_or("not told", DkimStatus::as_str);
    if !told.signing_enabled || told.status != Some(DkimStatus::Success) {
        let on = if told.signing_enabled { "on" } else { "off" };
        return (finding.found(format!("signing is {on}, {status} says SES"), false).mend(mend), Aligned::No);
    }
    match keys_missing(told, signer, dns).await {
        Ok(missing) if !missing.is_empty() => {
            let value = format!("{status} says SES, and DNS has no key at {}", missing.join(", "));
            (finding.found(value, false).mend(mend), Aligned::No)
        }
        Ok(_) if told.tokens().is_empty() => {
            (finding.unreadable(format!("{status} says SES, and names no key to look for")), Aligned::Unread)
        }
        Ok(_) => {
            let value = format!("signed as {signer}, {} keys in DNS", told.tokens().len());
            (finding.found(value, true), Aligned::Yes { exactly: signer.eq_ignore_ascii_case(domain) })
        }
        Err(why) => (finding.unreadable(format!("{status} says SES, the keys are not looked at: {why}")).mend(RESOLVER), Aligned::Unread),
    }
}

/// Where no key is: SES's are behind an alias, one's own stand there. An empty one is revoked (RFC 6376, section
/// 3.6.1).
async fn keys_missing(told: &DkimAttributes, signer: &str, dns: &Dns) -> Result<Vec<String>, String> {
    let names = told.tokens().iter().map(|token| format!("{token}._domainkey.{signer}"));
    let looked = names.map(|name| async move {
        let records = dns.txt(&name).await?;
        let has_key = records.iter().any(|record| tag(record, "p").is_some_and(|key| !key.is_empty()));
        Ok((has_key || (records.is_empty() && dns.is_alias(&name).await?)).then_some(()).ok_or(name))
    });
    let looked: Result<Vec<Result<(), String>>, String> = join_all(looked).await.into_iter().collect();
    Ok(looked?.into_iter().filter_map(Result::err).collect())
}

/// SPF looks at the domain of MAIL FROM. SES lets that be below the identity's domain, so in the relaxed mode of
/// DMARC it aligns; its own, where none is set up, never does.
async fn spf(identity: &Identity, domain: &str, dns: &Dns) -> (Finding, Aligned) {
    let finding = setting(&format!("SPF of {domain}"), "SES GetEmailIdentity, and DNS").rule(
        "SES's own MAIL FROM; or one of the sender's, whose SPF includes amazonses.com and whose MX is SES's",
        "SPF is asked of the domain of MAIL FROM (RFC 7208), and where SES finds no MX there it takes its own, or does not send (SES developer guide)",
    );
    let Some(told) = identity.told.mail_from_attributes.as_ref().filter(|told| !told.mail_from_domain.is_empty()) else {
        return (finding.found("SES's own MAIL FROM, which aligns with nothing: DMARC rests on DKIM alone", true), Aligned::No);
    };
    let (path, status) = (&told.mail_from_domain, told.mail_from_domain_status.as_str());
    let mend = format!("publish what the SES console names for {path}: one MX, and `v=spf1 include:amazonses.com ~all`");
    if told.mail_from_domain_status != MailFromDomainStatus::Success {
        let then = match told.behavior_on_mx_failure {
            BehaviorOnMxFailure::RejectMessage => "SES then sends nothing",
            _ => "SES then takes its own",
        };
        return (finding.found(format!("{path}: {status} says SES; {then}"), false).mend(mend), Aligned::No);
    }
    let (records, hosts) = tokio::join!(dns.txt(path), dns.mx(path));
    let (records, hosts) = match (records, hosts) {
        (Ok(records), Ok(hosts)) => (records, hosts),
        (Err(why), _) | (_, Err(why)) => {
            return (
                finding.unreadable(format!("{path}: {status} says SES, its records are not looked at: {why}")).mend(RESOLVER),
                Aligned::Unread,
            );
        }
    };
    if !hosts.iter().any(|host| host.starts_with("feedback-smtp.") && host.ends_with(".amazonses.com")) {
        let value = format!("{path} has the MX {}", if hosts.is_empty() { "of nobody".to_owned() } else { hosts.join(", ") });
        return (finding.found(value, false).mend(mend), Aligned::No);
    }
    let yes = Aligned::Yes { exactly: path.eq_ignore_ascii_case(domain) };
    match included(&records) {
        Included::Yes => (finding.found(format!("{path} includes {INCLUDED}"), true), yes),
        Included::No(why) => (finding.found(format!("{path} {why}"), false).mend(mend), Aligned::No),
        Included::Perhaps => (finding.unreadable(format!("{path} includes others, which are not followed")).mend(mend), Aligned::Unread),
    }
}

enum Included {
    Yes,
    /// By way of another record.
    Perhaps,
    No(String),
}

/// More than one record is an error to receivers (RFC 7208, section 4.5).
fn included(records: &[String]) -> Included {
    let is_spf = |record: &&String| record.split(' ').next().is_some_and(|version| version.eq_ignore_ascii_case(SPF));
    let found: Vec<&String> = records.iter().filter(is_spf).collect();
    let [record] = found.as_slice() else {
        return Included::No(match found.len() {
            0 => "has no SPF record".to_owned(),
            records => format!("has {records} SPF records, of which receivers take none"),
        });
    };
    let terms = record.split_ascii_whitespace().map(str::to_ascii_lowercase);
    let named: Vec<String> = terms
        .filter_map(|term| {
            let term = term.strip_prefix('+').unwrap_or(&term);
            term.strip_prefix("include:").or_else(|| term.strip_prefix("redirect=")).map(str::to_owned)
        })
        .collect();
    if named.iter().any(|name| name == INCLUDED) {
        Included::Yes
    } else if named.is_empty() {
        Included::No(format!("has an SPF record without {INCLUDED}"))
    } else {
        Included::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_looked_for_upwards_to_two_labels() {
        assert_eq!(above("mail.example.co.jp").collect::<Vec<_>>(), ["mail.example.co.jp", "example.co.jp", "co.jp"]);
        assert_eq!(above("localhost").count(), 0);
    }

    #[test]
    fn an_spf_record_is_read_as_the_standard_says() {
        let told = |records: &[&str]| match included(&records.iter().map(|record| (*record).to_owned()).collect::<Vec<_>>()) {
            Included::Yes => "yes",
            Included::Perhaps => "perhaps",
            Included::No(_) => "no",
        };
        for (records, says) in [
            (&["v=spf1 include:amazonses.com ~all"][..], "yes"),
            (&["other", "V=SPF1 ip4:192.0.2.1 +INCLUDE:amazonses.com -all"], "yes"),
            (&["v=spf1 redirect=amazonses.com"], "yes"),
            (&["v=spf1 include:_spf.example.com -all"], "perhaps"),
            (&["v=spf1 -include:amazonses.com -all"], "no"),
            (&["v=spf1 -all"], "no"),
            (&["v=spf10 include:amazonses.com"], "no"),
            (&["v=spf1 include:amazonses.com ~all", "v=spf1 -all"], "no"),
            (&[], "no"),
        ] {
            assert_eq!(told(records), says, "{records:?}");
        }
    }
}
