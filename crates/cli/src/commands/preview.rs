//! `issei preview`: a command's letters for some of its audience, or for rows of one's own. It asks AWS for nothing but a
//! template that SES stores and a table of DynamoDB that is the audience, and sends nothing.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::bail;
use issei_assembly::{Parts, Settings, say};
use issei_clock::Clock;
use issei_ledger::{SkipReason, kept_key};
use issei_letter::Letters;
use issei_producer::{AudienceConfig, ReadObjects, Refusal, check_time, each_judged, mailable_data};
use issei_schema::{Bilingual, BroadcastCommand, Content, Recipient, both};
use serde_json::json;

use crate::args::PreviewOptions;
use crate::checks::{refused, stored};
use crate::command_file;
use crate::commands::send::Skipped;
use crate::letters::{can_stand, letters, of_variant, print, print_sender, write};
use crate::output;
use crate::{Ended, Refused};

/// Which rows are wanted.
pub(super) struct Which<'a> {
    pub(super) rows: usize,
    /// The one with this key alone.
    pub(super) key: Option<&'a str>,
    /// Those of a file, and not of the audience.
    pub(super) data: Option<&'a Path>,
}

/// Whom to show, and what each is an example of.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) recipients: Vec<(Vec<Bilingual>, Recipient)>,
    /// Rows that are skipped, or can't be written to, by their reason.
    skipped: Vec<Skipped>,
    /// Why the one that is asked for is.
    why: Option<SkipReason>,
    /// Of an audience in S3, what it was read from.
    objects: Option<ReadObjects>,
}

/// The command with what its template says at this moment; as it is where nobody can tell.
pub(super) async fn read_in(settings: &Settings, command: BroadcastCommand) -> anyhow::Result<BroadcastCommand> {
    if !matches!(command.content, Content::Template { .. }) {
        return Ok(command);
    }
    let told = stored(&Parts::connect(settings).await, &command, &[]).await.and_then(|stored| stored.content);
    let Some(content) = told else { return Ok(command) };
    // Nobody is shown a letter that no producer would take.
    if let Some(refusal) = refused(&command, &content) {
        bail!(refusal);
    }
    Ok(BroadcastCommand { content: command.content.with_frozen(content), ..command })
}

/// The rows that are wanted.
pub(super) async fn rows(settings: &Settings, command: &BroadcastCommand, which: &Which<'_>) -> anyhow::Result<Shown> {
    let shown = match which.data {
        Some(file) => of_data(command, file, which.rows)?,
        None => of_audience(settings, command, which).await?,
    };
    if let Some(key) = which.key.filter(|_| shown.recipients.is_empty()) {
        let (audience, key) = (&command.audience, kept_key(key));
        bail!(Refused(match shown.why {
            Some(reason) => format!(
                "the row with the key {key} of the audience `{audience}` is skipped as {reason}, so it gets no letter: correct the row where it comes from, or look at another (docs/promises.md says when a row is skipped)"
            ),
            None => format!(
                "the audience `{audience}` has no row with the key {key}: a key is compared sign by sign, as the column `{}` has it; without --as the first rows are shown",
                settings.audiences.get(audience.as_str()).map_or("key", |audience| audience.key.as_str())
            ),
        }));
    }
    Ok(shown)
}

