//! `issei report`: one page that shows what became of a broadcast, without any network.

use anyhow::{Context, bail};
use askama::Template;
use issei_assembly::{Parts, Settings, VERSION, say};
use issei_certificate::{PublicKey, Signed};
use serde_json::json;

use crate::Ended;
use crate::args::ReportOptions;
use crate::commands::status::Status;
use crate::output;
use crate::pages::{Bounces, Language, Live, Report, STYLE, Words, bounces, said, took};

/// How a report is known, in its first lines.
fn opening(words: &Words) -> String {
    format!("<title>{}: ", words.report)
}

pub(crate) async fn run(settings: &Settings, options: &ReportOptions, as_json: bool) -> anyhow::Result<Ended> {
    let words = options.lang.words();
    let is_report = |begins: &str| [Language::En, Language::Ja].iter().any(|language| begins.contains(&opening(language.words())));
    output::spares_others(&options.output, "report", is_report)?;
    let parts = Parts::connect(settings).await;
    let ledger = parts.ledger();
    let (certificate, signed_by) = match (&options.certificate, &options.public_key) {
        (Some(file), Some(key)) => {
            let read = |path: &std::path::Path| std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()));
            let key = PublicKey::from_pem(&read(key)?)?;
            let certificate = Signed::parse(&read(file)?)?.verify(&key).with_context(|| format!("{}", file.display()))?;
            if certificate.broadcast_id != options.id {
                bail!("{} is the certificate of `{}`, and the report is about `{}`", file.display(), certificate.broadcast_id, options.id);
            }
            (Some(certificate), Some(key.fingerprint()))
        }
        _ => (None, None),
    };
    let (status, timeline) = (Status::read(&parts, &options.id, true).await?, ledger.timeline(&options.id).await?);
    let broadcast = ledger.broadcast(&options.id).await?;
    let trail = ledger.audit_trail(&broadcast).await?;
    let (_, details) = ledger.event_log_with(&broadcast, |(kind, ..)| bounces::is_told(kind)).await?;
    let command = ledger.command(&options.id).await?;
    let proof = status.proof(&parts, &trail).await?;
    let page = Report {
        words,
        style: STYLE,
        live: Live::of(words, status, trail, &timeline, proof, false),
        from: command.from.to_header(),
        said: said(words, &command),
        took: took(words, &timeline),
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
        say(&json!({ "broadcast_id": options.id, "written": options.output }).to_string());
    } else {
        say(&format!(
            "{} written; it needs no network, and lists no recipients. Reasons stand in it as people wrote them: look for addresses there before you pass it on",
            options.output.display()
        ));
    }
    Ok(Ended::Well)
}
