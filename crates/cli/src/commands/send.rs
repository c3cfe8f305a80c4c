//! `issei send`: judges a command with its whole audience, says what will happen, asks, and enqueues it.
//!
//! Nothing is sent to the queue before the answer, and nothing stays of what was read.

mod alike;
mod blank;
mod forecast;
mod held;
mod producers;
mod progress;

use std::time::Duration;

use anyhow::{Context, bail};
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::{Broadcast, BroadcastState};
use issei_producer::{AudienceConfig, Progress, Survey, check_command, survey};
use issei_schema::BroadcastCommand;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) use self::alike::{Repeats, left_out_told, too_late};
pub(crate) use self::blank::BlankColumn;
use self::forecast::Forecast;
pub(crate) use self::forecast::{DOLLARS_PER_THOUSAND, Skipped, number, pace, whole};
use self::progress::Bar;
use crate::args::SendOptions;
use crate::checks::stored;
use crate::command_file;
use crate::commands::serve::on_signal;
use crate::confirm::confirmed;
use crate::in_use::{self, Care};
use crate::{Ended, Interrupted, Refused, operator, output};

/// What is said of a send that was told to end.
const INTERRUPTED: &str = "interrupted; nothing was sent to the queue";
/// Between two looks at how far the reading is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn run(settings: &Settings, options: &SendOptions, as_json: bool) -> anyhow::Result<Ended> {
    output::is_for_a_page(options.output.as_deref())?;
    let mut command = command_file::read(&options.file)?;
    command.again = options.again.clone().or(command.again);
    command.hold |= options.hold;
    crate::letters::can_stand(options.output.as_deref())?;
    let shutdown = on_signal()?;
    let parts = in_use::open(settings, Care::Refuses).await?;
    if command.hold {
        return held::run(&parts, options, &command, as_json, &shutdown).await;
    }
    let judged = shutdown.run_until_cancelled(judge(&parts, options, &command)).await;
    let Some((forecast, known)) = judged.transpose()? else { bail!(Interrupted(INTERRUPTED.to_owned())) };
    if let Some(file) = &options.output {
        crate::letters::write(file, &command, &forecast.letters)?;
    }
    if !as_json {
        forecast.print(&command);
    }
    let asked = Asked { parts: &parts, options, command: &command, known, as_json, shutdown: &shutdown };
    asked.send(&forecast.refused, |reason| json!({ "forecast": forecast, "enqueued": reason.is_none(), "reason": reason })).await
}

/// A command that was judged and shown.
struct Asked<'a> {
    parts: &'a Parts,
    options: &'a SendOptions,
    command: &'a BroadcastCommand,
    /// Its broadcast, where it has been sent before.
    known: Option<Broadcast>,
    as_json: bool,
    shutdown: &'a CancellationToken,
}

impl Asked<'_> {
    /// Asks, and puts the command on the queue; or says why not, in the document too that `told` makes of it.
    async fn send(&self, refused: &[String], told: impl FnOnce(Option<&str>) -> Value) -> anyhow::Result<Ended> {
        let Self { parts, options, command, known, as_json, shutdown } = self;
        let state = known.as_ref().map(|known| known.broadcast_state);
        let over = state.filter(|state| matches!(state, BroadcastState::Complete | BroadcastState::Stopped));
        let mut is_interrupted = false;
        let reason = if !refused.is_empty() {
            Some("refused; nothing was sent to the queue".to_owned())
        } else if let Some(state) = over {
            Some(format!("the broadcast {} is {state} already, for ever; nothing was sent to the queue", command.broadcast_id))
        } else if options.dry_run {
            Some("dry run: nothing was sent to the queue".to_owned())
        } else if options.yes || (!as_json && confirmed("Send it?", shutdown).await?) {
            // Whoever is told to end, after the answer too, sends nothing.
            is_interrupted = shutdown.is_cancelled();
            is_interrupted.then(|| INTERRUPTED.to_owned())
        } else if shutdown.is_cancelled() {
            is_interrupted = true;
            Some(INTERRUPTED.to_owned())
        } else {
            Some("nothing was sent to the queue; repeat with --yes to send".to_owned())
        };
        if reason.is_none() {
            // SQS says who sent it, and of a copy no more than who has made that.
            let (_, sender) = operator::known(parts).await?;
            parts.commands_queue().await?.send_as(&command.to_body(), sender.as_ref()).await?;
        }
        if *as_json {
            say(&told(reason.as_deref()).to_string());
        } else {
            refused.iter().for_each(|why| say_warning(&format!("refused: {why}")));
            let before =
                state.map_or_else(String::new, |state| format!(" once more: the broadcast is {state} already, and it changes nothing"));
            let watch = || format!("enqueued{before}; watch it with `issei status {} --watch`", command.broadcast_id);
            say(&reason.clone().unwrap_or_else(watch));
        }
        if is_interrupted {
            return Ok(Ended::Interrupted);
        }
        let is_as_wanted = match over {
            // What was asked for has happened, or never will.
            Some(state) => state == BroadcastState::Complete,
            None => reason.is_none() || (options.dry_run && refused.is_empty()),
        };
        Ok(if is_as_wanted { Ended::Well } else { Ended::Refused })
    }
}

async fn judge(parts: &Parts, options: &SendOptions, command: &BroadcastCommand) -> anyhow::Result<(Forecast, Option<Broadcast>)> {
    check_command(
        command,
        &parts.settings.audiences,
        &parts.settings.unsubscribe_key_names(),
        &parts.settings.known_providers(),
        parts.clock.wall(),
    )
    .with_context(|| format!("command {}", options.file.display()))?;
    let known = known(parts, command).await?;
    let name = command.audience.as_str();
    let config = AudienceConfig::named(name, &parts.settings.audiences).context("the audience is not configured")?;
    let stored = stored(parts, command, &forecast::names(command, &config)).await;
    let told = stored.as_ref().map(|stored| stored.in_command(command));
    let survey = surveyed(parts, told.as_ref().unwrap_or(command), &config).await?;
    Ok((Forecast::of(parts, command, &config, survey, stored, known.is_some()).await?, known))
}

/// The broadcast of this command, where it has been sent before. Another one under its id is an error.
async fn known(parts: &Parts, command: &BroadcastCommand) -> anyhow::Result<Option<Broadcast>> {
    let known = parts.ledger().find_broadcast(&command.broadcast_id).await?;
    if let Some(known) = known.as_ref().filter(|known| known.command_hash != command.hash().as_str()) {
        bail!(Refused(format!(
            "`broadcast_id` {} belongs to another command, which is {}; choose a new id for new content",
            command.broadcast_id, known.broadcast_state
        )));
    }
    Ok(known)
}

/// Reads and judges everybody, and shows on a terminal how far that is.
pub(crate) async fn surveyed(parts: &Parts, command: &BroadcastCommand, config: &AudienceConfig) -> anyhow::Result<Survey> {
    let (progress, ledger, spool_dir) = (Progress::default(), parts.ledger(), parts.settings.spool_directory());
    let reading = survey(command, config, &ledger, &spool_dir, &progress);
    let show = async {
        let mut bar = Bar::new()?;
        loop {
            bar.show(progress.stage());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        surveyed = reading => Ok(surveyed?),
        failed = show => failed,
    }
}
