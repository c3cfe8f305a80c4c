//! What is asked of whoever proves that it is over.

use std::path::PathBuf;

use clap::Args;
use issei_certificate::NotBefore;
use issei_schema::BroadcastId;

use crate::pages::Language;

#[derive(Debug, Args)]
pub(crate) struct AuditOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
}

#[derive(Debug, Args)]
pub(crate) struct ReportOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Where the page goes; `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// A signed certificate to show in it.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The public key that must have signed it.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) public_key: Option<PathBuf>,
    /// The language of the page
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lang: Language,
}

#[derive(Debug, Args)]
pub(crate) struct CertifyOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// The Ed25519 private key that signs, in PEM (`openssl genpkey -algorithm ed25519 -out FILE`).
    /// Without it the certificate is shown and not signed.
    #[arg(long, env = "ISSEI_SIGNING_KEY_FILE", value_name = "FILE")]
    pub(crate) signing_key: Option<PathBuf>,
    /// Where the signed certificate goes, over nothing that is there; `-` for standard output.
    #[arg(long, short, value_name = "FILE", requires = "signing_key")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// The signed certificate.
    pub(crate) file: PathBuf,
    /// The public key of whoever you trust, in PEM (`openssl pkey -in KEY -pubout`). Get it over another
    /// way than the certificate.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: PathBuf,
    /// The broadcast that it must be about. A good certificate of another one is refused.
    #[arg(long, value_name = "ID")]
    pub(crate) broadcast: Option<BroadcastId>,
    /// The oldest that it may be: a day (UTC) or a time (RFC 3339). One that was issued before is refused.
    #[arg(long, value_name = "DATE")]
    pub(crate) not_before: Option<NotBefore>,
}
