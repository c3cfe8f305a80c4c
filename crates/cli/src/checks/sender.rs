//! Whether a provider sends for the sender, and whether receivers will believe that it does so in the sender's name:
//! DKIM, SPF and DMARC of its domain, as far as the provider and DNS tell. `send` and `doctor` show the same, and what
//! nobody could tell is unreadable.

use futures_util::future::join_all;
use issei_assembly::Parts;
use issei_certificate::Finding;
use issei_provider::{Provider, ReturnPath, Sender, Signs};
use issei_schema::Mailbox;

use super::InEnglish;
use super::dmarc::{Aligned, dmarc, policy, tag};
use super::dns::Dns;
use super::setting;

const SPF: &str = "v=spf1";
const RESOLVER: &str = "name a resolver that answers: --dns-resolver";

/// Nothing where the provider is not asked about senders.
pub(crate) async fn sender(parts: &Parts, provider: &dyn Provider, from: &Mailbox) -> Vec<Finding> {
    let domain = from.address().as_str().rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let Some(Sender { asked, why, told, mend }) = provider.sender(from).await else { return Vec::new() };
    let title = provider.facts().title;
    let finding = setting(&format!("identity of {domain}"), asked).rule("verified", why);
    let identity = match told {
        Ok(Some(identity)) => identity,
        Ok(None) => return vec![finding.found(format!("{title} knows neither the domain nor the address"), false).mend(mend)],
        Err(why) => return vec![finding.unreadable(why).mend(mend)],
    };
    let value = format!("{} {}", identity.name, if identity.is_verified { "verified" } else { "not verified" });
    let finding = finding.found(value, identity.is_verified).mend(mend);
    let dns = Dns::new(parts.settings.resolver(), parts.clock.now());
    let of = Of { domain: &domain, title, asked, dns: &dns };
    let ((dkim, signed), (spf, path), policy) = tokio::join!(of.dkim(&identity.signs), of.spf(&identity.path), policy(&domain, &dns));
    vec![finding, dkim, spf, dmarc(&domain, policy, signed, path)]
}

/// Whose mail is looked at, and by whom it is carried.
struct Of<'a> {
    domain: &'a str,
    title: &'static str,
    asked: &'static str,
    dns: &'a Dns,
}