pub(crate) async fn run(settings: &Settings, options: &PreviewOptions, as_json: bool) -> anyhow::Result<Ended> {
    output::is_for_a_page(options.output.as_deref())?;
    let settings = &settings.clone().with_audiences().await;
    let mut command = command_file::read(&options.file)?;
    can_stand(options.output.as_deref())?;
    command.audience = options.audience.clone().unwrap_or(command.audience);
    // Nobody is shown a letter that no producer would take.
    if let (Content::Template { .. }, Some(known)) = (&command.content, settings.known_providers().get(&command.provider()))
        && !known.facts.stores_templates
    {
        bail!(Refusal::NoTemplates { provider: known.facts.title });
    }
    let command = read_in(settings, command).await?;
    let which = Which { rows: options.rows, key: options.key.as_deref(), data: options.data.as_deref() };
    let shown = rows(settings, &command, &which).await?;
    let letters = letters(&command, shown.recipients.iter().map(|(of, recipient)| (of.clone(), recipient)), None)?;
    if let Some(file) = &options.output {
        write(file, &command, &letters)?;
    }
    // A letter can be looked at whenever it is to be sent.
    let refused = check_time(&command, Clock::system().wall()).err().map(|refused| refused.to_string());
    if as_json {
        let mut told = json!({ "broadcast_id": command.broadcast_id, "from": command.from.shown(), "letters": letters, "skipped": shown.skipped, "refused_now": refused });
        if let Some(reply_to) = &command.reply_to {
            told["reply_to"] = reply_to.shown().into();
        }
        if let Some(objects) = &shown.objects {
            told["objects"] = json!(objects);
        }
        say(&told.to_string());
        return Ok(Ended::Well);
    }
    print_sender(&command);
    if let Some(objects) = &shown.objects {
        say(&format!("read from      {objects}"));
    }
    print(&letters);
    if !shown.skipped.is_empty() {
        say("");
        Skipped::print(&shown.skipped);
    }
    if let Some(refused) = &refused {
        say(&format!("\nit would be refused now: {refused}"));
    }
    if let Some(file) = options.output.as_ref().filter(|file| !output::is_standard(file)) {
        say(&format!("\n{} shows all parts, wide and narrow", file.display()));
    }
    Ok(Ended::Well)
}

/// The first of the audience, and the first of each variant; or the one that is asked for.
async fn of_audience(settings: &Settings, command: &BroadcastCommand, which: &Which<'_>) -> anyhow::Result<Shown> {
    let name = command.audience.as_str();
    let audience = AudienceConfig::named(name, &settings.audiences)
        .ok_or_else(|| Refused(format!("the configuration has no audience `{name}`; add it, or show rows of your own with --data FILE")))?;
    let letters = Letters::of(command)?;
    let variants: Vec<Option<String>> = letters.all().map(|(name, _)| name.map(ToString::to_string)).collect();
    let (mut shown, mut seen) = (Shown::default(), BTreeSet::new());
    let judged = each_judged(command, &audience, &settings.spool_directory(), |judged| {
        let recipient = match judged {
            Ok(recipient) => recipient,
            Err((key, reason)) => {
                shown.why = shown.why.or((which.key == Some(key.as_str())).then_some(reason));
                return;
            }
        };
        let of = if let Some(key) = which.key {
            (recipient.key.as_str() == key).then(|| both!("as asked for", "指定した宛先"))
        } else {
            let number = letters.number(&recipient.data).unwrap_or_default();
            let variant = variants.get(number).and_then(Option::as_ref);
            let is_first = seen.insert(number);
            if shown.recipients.len() < which.rows {
                Some(variant.map_or_else(|| both!("row {}", "行 {}", shown.recipients.len() + 1), of_variant))
            } else {
                variant.filter(|_| is_first).map(of_variant)
            }
        };
        shown.recipients.extend(of.map(|of| (vec![of], recipient)));
    })
    .await?;
    shown.skipped = Skipped::of(judged.skipped);
    shown.objects = judged.objects;
    Ok(shown)
}

/// The rows of a file, judged as those of an audience.
fn of_data(command: &BroadcastCommand, file: &Path, rows: usize) -> anyhow::Result<Shown> {
    let (recipients, skipped) = mailable_data(command, file)?;
    let recipients: Vec<(Vec<Bilingual>, Recipient)> =
        recipients.into_iter().take(rows).map(|recipient| (vec![both!("row {}", "行 {}", recipient.key)], recipient)).collect();
    if recipients.is_empty() && !skipped.is_empty() {
        let reasons: Vec<String> = skipped.iter().map(|(reason, skips)| format!("{} {reason}", skips.rows)).collect();
        bail!(Refused(format!("nobody of the rows of {} can be written to: {}", file.display(), reasons.join(", "))));
    }
    if recipients.is_empty() && rows > 0 {
        bail!(Refused(format!(
            "{} holds no row, so there is no letter to show; write one object a line, such as {{\"name\": \"Ann\"}}, or an array of them",
            file.display()
        )));
    }
    Ok(Shown { recipients, skipped: Skipped::of(skipped), ..Shown::default() })
}
