//! Signing: a certificate in a DSSE envelope (Dead Simple Signing Envelope, version 1.0), signed with
//! Ed25519 (RFC 8032). The signature is over the very bytes that are carried, so nothing depends on how
//! JSON is laid out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Certificate;

/// What the payload is.
const PAYLOAD_TYPE: &str = "application/vnd.issei.certificate+json";
/// A certificate is some tens of kilobytes; a file that is much larger is none.
const ENVELOPE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The key that signs.
pub struct Keys(SigningKey);

/// The key that whoever verifies trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// What is wrong with a key or a signed certificate.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("the signing key is no Ed25519 private key in PEM (PKCS #8): {0}; make one with `openssl genpkey -algorithm ed25519`")]
    PrivateKey(String),
    #[error("this is no Ed25519 public key in PEM: {0}; `openssl pkey -in KEY -pubout` gives it")]
    PublicKey(String),
    #[error("this is no signed certificate: {0}")]
    Envelope(String),
    #[error("it is not signed by the key {wanted}, only by {found}; ask whoever issued it for the right public key, over another way")]
    OtherKey { wanted: String, found: String },
    #[error("the signature does not fit: the certificate was changed after it was signed, or the signature was")]
    Forged,
}

/// A certificate with its signature, as it is written to a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signed {
    payload_type: String,
    /// The certificate's JSON, in base64.
    payload: String,
    signatures: Vec<OneSignature>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneSignature {
    keyid: String,
    sig: String,
}