impl Of<'_> {
    /// The keys must be where receivers look for them. A provider signs as the sender's domain or one above it, so in the
    /// relaxed mode of DMARC it aligns.
    async fn dkim(&self, signs: &Signs) -> (Finding, Aligned) {
        let finding = setting(&format!("DKIM of {}", self.domain), &format!("{}, and DNS", self.asked)).rule(
            "signed as the sender's domain or one above it, with the keys in DNS",
            "receivers take a mail for the domain's own by its signature (RFC 6376), and where SES can't sign in time it sends unsigned (SES developer guide)",
        );
        let (signer, keys, told, mend) = match signs {
            Signs::Untold => return (finding.unreadable(format!("{} did not tell", self.title)), Aligned::Unread),
            Signs::No { told, mend } => return (finding.found(told, false).mend(mend), Aligned::No),
            Signs::As { domain, keys, told, mend } => (domain, keys, told, mend),
        };
        match keys_missing(keys, self.dns).await {
            Ok(missing) if !missing.is_empty() => {
                let value = format!("{told}, and DNS has no key at {}", missing.join(", "));
                (finding.found(value, false).mend(mend), Aligned::No)
            }
            Ok(_) if keys.is_empty() => (finding.unreadable(format!("{told}, and names no key to look for")), Aligned::Unread),
            Ok(_) => {
                let value = format!("signed as {signer}, {} keys in DNS", keys.len());
                (finding.found(value, true), Aligned::Yes { exactly: signer.eq_ignore_ascii_case(self.domain) })
            }
            Err(why) => (finding.unreadable(format!("{told}, the keys are not looked at: {why}")).mend(RESOLVER), Aligned::Unread),
        }
    }

    /// SPF looks at the domain of MAIL FROM. The sender's own is below the identity's domain or that very one, so in the
    /// relaxed mode of DMARC it aligns; the provider's, where none is set up, never does.
    async fn spf(&self, path: &ReturnPath) -> (Finding, Aligned) {
        let finding = setting(&format!("SPF of {}", self.domain), &format!("{}, and DNS", self.asked)).rule(
            format!("{0}'s own MAIL FROM; or one of the sender's, whose SPF includes {0}'s and whose MX is {0}'s", self.title),
            "SPF is asked of the domain of MAIL FROM (RFC 7208), and where SES finds no MX there it takes its own, or does not send (SES developer guide)",
        );
        let (path, told, includes, taken_by, mend) = match path {
            ReturnPath::Own => {
                let value = format!("{}'s own MAIL FROM, which aligns with nothing: DMARC rests on DKIM alone", self.title);
                return (finding.found(value, true), Aligned::No);
            }
            ReturnPath::NotReady { domain, told, mend } => {
                return (finding.found(format!("{domain}: {told}"), false).mend(mend), Aligned::No);
            }
            ReturnPath::Theirs { domain, told, includes, taken_by, mend } => (domain, told, *includes, *taken_by, mend),
        };
        let (records, hosts) = tokio::join!(self.dns.txt(path), self.dns.mx(path));
        let (records, hosts) = match (records, hosts) {
            (Ok(records), Ok(hosts)) => (records, hosts),
            (Err(why), _) | (_, Err(why)) => {
                let value = format!("{path}: {told}, its records are not looked at: {why}");
                return (finding.unreadable(value).mend(RESOLVER), Aligned::Unread);
            }
        };
        if !hosts.iter().any(|host| host.starts_with(taken_by.0) && host.ends_with(taken_by.1)) {
            let value = format!("{path} has the MX {}", if hosts.is_empty() { "of nobody".to_owned() } else { hosts.join(", ") });
            return (finding.found(value, false).mend(mend), Aligned::No);
        }
        let yes = Aligned::Yes { exactly: path.eq_ignore_ascii_case(self.domain) };
        match included(&records, includes) {
            Included::Yes => (finding.found(format!("{path} includes {includes}"), true), yes),
            Included::No(why) => (finding.found(format!("{path} {why}"), false).mend(mend), Aligned::No),
            Included::Perhaps => {
                (finding.unreadable(format!("{path} includes others, which are not followed")).mend(mend), Aligned::Unread)
            }
        }
    }
}

/// Where no key is: a provider's are behind an alias, one's own stand there. An empty one is revoked (RFC 6376, section
/// 3.6.1).
async fn keys_missing(keys: &[String], dns: &Dns) -> Result<Vec<String>, String> {
    let looked = keys.iter().map(|name| async move {
        let records = dns.txt(name).await?;
        let has_key = records.iter().any(|record| tag(record, "p").is_some_and(|key| !key.is_empty()));
        Ok((has_key || (records.is_empty() && dns.is_alias(name).await?)).then_some(()).ok_or_else(|| name.clone()))
    });
    let looked: Result<Vec<Result<(), String>>, String> = join_all(looked).await.into_iter().collect();
    Ok(looked?.into_iter().filter_map(Result::err).collect())
}

enum Included {
    Yes,
    /// By way of another record.
    Perhaps,
    No(String),
}

/// More than one record is an error to receivers (RFC 7208, section 4.5).
fn included(records: &[String], wanted: &str) -> Included {
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
    if named.iter().any(|name| name == wanted) {
        Included::Yes
    } else if named.is_empty() {
        Included::No(format!("has an SPF record without {wanted}"))
    } else {
        Included::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_spf_record_is_read_as_the_standard_says() {
        let told =
            |records: &[&str]| match included(&records.iter().map(|record| (*record).to_owned()).collect::<Vec<_>>(), "amazonses.com") {
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
