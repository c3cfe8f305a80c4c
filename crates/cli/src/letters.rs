//! Letters as their recipients get them, by the code that writes what SES renders. They are shown where somebody
//! asks for them, and stand in no log.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use askama::Template;
use issei_assembly::{Parts, say};
use issei_consumer::Envelope;
use issei_ledger::{Broadcast, Example, Ledger};
use issei_letter::{Letters, Rendered};
use issei_producer::{FellBack, Survey};
use issei_schema::{Bilingual, BroadcastCommand, Content, Recipient, StoredTemplate, Variants, both, is_blank};
use serde::Serialize;

use crate::checks::stored;
use crate::output;
use crate::pages::{Language, STYLE, Words};

/// So much of a value that has no variant is shown.
const VALUE_CHARS: usize = 40;

/// So much of a text is shown on a terminal; a page shows all of it.
const LINES: usize = 20;

/// A letter to one of the audience.
#[derive(Debug, Serialize)]
pub(crate) struct Letter {
    /// What it is an example of.
    of: Vec<Bilingual>,
    key: String,
    /// Nothing where the provider alone knows what it says.
    pub(crate) rendered: Option<Rendered>,
}

/// The letters of these, each with what it is an example of; `stored` is what a template says that was not
/// read at a registration.
pub(crate) fn letters<'a>(
    command: &BroadcastCommand,
    recipients: impl IntoIterator<Item = (Vec<Bilingual>, &'a Recipient)>,
    stored: Option<&StoredTemplate>,
) -> anyhow::Result<Vec<Letter>> {
    // Whether it may be sent is judged where it is to be.
    let (envelope, all) = (Envelope::shown(command)?, Letters::as_taken(command)?);
    let of = |(of, recipient): (Vec<Bilingual>, &Recipient)| Letter {
        of: with_variant(of, &all, recipient),
        key: recipient.key.as_str().to_owned(),
        rendered: envelope.rendered(recipient, stored),
    };
    Ok(recipients.into_iter().map(of).collect())
}

/// Beside what somebody is an example of, whose words they get, and why where that is the fallback.
fn with_variant(mut of: Vec<Bilingual>, letters: &Letters, recipient: &Recipient) -> Vec<Bilingual> {
    if let Some(variant) = letters.variant(&recipient.data).map(of_variant) {
        if !of.contains(&variant) {
            of.push(variant);
        }
        of.extend(letters.fell_back(&recipient.data).map(|(by, value)| match (by.as_str(), cut(value)) {
            (by, value) if value.is_empty() => both!("the fallback, since {by} is empty", "{by} が空のため既定の文面"),
            (by, value) => both!("the fallback, since {by} is `{value}`", "{by} が `{value}` のため既定の文面"),
        }));
    }
    of
}

/// Whose words somebody gets.
pub(crate) fn of_variant(variant: impl Display) -> Bilingual {
    both!("variant {variant}", "文面の種類 {variant}")
}

/// A value of somebody's row, as much of it as tells it from others.
fn cut(value: &str) -> String {
    if is_blank(value) {
        return String::new();
    }
    let one_line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(VALUE_CHARS).and_then(|(at, _)| one_line.get(..at)) {
        Some(beginning) => format!("{beginning}…"),
        None => one_line,
    }
}

/// What it is an example of.
fn in_words(of: &[Bilingual], language: Language) -> String {
    let (of, separator) = (of.iter().map(|one| language.words().say(one)), if language == Language::En { ", " } else { "、" });
    of.collect::<Vec<_>>().join(separator)
}

impl Letter {
    fn of_told(&self, words: &Words) -> String {
        in_words(&self.of, words.of())
    }
}

/// How many get the fallback's words and by which values, for people; nothing where nobody does.
pub(crate) fn fell_back(command: &BroadcastCommand, told: &FellBack) -> Option<String> {
    let Content::Variants(Variants { by, fallback: Some(fallback), .. }) = &command.content else { return None };
    let mut values: Vec<_> = told.values.iter().collect();
    values.sort_by_key(|(_, recipients)| std::cmp::Reverse(**recipients));
    let others = told.recipients.saturating_sub(told.values.values().sum());
    let values = values.into_iter().map(|(value, recipients)| match cut(value) {
        value if value.is_empty() => format!("{recipients} empty"),
        value => format!("{recipients} `{value}`"),
    });
    let values: Vec<String> = values.chain((others > 0).then(|| format!("{others} others"))).collect();
    (told.recipients > 0).then(|| {
        format!(
            "{} of these get `{fallback}` since no variant is named as their {} is: {}",
            told.recipients,
            by.as_str(),
            values.join(", ")
        )
    })
}

