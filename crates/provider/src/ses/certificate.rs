//! The certificate that SNS signs with. It is read from where SNS publishes it, over HTTPS: that is what says
//! whose it is. The file holds no chain to verify, and AWS's own SDK for Java asks no more than this: who it is
//! for, and since and until when.

use std::fmt::Display;

use jiff::Timestamp;
use ring::signature::UnparsedPublicKey;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::sns::Signed;

/// A key of SNS, and when it is one.
#[derive(Debug)]
pub(crate) struct SigningCertificate {
    /// As PKCS #1 has it.
    key: Vec<u8>,
    since: Timestamp,
    until: Timestamp,
    is_for_sns: bool,
}

impl SigningCertificate {
    /// Reads the first certificate of a document. `domain` is what names of AWS end with where it was fetched.
    ///
    /// # Errors
    /// Says that the document holds none.
    pub(crate) fn parse(document: &[u8], domain: &str) -> Result<Self, String> {
        let broken = |error: &dyn Display| format!("what is there is no certificate: {error}");
        let chain = Certificate::load_pem_chain(document).map_err(|error| broken(&error))?;
        let certificate = &chain.first().ok_or_else(|| broken(&"it is empty"))?.tbs_certificate;
        let at = |time: Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).map_err(|error| broken(&error))?;
            Timestamp::from_second(seconds).map_err(|error| broken(&error))
        };
        let names = certificate.get::<SubjectAltName>().map_err(|error| broken(&error))?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let mut common = certificate.subject.0.iter().flat_map(|names| names.0.iter()).filter_map(common_name);
        Ok(Self {
            key: certificate.subject_public_key_info.subject_public_key.raw_bytes().to_vec(),
            since: at(certificate.validity.not_before)?,
            until: at(certificate.validity.not_after)?,
            is_for_sns: names.iter().filter_map(dns_name).any(|name| is_of_sns(name, domain)) || common.any(|name| is_of_sns(name, domain)),
        })
    }

    /// Whether this key has signed what is said to be signed.
    ///
    /// # Errors
    /// Says why that is not so.
    pub(crate) fn verify(&self, signed: &Signed, now: Timestamp) -> Result<(), &'static str> {
        if !self.is_for_sns {
            return Err("the certificate that it names is not for SNS");
        }
        if now < self.since || now > self.until {
            return Err("the certificate that it names is not valid at this time");
        }
        let key = UnparsedPublicKey::new(signed.algorithm, &self.key);
        key.verify(signed.text.as_bytes(), &signed.signature).map_err(|_| "its signature is not SNS's over what it says")
    }
}

fn common_name(name: &AttributeTypeAndValue) -> Option<&str> {
    // In UTF-8, or in a part of it.
    (name.oid == COMMON_NAME).then(|| std::str::from_utf8(name.value.value()).ok()).flatten()
}

fn dns_name(name: &GeneralName) -> Option<&str> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str()),
        _ => None,
    }
}

/// `sns.amazonaws.com` in most regions, `sns-signing.REGION.…` and `sns-REGION.…` in others (AWS SDK for Java,
/// `SnsMessageManager`).
fn is_of_sns(name: &str, domain: &str) -> bool {
    let host = name.strip_suffix(domain).and_then(|name| name.strip_suffix('.'));
    host.and_then(|host| host.split('.').next()).is_some_and(|label| label == "sns" || label.starts_with("sns-"))
}

#[cfg(test)]
mod tests {
    use super::is_of_sns;

    #[test]
    fn a_certificate_is_for_sns_by_any_of_the_names_that_it_has_in_regions() {
        for name in
            ["sns.amazonaws.com", "sns.eu-west-1.amazonaws.com", "sns-signing.eu-south-1.amazonaws.com", "sns-us-gov-west-1.amazonaws.com"]
        {
            assert!(is_of_sns(name, "amazonaws.com"), "{name}");
        }
        for name in [
            "amazonaws.com",
            "sqs.amazonaws.com",
            "snsamazonaws.com",
            "sns.amazonaws.com.example.com",
            "*.amazonaws.com",
            "sns.example.com",
        ] {
            assert!(!is_of_sns(name, "amazonaws.com"), "{name}");
        }
        assert!(is_of_sns("sns-cn-north-1.amazonaws.com.cn", "amazonaws.com.cn"));
    }
}
