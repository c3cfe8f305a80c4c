//! `issei report`: one page that shows what became of a broadcast, without any network.

use std::path::Path;

use anyhow::{Context, bail};
use askama::Template;
use issei_assembly::{Settings, VERSION, say};
use issei_certificate::{Certificate, PublicKey, Signed};
use issei_schema::BroadcastId;
use serde_json::json;

use crate::args::ReportOptions;
use crate::commands::status::{CountedSince, Status};
use crate::in_use::{self, Care};
use crate::pages::{Bounces, Language, Live, Report, STYLE, Took, Words, bounces, said};
use crate::{Ended, Refused, input, output, refused};

/// How a report is known, in its first lines.
fn opening(words: &Words) -> String {
    format!("<title>{}: ", words.report)
}

pub(crate) async fn run(settings: &Settings, options: &ReportOptions, as_json: bool) -> anyhow::Result<Ended> {
    let words = options.lang.words();
    let is_report = |begins: &str| [Language::En, Language::Ja].iter().any(|language| begins.contains(&opening(language.words())));
    output::is_for_a_page(Some(&options.output))?;
    output::spares_others(&options.output, "report", is_report)?;
    let parts = in_use::open(settings, Care::Says).await?;
    let ledger = parts.ledger();
    let (certificate, signed_by) = match (&options.certificate, &options.public_key) {
        (Some(file), Some(key)) => {
            let (certificate, key) = certificate_of(&options.id, file, key)?;
            (Some(certificate), Some(key.fingerprint()))
        }
        _ => (None, None),
    };
    let (mut status, timeline) = (Status::read(&parts, &options.id, true).await?, ledger.timeline(&options.id).await?);
    let broadcast = ledger.broadcast(&options.id).await?;
    let trail = ledger.audit_trail(&broadcast).await?;
    let (_, details) = ledger.event_log_with(&broadcast, |(kind, ..)| bounces::is_told(kind)).await?;
    let command = ledger.command(&options.id).await?;
    status.ledger_told = in_use::found();
    let proof = status.proof(&parts, &options.id, &trail, &CountedSince::default()).await?;
    let page = Report {
        words,
        style: STYLE,
        live: Live::of(words, status, trail, &timeline, proof, false),
        from: command.from.to_header(),
        said: said(words, &command),
        took: Took::of(words, &timeline),
        bounces: Bounces::of(words, &details),
        certificate,
        // What is folded is not printed.
        opens: true,
        signed_by,
        made_at: parts.clock.wall(),
        version: VERSION,
    };
    let html = page.render()?;
    output::write(&options.output, "the report", &html)?;
    if output::is_standard(&options.output) {
        return Ok(Ended::Well);
    }
    if as_json {
        in_use::say_document(json!({ "broadcast_id": options.id, "written": options.output }))?;
    } else {
        say(&format!(
            "{} written; it needs no network, and lists no recipients. Reasons stand in it as people wrote them: look for addresses there before you pass it on",
            options.output.display()
        ));
    }
    Ok(Ended::Well)
}

/// The broadcast's certificate, and the key that it was signed with.
fn certificate_of(id: &BroadcastId, file: &Path, key: &Path) -> anyhow::Result<(Certificate, PublicKey)> {
    let (pem, text) = (input::text(key)?, input::text(file)?);
    let public = PublicKey::from_pem(&pem).with_context(|| key.display().to_string()).map_err(refused)?;
    let signed = Signed::parse(&text).with_context(|| file.display().to_string()).map_err(refused)?;
    let certificate = signed.verify(&public).with_context(|| file.display().to_string()).map_err(refused)?;
    if certificate.broadcast_id != *id {
        let (file, of) = (file.display(), &certificate.broadcast_id);
        bail!(Refused(format!("{file} is the certificate of `{of}`, and the report is about `{id}`")));
    }
    Ok((certificate, public))
}
