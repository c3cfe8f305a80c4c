//! DMARC of the sender's domain: the policy that receivers find, and whether the mail will meet it.

use futures_util::future::join_all;
use issei_certificate::Finding;
use issei_provider::above;

use super::InEnglish;
use super::dns::Dns;
use super::setting;

/// Whether what proves a mail's origin speaks for the domain of `From`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aligned {
    Yes {
        /// By that very domain, which a strict policy asks for, and not by one that it is related to.
        exactly: bool,
    },
    No,
    /// Nobody could tell.
    Unread,
}

/// What the record nearest to a domain says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Policy {
    None,
    /// Receivers take none of them (RFC 7489, section 6.6.3).
    Several {
        at: String,
        records: usize,
    },
    Bad {
        at: String,
        record: String,
    },
    One {
        at: String,
        policy: String,
        strict_dkim: bool,
        strict_spf: bool,
    },
}

/// The nearest record at or above the domain, label by label (RFC 9989, section 4.10, "DNS Tree Walk"; by RFC 7489
/// only the domain itself and its organizational domain were asked, which needs a list of public suffixes).
pub(super) async fn policy(domain: &str, dns: &Dns) -> Result<Policy, String> {
    // At most eight questions, as there: of a longer name, itself and then its last seven labels.
    let names = above(domain).filter(|name| *name == domain || name.split('.').count() <= 7).map(|name| format!("_dmarc.{name}"));
    let asked = join_all(names.map(|name| async move { (dns.txt(&name).await, name) }));
    for (records, at) in asked.await {
        let mut records: Vec<String> = records?.into_iter().filter(|record| is_dmarc(record)).collect();
        match (records.pop(), records.len()) {
            (None, _) => {}
            (Some(record), 0) => return Ok(read(at, record)),
            (Some(_), others) => return Ok(Policy::Several { at, records: others + 1 }),
        }
    }
    Ok(Policy::None)
}

/// The version comes first, in just these letters (RFC 7489, section 6.3).
fn is_dmarc(record: &str) -> bool {
    record
        .split(';')
        .next()
        .and_then(|first| first.split_once('='))
        .is_some_and(|(name, value)| name.trim() == "v" && value.trim() == "DMARC1")
}

fn read(at: String, record: String) -> Policy {
    let policy = tag(&record, "p").unwrap_or_default().to_ascii_lowercase();
    if !matches!(policy.as_str(), "none" | "quarantine" | "reject") {
        return Policy::Bad { at, record };
    }
    let is_strict = |name: &str| tag(&record, name).is_some_and(|mode| mode.eq_ignore_ascii_case("s"));
    Policy::One { at, policy, strict_dkim: is_strict("adkim"), strict_spf: is_strict("aspf") }
}

/// The value of a tag in a list of tags (RFC 6376, section 3.2; RFC 7489, section 6.3).
pub(super) fn tag<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record.split(';').filter_map(|pair| pair.split_once('=')).find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

/// Holds the mail against the policy that was found.
pub(super) fn dmarc(domain: &str, found: Result<Policy, String>, dkim: Aligned, spf: Aligned) -> Finding {
    let finding = setting(&format!("DMARC of {domain}"), "DNS, and the findings on DKIM and SPF").rule(
        "one policy, and DKIM or SPF aligned as it asks",
        "Gmail, Yahoo and Microsoft want it of who sends some 5,000 a day (their sender guidelines); a policy that is not met sends mail to spam, or nowhere (RFC 7489)",
    );
    let publish = format!("publish one TXT record, `v=DMARC1; p=none` or stricter, at _dmarc.{domain}");
    let policy = match found {
        Ok(policy) => policy,
        Err(why) => return finding.unreadable(format!("not looked at: {why}")).mend("name a resolver that answers: --dns-resolver"),
    };
    let (value, strict_dkim, strict_spf) = match policy {
        Policy::None => return finding.found("no policy", false).mend(publish),
        Policy::Several { at, records } => {
            return finding
                .found(format!("{records} policies at {at}, of which receivers take none"), false)
                .mend(format!("leave one at {at}"));
        }
        Policy::Bad { at, record } => return finding.found(format!("no policy in `{record}` at {at}"), false).mend(publish),
        Policy::One { at, policy, strict_dkim, strict_spf } => (format!("p={policy} at {at}"), strict_dkim, strict_spf),
    };
    let meets = |aligned: Aligned, is_strict: bool| match aligned {
        Aligned::Yes { exactly } => Some(exactly || !is_strict),
        Aligned::No => Some(false),
        Aligned::Unread => None,
    };
    let mend = format!("let SES sign as {domain} (Easy DKIM); a strict policy (adkim=s) wants the very domain of From verified");
    match (meets(dkim, strict_dkim), meets(spf, strict_spf)) {
        (Some(true), Some(true)) => finding.found(format!("{value}; DKIM and SPF align"), true),
        (Some(true), _) => finding.found(format!("{value}; DKIM aligns"), true),
        (_, Some(true)) => finding.found(format!("{value}; SPF aligns, and DKIM does not"), true),
        (Some(false), Some(false)) => finding.found(format!("{value}; neither DKIM nor SPF aligns"), false).mend(mend),
        _ => finding.unreadable(format!("{value}; whether DKIM or SPF aligns is not known")).mend(mend),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_the_standard_says() {
        assert!(is_dmarc("v=DMARC1; p=none") && is_dmarc(" v = DMARC1 ;p=none") && is_dmarc("v=DMARC1"));
        for other in ["v=spf1 -all", "p=none; v=DMARC1", "v=dmarc1; p=none", "v=DMARC12; p=none", ""] {
            assert!(!is_dmarc(other), "{other}");
        }
        let record = "v=DMARC1; p=Quarantine;adkim = s ; rua=mailto:a@example.com".to_owned();
        let at = "_dmarc.example.com".to_owned();
        let one = Policy::One { at: at.clone(), policy: "quarantine".to_owned(), strict_dkim: true, strict_spf: false };
        assert_eq!(read(at.clone(), record), one);
        for bad in ["v=DMARC1", "v=DMARC1; p=", "v=DMARC1; p=maybe", "v=DMARC1; sp=reject"] {
            assert!(matches!(read(at.clone(), bad.to_owned()), Policy::Bad { .. }), "{bad}");
        }
    }

    #[test]
    fn what_was_not_read_is_never_fine_and_one_that_aligns_is_enough() {
        let policy = |strict_dkim| Policy::One { at: "x".to_owned(), policy: "reject".to_owned(), strict_dkim, strict_spf: false };
        let judge = |strict, dkim, spf| dmarc("example.com", Ok(policy(strict)), dkim, spf).judgement.to_string();
        let (exactly, related) = (Aligned::Yes { exactly: true }, Aligned::Yes { exactly: false });
        for (strict, dkim, spf, says) in [
            (false, related, Aligned::No, "holds"),
            (true, exactly, Aligned::Unread, "holds"),
            (true, related, Aligned::No, "BROKEN"),
            (false, Aligned::No, related, "holds"),
            (false, Aligned::Unread, related, "holds"),
            (false, Aligned::Unread, Aligned::No, "UNREADABLE"),
            (true, related, Aligned::Unread, "UNREADABLE"),
            (false, Aligned::Unread, Aligned::Unread, "UNREADABLE"),
            (false, Aligned::No, Aligned::No, "BROKEN"),
        ] {
            assert_eq!(judge(strict, dkim, spf), says, "{strict} {dkim:?} {spf:?}");
        }
    }
}
