//! `issei try`: somebody's own table and words through the simulated AWS of the demo, into a folder of letters.
//!
//! What it must never do: reach AWS but to read an audience that is a table of DynamoDB, or ask DNS for anything. The source
//! of the audience is read where it is, and whatever else the services talk to is in this process.

mod inbox;
mod outlook;
mod simplified;
mod tally;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use anyhow::{Context, bail};
use issei_assembly::{Fetched, KeySource, Parts, Settings, say, say_warning};
use issei_clock::{Clock, Dice};
use issei_producer::{AudienceConfig, check_command};
use issei_schema::{BroadcastCommand, Content, MissingKey, UnsubscribeKeyId, WayOut};
use issei_sim::{Account, Cloud, Options, StoreKind, connector};
use tokio_util::sync::CancellationToken;

use self::inbox::Inbox;
use self::outlook::Outlook;
use self::simplified::Simplified;
use self::tally::Tally;
use crate::args::{DemoProvider, TryOptions};
use crate::command_file;
use crate::commands::demo::{Ending, Work, hasten, misbehave};
use crate::commands::send::{pace, surveyed};
use crate::commands::serve::on_signal;
use crate::commands::setup;
use crate::console::Opened;
use crate::letters::{letters, print_beside, worth_a_look};
use crate::{Ended, Interrupted, Refused};

/// Where the simulated SES tells its events to.
const EVENTS: &str = "arn:aws:sns:us-east-1:000000000000:issei-try";

pub(crate) async fn run(settings: &Settings, options: &TryOptions, as_json: bool) -> anyhow::Result<Ended> {
    let (clock, shutdown) = (Clock::system(), on_signal()?);
    let mut settings = settings.clone().with_audiences().await;
    make_keys_up(&mut settings, &Dice::system());
    let settings = &settings;
    let command = command_file::read(&options.file)?;
    check(settings, &command, &clock).with_context(|| format!("command {}", options.file.display()))?;
    let inbox = Inbox::at(options.output.as_deref())?;
    let is_attended = !as_json && !options.yes && !options.no_console && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let simplified = Simplified::of(settings, &command, clock.wall());
    let cloud = Cloud::new(Options {
        clock: clock.clone(),
        seed: options.seed,
        store: StoreKind::TemporaryFile,
        account: Account {
            max_send_rate: 50_000.0,
            max_24_hour_send: 1e9,
            keep_mails: true,
            mails_max: Some(options.letters),
            ..Account::default()
        },
    })?;
    let own = simulated(settings)?;
    let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &own.timing()).await;
    let mut parts = Parts::with(own, clients, clock, Dice::seeded(options.seed));
    let carrier = carrier(settings, &command);
    if let Some(name) = command.other_provider() {
        parts = carrier.join(parts, name.clone())?;
    }
    setup::make(&parts).await?;
    // Nothing comes by it, and evidence is held against what would be there.
    parts.ses().make_events_to(&EVENTS.parse().map_err(anyhow::Error::msg)?).await.map_err(anyhow::Error::msg)?;
    if !as_json {
        say("Nothing leaves this machine but the reading of your table, where that is elsewhere: AWS is simulated in this process.");
    }
    let config = AudienceConfig::named(command.audience.as_str(), &settings.audiences).context("the audience is not configured")?;
    let Some(survey) = shutdown.run_until_cancelled(surveyed(&parts, &command, &config)).await.transpose()? else {
        bail!(Interrupted("interrupted; nothing was written".to_owned()))
    };
    let letters = letters(&command, worth_a_look(&survey), None)?;
    let holds = simplified::holds(&command, &survey, settings.skipped_share_max);
    let pace = pace(&command, options.rate, settings.chunk_size);
    let mut outlook = Outlook::of(&command, &config, survey, letters, pace, parts.clock.wall());
    outlook.passed_over = holds.into_iter().chain(simplified.passed_over).collect();
    if let Some(why) = outlook.ends_at_once() {
        outlook.refused.insert(0, why.clone());
        outlook.print(as_json);
        say_warning(&format!("refused: {why}"));
        return Ok(Ended::Refused);
    }
    let console = if is_attended { Some(Opened::simulated(parts.clone()).await?) } else { None };
    let ended = CancellationToken::new();
    let served = console.map(|console| {
        for (_, address) in &console.addresses {
            say(&format!("The console of what is simulated, for you alone: {address}"));
        }
        tokio::spawn(console.serve(ended.clone()))
    });
    if !options.calm {
        misbehave(&cloud, carrier.operation());
    }
    let (began, recipients) = (parts.clock.now(), outlook.mailable());
    let (calm, command) = (options.calm, &simplified.command);
    let (attended, shutdown, killed) = (is_attended, &shutdown, AtomicU64::new(0));
    let work = Work { parts: &parts, cloud: &cloud, recipients, calm, attended, shutdown, command, killed };
    let ending = work.until_over(as_json).await?;
    if shutdown.is_cancelled() {
        bail!(Interrupted(format!("interrupted before the end; nothing was written to {}", inbox.directory().display())));
    }
    let took = parts.clock.now().saturating_duration_since(began);
    let counted = Tally::of(&parts, &cloud, &command.broadcast_id).await?;
    let stopped = if let Ending::Stopped(how) = ending { Some(how) } else { None };
    outlook.happened(counted, took, inbox.write(&cloud, command)?, stopped);
    outlook.print(as_json);
    if !as_json {
        print_beside(&outlook.letters, "the page");
        say(&outlook.ending());
    }
    outlook.refused.iter().for_each(|why| say_warning(&format!("`issei send` would refuse it: {why}")));
    if let Some(served) = served {
        say("The console stays open. Ctrl-C ends it.");
        shutdown.cancelled().await;
        ended.cancel();
        served.await??;
    }
    Ok(if outlook.is_good() { Ended::Well } else { Ended::Refused })
}