/// Whose letters a forecast shows, and of what each is an example: those of a survey, and one in which nothing stands where a
/// value should.
pub(crate) fn worth_a_look(survey: &Survey) -> Vec<(Vec<Bilingual>, &Recipient)> {
    let mut all: Vec<_> = survey.samples.with_variants().into_iter().map(|(of, recipient)| (told(&of), recipient)).collect();
    if let Some((recipient, columns)) = &survey.blank.first {
        let blank = both!("{} is blank", "{} が空", columns.join(", "));
        match all.iter_mut().find(|(_, known)| *known == recipient) {
            Some((of, _)) => of.push(blank),
            None => all.push((vec![blank], recipient)),
        }
    }
    all
}

/// Who it is from and who gets the answers, as they read.
pub(crate) fn print_sender(command: &BroadcastCommand) {
    say(&format!("from           {}", command.from.shown()));
    if let Some(reply_to) = &command.reply_to {
        say(&format!("reply to       {}", reply_to.shown()));
    }
}

/// What somebody is an example of, in words.
pub(crate) fn told(of: &[Example]) -> Vec<Bilingual> {
    of.iter().map(|one| one.told()).collect()
}

/// Of a broadcast of which no producer has noted whose letters are worth a look, such as after a canary: the first of its first page,
/// and the first there of each other letter.
async fn firsts(ledger: &Ledger, broadcast: &Broadcast, command: &BroadcastCommand) -> anyhow::Result<Vec<(Vec<Example>, Recipient)>> {
    if broadcast.pages == 0 {
        return Ok(Vec::new());
    }
    let (all, page) = (Letters::as_taken(command)?, ledger.page(&broadcast.placed(), 0).await?);
    let mut shown = BTreeSet::new();
    let mut firsts: Vec<_> =
        page.known_recipients().filter(|it| shown.insert(all.number(&it.data))).map(|it| (Vec::new(), it.clone())).collect();
    firsts.first_mut().into_iter().for_each(|(of, _)| of.push(Example::First));
    Ok(firsts)
}

/// The letters of a broadcast that holds, as they are frozen.
pub(crate) async fn of_held(parts: &Parts, broadcast: &Broadcast) -> anyhow::Result<Vec<Letter>> {
    let ledger = parts.ledger();
    let (mut examples, command) = (ledger.examples(broadcast).await?, ledger.command_of(broadcast).await?);
    if examples.is_empty() {
        examples = firsts(&ledger, broadcast, &command).await?;
    }
    let stored = match &command.content {
        // Registered by a build that did not read it.
        Content::Template { frozen: None, .. } => stored(parts, &command, &[]).await.and_then(|stored| stored.content),
        Content::Template { .. } | Content::Inline(_) | Content::Variants(_) => None,
    };
    letters(&command, examples.iter().map(|(of, recipient)| (told(of), recipient)), stored.as_ref())
}

pub(crate) fn print(letters: &[Letter]) {
    print_beside(letters, "-o preview.html");
}

/// `page` is where all of the HTML is.
pub(crate) fn print_beside(letters: &[Letter], page: &str) {
    for Letter { of, key, rendered } in letters {
        say(&format!("\nletter         {}: key {key}", in_words(of, Language::En)));
        let Some(Rendered { subject, text, html }) = rendered else {
            say("               not shown: the template could not be read, or whoever stores it alone can read it");
            continue;
        };
        say(&format!("  subject      {subject}"));
        for (at, line) in text.iter().flat_map(|text| text.lines()).take(LINES).enumerate() {
            say(&format!("{}{line}", if at == 0 { "  text         " } else { "               " }));
        }
        if text.as_ref().is_some_and(|text| text.lines().count() > LINES) {
            say("               …");
        }
        if let Some(html) = html {
            say(&format!("  html         {} bytes; {page} shows it", html.len()));
        }
    }
}

/// The letters as a page of their own. What a letter holds is shown and never run.
#[derive(Template)]
#[template(path = "preview.html", escape = "letter")]
struct Preview<'a> {
    words: &'static Words,
    broadcast_id: &'a str,
    from: String,
    style: &'static str,
    letters: &'a [Letter],
}

pub(crate) fn page(language: Language, command: &BroadcastCommand, letters: &[Letter]) -> anyhow::Result<String> {
    let (broadcast_id, from) = (command.broadcast_id.as_str(), command.from.to_header());
    Ok(Preview { words: language.words(), broadcast_id, from, style: STYLE, letters }.render()?)
}

/// Before anything is read for it.
pub(crate) fn can_stand(file: Option<&Path>) -> anyhow::Result<()> {
    let opening = format!("<title>{}: ", Language::En.words().preview);
    file.map_or(Ok(()), |file| output::spares_others(file, "preview", |begins| begins.contains(&opening)))
}

pub(crate) fn write(file: &Path, command: &BroadcastCommand, letters: &[Letter]) -> anyhow::Result<()> {
    can_stand(Some(file))?;
    output::write_for_oneself(file, "the preview", &page(Language::En, command, letters)?)
}