/// What is signed: the type and the payload with their lengths (DSSE protocol, "PAE").
fn pre_authentication(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`.
    pub fn from_pem(pem: &str) -> Result<Self, SignatureError> {
        VerifyingKey::from_public_key_pem(pem).map(Self).map_err(|error| SignatureError::PublicKey(error.to_string()))
    }

    /// A short name to compare over the telephone: the first half of the key's SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()).get(..16).unwrap_or_default())
    }
}

impl Keys {
    /// Reads `-----BEGIN PRIVATE KEY-----`.
    pub fn from_pem(pem: &str) -> Result<Self, SignatureError> {
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|error| SignatureError::PrivateKey(error.to_string()))
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a certificate.
    pub fn sign(&self, certificate: &Certificate) -> Result<Signed, SignatureError> {
        let payload = serde_json::to_vec(certificate).map_err(|error| SignatureError::Envelope(error.to_string()))?;
        let sig = STANDARD.encode(self.0.sign(&pre_authentication(&payload)).to_bytes());
        let keyid = self.public().fingerprint();
        Ok(Signed {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![OneSignature { keyid, sig }],
        })
    }
}

impl Signed {
    /// Reads a file. Hostile until it is verified.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        if text.len() > ENVELOPE_BYTES_MAX {
            return Err(SignatureError::Envelope(format!("it has {} bytes", text.len())));
        }
        serde_json::from_str(text).map_err(|error| SignatureError::Envelope(error.to_string()))
    }

    /// Gives the certificate where this key has signed it. Needs no network.
    pub fn verify(&self, key: &PublicKey) -> Result<Certificate, SignatureError> {
        let envelope = |reason: String| SignatureError::Envelope(reason);
        if self.payload_type != PAYLOAD_TYPE {
            return Err(envelope(format!("its payload is `{}`", self.payload_type)));
        }
        let payload = STANDARD.decode(&self.payload).map_err(|error| envelope(error.to_string()))?;
        let signed = pre_authentication(&payload);
        let fingerprint = key.fingerprint();
        let ours: Vec<_> = self.signatures.iter().filter(|signature| signature.keyid == fingerprint).collect();
        if ours.is_empty() {
            let found: Vec<&str> = self.signatures.iter().map(|signature| signature.keyid.as_str()).collect();
            return Err(SignatureError::OtherKey { wanted: fingerprint, found: found.join(", ") });
        }
        // The key's name is only a name. Strict: no key of small order, one encoding of each signature.
        let fits = |signature: &&OneSignature| {
            let bytes = STANDARD.decode(&signature.sig).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
            bytes.is_some_and(|signature| key.0.verify_strict(&signed, &signature).is_ok())
        };
        if !ours.iter().any(fits) {
            return Err(SignatureError::Forged);
        }
        serde_json::from_slice(&payload).map_err(|error| envelope(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finding, Kind, Outcomes, Part, Verdict};
    use issei_ledger::BroadcastState;
    use issei_schema::both;
    use proptest::prelude::*;

    fn keys(seed: u8) -> Keys {
        Keys(SigningKey::from_bytes(&[seed; 32]))
    }

    fn certificate() -> Certificate {
        let said = || both!("said", "内容");
        let finding = |part| Finding::of(part, said(), said()).must(said(), "why").is(said(), true);
        let outcomes = Outcomes {
            audience: 3,
            skipped: 1,
            recipients: 2,
            accepted: 2,
            rejected: 0,
            spared: 0,
            in_doubt: 0,
            not_sent: 0,
            delivered: 2,
            bounced: 0,
            complained: 0,
            not_rendered: 0,
            suppressed: 0,
            delayed: 0,
        };
        Certificate {
            certificate_version: 1,
            kind: Kind::Broadcast,
            broadcast_id: "terms".parse().unwrap(),
            state: BroadcastState::Complete,
            verdict: Verdict::Converged,
            issued_at: jiff::Timestamp::UNIX_EPOCH,
            issued_by: "somebody".to_owned(),
            issued_with: "0.1.0".to_owned(),
            command_hash: "c".to_owned(),
            audience_hash: "a".to_owned(),
            outcomes,
            notice: None,
            findings: [Part::Settings, Part::Source, Part::Data].map(finding).to_vec(),
            services: Vec::new(),
        }
    }

    #[test]
    fn what_was_signed_reads_back() {
        let text = serde_json::to_string(&keys(1).sign(&certificate()).unwrap()).unwrap();
        assert_eq!(Signed::parse(&text).unwrap().verify(&keys(1).public()).unwrap(), certificate());
        let error = Signed::parse(&text).unwrap().verify(&keys(2).public()).unwrap_err().to_string();
        assert!(error.contains(&keys(2).public().fingerprint()), "{error}");
    }

    /// Whoever forges the name of the key still has no signature of it.
    #[test]
    fn the_name_of_a_key_proves_nothing() {
        let mut signed = keys(2).sign(&certificate()).unwrap();
        signed.signatures[0].keyid = keys(1).public().fingerprint();
        assert!(matches!(signed.verify(&keys(1).public()), Err(SignatureError::Forged)));
    }

    #[test]
    fn a_verdict_without_evidence_of_each_part_is_none() {
        let whole = certificate();
        assert_eq!(whole.judged(), Verdict::Converged);
        for part in [Part::Settings, Part::Source, Part::Data] {
            let mut less = whole.clone();
            less.findings.retain(|finding| finding.part != part);
            assert_eq!(less.judged(), Verdict::NotConverged);
            let mut dark = whole.clone();
            let index = dark.findings.iter().position(|finding| finding.part == part).unwrap();
            dark.findings[index] = dark.findings[index].clone().failed("denied");
            assert_eq!(dark.judged(), Verdict::NotConverged);
        }
        let doubt = Certificate { outcomes: Outcomes { in_doubt: 4, ..whole.outcomes }, ..whole };
        assert_eq!(doubt.judged(), Verdict::InDoubt(4));
    }

    proptest! {
        #[test]
        fn a_certificate_that_was_changed_anywhere_is_refused(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let signed = keys(1).sign(&certificate()).unwrap();
            let mut payload = STANDARD.decode(&signed.payload).unwrap();
            let index = at.index(payload.len());
            prop_assume!(payload[index] != to);
            payload[index] = to;
            let changed = Signed { payload: STANDARD.encode(payload), ..signed };
            prop_assert!(matches!(changed.verify(&keys(1).public()), Err(SignatureError::Forged)));
        }
    }
}
