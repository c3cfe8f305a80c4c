//! A command that is to hold: the producer reads and judges the audience, so nothing of it is read here, and
//! nothing is said of it.

use anyhow::Context;
use issei_assembly::{Parts, say};
use issei_producer::{AudienceConfig, check_command};
use issei_schema::BroadcastCommand;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::forecast::Seen;
use super::{Asked, forecast, known};
use crate::Ended;
use crate::args::SendOptions;
use crate::checks::stored;

pub(super) async fn run(
    parts: &Parts,
    options: &SendOptions,
    command: &BroadcastCommand,
    as_json: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<Ended> {
    // Where this configuration has the audience it says what the content lacks, and never opens its source.
    let config = AudienceConfig::named(command.audience.as_str(), &parts.settings.audiences);
    if config.is_some() {
        check_command(
            command,
            &parts.settings.audiences,
            &parts.settings.unsubscribe_key_names(),
            &parts.settings.known_providers(),
            parts.clock.wall(),
        )
        .with_context(|| format!("command {}", options.file.display()))?;
    }
    let known = known(parts, command).await?;
    let is_known = known.is_some();
    let mut findings: Vec<Seen> = Vec::new();
    if let Some(config) = &config
        && let Some(stored) = stored(parts, command, &forecast::names(command, config)).await
    {
        findings.push(Seen::of(stored.finding, !is_known));
    }
    let mut refused: Vec<String> = findings.iter().filter_map(Seen::against).collect();
    let looked = forecast::looked(parts, command, is_known).await;
    findings.extend(looked.findings);
    if is_known {
        refused.clear();
    } else {
        refused.extend(looked.refused);
        refused.extend(forecast::against(parts, command).await?);
    }
    let id = &command.broadcast_id;
    let holds = format!(
        "the producer reads, judges and freezes the audience, and holds before the first send: `issei status {id}` shows what it has come to, and `issei approve {id} --reason \"…\"` sends"
    );
    if !as_json {
        say(&format!("broadcast      {id}"));
        say(&format!("audience       {}, not read from here", command.audience));
        say(&format!("hold           {holds}"));
        say(&format!("budget         {} recipients at most", command.max_recipients));
        if is_known {
            say("note           this command has been sent before: sending it again changes nothing");
        }
        say("");
        findings.iter().for_each(Seen::show);
    }
    let asked = Asked { parts, options, command, known, as_json, shutdown };
    let told = |reason: Option<&str>| json!({ "broadcast_id": id, "holds": holds, "findings": findings, "refused": refused, "enqueued": reason.is_none(), "reason": reason });
    asked.send(&refused, told).await
}