/// What is refused before anything is read: by the rules of the producer, and what can't be simulated.
fn check(settings: &Settings, command: &BroadcastCommand, clock: &Clock) -> anyhow::Result<()> {
    if command.test_copy.is_some() {
        bail!(Refused("field `test_copy`: a copy is no broadcast; take it out to try the broadcast itself".to_owned()));
    }
    if let Content::Template { name, .. } = &command.content {
        bail!(Refused(format!(
            "field `content.template`: what `{}` says is stored in SES, and nothing here asks AWS for it; try the same words as `content.inline`, or look at it by `issei preview`, which reads it from SES",
            name.as_str()
        )));
    }
    check_command(command, &settings.audiences, &settings.unsubscribe_key_names(), &settings.known_providers(), clock.wall())?;
    // A consumer without the key would leave everybody waiting.
    WayOut::of(command, &settings.unsubscribe_keys(&Fetched::default())?).map_err(|MissingKey(id)| lacking(settings, &id))?;
    Ok(())
}

/// Which key it is, and where it was looked for.
fn lacking(settings: &Settings, id: &UnsubscribeKeyId) -> Refused {
    let place = settings.unsubscribe_keys.get(id).map_or_else(|| "nowhere".to_owned(), ToString::to_string);
    Refused(format!(
        "field `unsubscribe.key`: [unsubscribe_keys] looks for the key `{id}` in {place}, which is not set: set it; for a try any 32 signs of your own will do, since nobody checks its links"
    ))
}

/// Who carries it here: the simulated provider of the kind that the configuration says.
fn carrier(settings: &Settings, command: &BroadcastCommand) -> DemoProvider {
    let known = settings.known_providers();
    known.get(&command.provider()).and_then(|known| DemoProvider::of_kind(known.facts.kind)).unwrap_or(DemoProvider::Ses)
}

/// A key that is kept in AWS is not asked for: of what is simulated nobody checks the links.
fn make_keys_up(settings: &mut Settings, dice: &Dice) {
    for source in settings.unsubscribe_keys.values_mut() {
        if let KeySource::Secret(_) = source {
            *source = KeySource::MadeUp(dice.token() + &dice.token());
        }
    }
}

/// The settings with what is one's own in them: the audiences, the sizes, the keys. Time runs faster, and nobody is asked.
fn simulated(own: &Settings) -> anyhow::Result<Settings> {
    Settings::defaults(|settings| {
        settings.audiences.clone_from(&own.audiences);
        settings.unsubscribe_keys.clone_from(&own.unsubscribe_keys);
        settings.file.clone_from(&own.file);
        settings.spool_dir.clone_from(&own.spool_dir);
        (settings.page_size, settings.chunk_size) = (own.page_size, own.chunk_size);
        settings.skipped_share_max = own.skipped_share_max;
        hasten(settings);
    })
}

/// A folder of one's own, or a temporary one that stays.
fn folder(wanted: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(directory) = wanted else {
        return Ok(tempfile::Builder::new().prefix("issei-inbox-").tempdir().context("no temporary directory")?.keep());
    };
    let named = || format!("the folder {} for the letters", directory.display());
    std::fs::create_dir_all(directory).with_context(|| format!("{} can't be made", named()))?;
    if std::fs::read_dir(directory).with_context(named)?.next().is_some() {
        bail!(Refused(format!("{} is not empty; name another, or empty it: nothing is written over", named())));
    }
    Ok(directory.to_owned())
}
