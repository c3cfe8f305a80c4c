//! `issei resend`: the audience and the command for those whom a broadcast that is over has missed.
//!
//! It writes two files and sends nothing. Nobody may stand in them who was accepted or is in doubt: the files are
//! read back as a producer reads them, and each of their keys is looked for among those.

mod choice;
mod files;
mod others;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufWriter, Write};
use std::num::NonZeroU64;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::{AuditEntry, Broadcast, BroadcastState, Ledger, MissedBy, Noted, ReasonCode, SkipReason, missed_by, reason_for};
use issei_producer::{AudienceConfig, LegacyLocalParts, Refusal, UniqueBy, check_command, each_mailable};
use issei_schema::{Actor, AudienceName, BroadcastCommand, Canary, CanaryApproval, Choice, Class, CommandVersion, Recipient};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use self::choice::choose;
pub(super) use self::files::section;
use self::files::{Made, Rows};
use self::others::{sent_by_others, taken};
use super::export::{columns, own_name};
use super::serve::on_signal;
use crate::args::ResendOptions;
use crate::in_use::{self, Care};
use crate::operator;
use crate::proof::{StopProof, Stopped};
use crate::{Ended, Refused};

const NOT_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// What tells one key, or address, from another, in less room.
type Mark = [u8; 32];

/// Everybody of the first broadcast, and who is sent to again.
#[derive(Debug, Default, Serialize)]
struct Proof {
    accepted: u64,
    rejected: u64,
    in_doubt: u64,
    /// Frozen, and never sent to.
    missing: u64,
    skipped: u64,
    /// Recipients who were forgotten, whatever became of them.
    forgotten: u64,
    /// Whom it has missed, and who does not want such mail any more, by the address of any row of their key; of marketing also
    /// whoever the audience does not give for it now.
    unwanted: u64,
    /// On the suppression list after they were frozen, and so not sent to.
    spared: u64,
    /// Whom it has missed, and who has the same from another broadcast, or may have.
    elsewhere: u64,
    /// Skipped or spared, and mailable since.
    corrected: u64,
    /// In the new audience, read back as a producer reads it.
    resent: u64,
    /// Of these, whom the first broadcast has accepted, or has in doubt.
    overlap: u64,
}

/// What is made for those whom a broadcast has missed.
struct Resend {
    audience: AudienceConfig,
    command: BroadcastCommand,
    /// Why `issei send` refuses the command as it stands; it is mended first then.
    refused: Option<String>,
    /// Rows of the audience that can't be written to with the command as it stands, though they were frozen: an earlier build had
    /// fewer rules.
    unwritable: BTreeMap<SkipReason, u64>,
}

/// Who was accepted, or is in doubt.
#[derive(Default)]
struct Sent {
    keys: HashSet<Mark>,
    /// Where each address is one user.
    addresses: HashSet<Mark>,
}

impl Sent {
    fn holds(&self, recipient: &Recipient) -> bool {
        self.keys.contains(&mark(recipient.key.as_str())) || self.addresses.contains(&mark(&recipient.address.identity()))
    }
}

/// Who has an outcome, and who is chosen.
#[derive(Default)]
struct Known {
    /// By this broadcast.
    sent: Sent,
    /// By others that say the same to the same people.
    elsewhere: Sent,
    /// Keys of everybody else who is not to be chosen again: rejected, or chosen.
    done: HashSet<Mark>,
    /// Addresses of all of these.
    addresses: HashSet<Mark>,
}

/// Ended by Ctrl-C or SIGTERM it keeps nothing: what it has made is removed.
pub(crate) async fn run(settings: &Settings, options: &ResendOptions, as_json: bool) -> anyhow::Result<Ended> {
    let told_to_end = on_signal()?;
    if let Some(ended) = told_to_end.run_until_cancelled(made(settings, options, as_json)).await {
        return ended;
    }
    say_warning("interrupted; nothing is kept, and the same command again makes the files");
    Ok(Ended::Interrupted)
}

async fn made(settings: &Settings, options: &ResendOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::MustKnow).await?;
    let (ledger, now) = (parts.ledger(), parts.clock.wall());
    let broadcast = ledger.broadcast(&options.id).await?;
    let first = ledger.command(&options.id).await?.in_quotes();
    is_over_for_good(&parts, &broadcast, &first, now).await?;
    // That of files which were made before stands there rightly.
    let is_noted = broadcast.resent_as.as_ref() == Some(&options.new_id);
    if !is_noted && AudienceConfig::named(options.new_id.as_str(), &parts.settings.audiences).is_some() {
        bail!(Refused(format!(
            "the configuration has an audience `{}` already, to whom the new broadcast would go; choose another id with --as",
            options.new_id
        )));
    }
    if ledger.find_broadcast(&options.new_id).await?.is_some() {
        bail!(Refused(format!("there is a broadcast `{}` already; choose another id with --as", options.new_id)));
    }
    let mut configured = AudienceConfig::named(first.audience.as_str(), &parts.settings.audiences);
    // Who has withdrawn their consent since does not stand in what was frozen.
    if first.class() == Class::Marketing && configured.is_none() {
        bail!(Refused(format!(
            "broadcast `{}` is marketing, and the configuration here has no audience `{}`, which says who still wants such mail: repeat this where it stands",
            options.id, first.audience
        )));
    }
    // Before anything is read of who has what: whatever is said from now on makes what follows void.
    let looked = ledger.looked(&first).await?;
    // Who is a user was decided when it was frozen, whatever the configuration says today.
    let unique = had_unique_addresses(&ledger, &broadcast).await? || configured.as_ref().is_some_and(has_unique_addresses);
    if let Some(configured) = &mut configured {
        configured.unique_by = unique.then_some(UniqueBy::Address);
    }
    let elsewhere = sent_by_others(&parts, &broadcast, &first, unique, now).await?;
    let columns = columns(&ledger, &broadcast).await?;
    let [key, address, consent] = ["key", "address", "consent"].map(|name| own_name(name, &columns));
    let consent = (first.class() == Class::Marketing).then_some(consent);
    let [path, command_path] = ["jsonl", "json"].map(|kind| options.output.join(format!("{}.{kind}", options.new_id)));
    // Both or neither: an audience without its command is a list of addresses that nobody asked for.
    let [(rows_made, rows_file), (command_made, mut command_file)] = Made::both(&path, &command_path)?;
    if let Some(other) = ledger.resent_by_another(&broadcast, &options.new_id).await? {
        bail!(taken(&broadcast, &other));
    }
    let mut file = Rows { file: BufWriter::new(rows_file), key: key.clone(), address: address.clone(), consent: consent.clone() };
    let written = choose(&parts, &broadcast, &first, configured.as_ref(), unique, elsewhere, &mut file).await;
    let outcome: anyhow::Result<(Proof, Option<Resend>)> = async {
        let (mut proof, known) = written?;
        file.file.flush().with_context(|| format!("{} can't be written", path.display()))?;
        let Some(recipients) = NonZeroU64::new(proof.missing + proof.corrected) else { return Ok((proof, None)) };
        let audience = AudienceConfig {
            file: Some(std::path::absolute(&path)?.display().to_string()),
            key,
            address,
            columns,
            // What is quoted was judged when it was frozen.
            legacy_local_parts: LegacyLocalParts::Quote,
            unique_by: unique.then_some(UniqueBy::Address),
            consent_column: consent,
            ..AudienceConfig::default()
        };
        // Those whom the first one named have been sent to, or could not be.
        let canary = first.canary.clone().filter(|canary| match canary {
            Canary::First(first) => *first <= recipients,
            Canary::Chosen(Choice::Share(_)) => true,
            Canary::Chosen(Choice::Keys(_)) => false,
        });
        let command = BroadcastCommand {
            broadcast_id: options.new_id.clone(),
            audience: AudienceName::try_from(options.new_id.to_string()).map_err(anyhow::Error::msg)?,
            max_recipients: recipients,
            not_after: options.not_after.unwrap_or(now + NOT_AFTER),
            not_before: first.not_before.filter(|not_before| *not_before > now),
            // Whoever is told after that day is told all the same.
            effective_at: first.effective_at.filter(|effective_at| *effective_at > now),
            canary_approval: if canary.is_some() { first.canary_approval } else { CanaryApproval::default() },
            canary,
            again: Some(reason_for(&options.id, &looked).map_err(anyhow::Error::msg)?),
            requested_by: Actor::try_from(format!("issei resend {}", options.id)).map_err(anyhow::Error::msg)?,
            // The rest reads what the others have read; version 1 can't ask for that.
            content: if first.version == CommandVersion::V1 { first.content } else { first.content.as_frozen() },
            ..first
        };
        let audiences = BTreeMap::from([(command.audience.to_string(), audience.clone())]);
        let checked = check_command(&command, &audiences, &settings.unsubscribe_key_names(), &settings.known_providers(), now);
        let refused = match (checked, BroadcastCommand::parse(&command.to_body())) {
            // An earlier build took it, with fewer rules: whoever was missed gets a letter that somebody has mended.
            (Err(Refusal::Content(error)), _) => Some(error.to_string()),
            (checked, parsed) => {
                checked?;
                parsed.err().map(|error| error.to_string())
            }
        };
        let skipped = each_mailable(&command, &audience, &settings.spool_directory(), |recipient| {
            proof.resent += 1;
            proof.overlap += u64::from(known.sent.holds(&recipient) || known.elsewhere.holds(&recipient));
        })
        .await?;
        let others: u64 = skipped.values().map(|skips| skips.rows).sum();
        let of_letter = [SkipReason::DataMissing, SkipReason::UnsafeLink, SkipReason::NoUnsubscribeUrl];
        let is_whole = skipped.keys().all(|reason| of_letter.contains(reason)) && proof.resent + others == recipients.get();
        ensure!(
            proof.overlap == 0 && is_whole,
            "the new audience does not hold what was chosen ({} of {recipients} can be mailed, {others} rows can't, {} were sent to already): nothing is kept; tell the authors of issei",
            proof.resent,
            proof.overlap
        );
        let unwritable = skipped.into_iter().map(|(reason, skips)| (reason, skips.rows)).collect();
        Ok((proof, Some(Resend { audience, command, refused, unwritable })))
    }
    .await;
    let (proof, chosen) = outcome?;
    let Some(chosen) = chosen else {
        tell_none(&broadcast, &proof, as_json);
        return Ok(Ended::Refused);
    };
    // Whoever else asks for the same from now on hears of this one, and whoever has asked since makes it void.
    match ledger.note_resend(&broadcast, &options.new_id, &looked).await? {
        Noted::Noted => {}
        Noted::Another(other) => bail!(taken(&broadcast, other.as_ref().unwrap_or(&options.new_id))),
        Noted::SaidSince => bail!(Refused(format!(
            "while it was looked whom `{}` has missed the same was said to its audience, or somebody else looked as well; nothing is kept; repeat this",
            options.id
        ))),
    }
    let json = serde_json::to_string_pretty(&chosen.command)?;
    command_file.write_all(json.as_bytes()).with_context(|| format!("{} can't be written", command_path.display()))?;
    [rows_made, command_made].into_iter().for_each(Made::keep);
    tell(&broadcast, &proof, &chosen, &command_path, as_json);
    Ok(Ended::Well)
}

fn has_unique_addresses(audience: &AudienceConfig) -> bool {
    audience.unique_by == Some(UniqueBy::Address)
}

/// Whether an address was one user when this was frozen. What an older build froze tells by whom it skipped.
async fn had_unique_addresses(ledger: &Ledger, broadcast: &Broadcast) -> anyhow::Result<bool> {
    if let Some(unique) = broadcast.reading.as_ref().and_then(|reading| reading.unique_addresses) {
        return Ok(unique);
    }
    for seq in 0..broadcast.pages {
        let page = ledger.page(&broadcast.placed(), seq).await?;
        if page.skipped().any(|skipped| skipped.reason == SkipReason::DuplicateAddress) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Nothing of it may be sent any more, and nothing that was sent may still be accepted.
async fn is_over_for_good(parts: &Parts, broadcast: &Broadcast, first: &BroadcastCommand, now: Timestamp) -> anyhow::Result<()> {
    let (id, state) = (&broadcast.broadcast_id, broadcast.broadcast_state);
    if let Some(restored_at) = parts.ledger().may_have_forgotten(broadcast).await? {
        bail!(Refused(format!(
            "whom `{id}` has missed nobody knows: the ledger was restored, and taken into use at {restored_at:.0}, and has forgotten whom it mailed between the backup and then, by this broadcast or by another that says the same; whoever shall have it all the same needs a command that says why (`again`), to an audience that you choose"
        )));
    }
    if !state.is_over() {
        bail!(Refused(format!(
            "broadcast `{id}` is {state}: whoever it has missed it may still send to; stop it first, or wait until it is complete"
        )));
    }
    let trail = parts.ledger().audit_trail(broadcast).await?;
    let frozen = [BroadcastState::Running, BroadcastState::Holding].map(|to| format!("{} -> {to}", BroadcastState::Enumerating));
    // Of one that nobody could be mailed of all rows were frozen as skipped, and some may have been corrected since.
    let had_nobody = |entry: &AuditEntry| entry.code == Some(ReasonCode::StoppedNobody);
    let was_frozen = trail.entries.iter().any(|entry| frozen.contains(&entry.step) || had_nobody(entry));
    if !was_frozen {
        let mend = match missed_by(first) {
            Some(MissedBy { of, .. }) => format!("`issei resend {of} --as NEW_ID` is for the same people"),
            None => "send its command again under a new broadcast_id".to_owned(),
        };
        bail!(Refused(format!("the audience of `{id}` was never frozen to its end, and nobody was sent to: {mend}")));
    }
    is_proved(parts, broadcast, now).await
}

/// Nothing that was sent of it may still be accepted.
async fn is_proved(parts: &Parts, broadcast: &Broadcast, now: Timestamp) -> anyhow::Result<()> {
    let (id, state) = (&broadcast.broadcast_id, broadcast.broadcast_state);
    let trail = parts.ledger().audit_trail(broadcast).await?;
    // Without a permit nobody was ever sent to, so nothing is under way.
    if state != BroadcastState::Stopped || broadcast.grant_count == 0 {
        return Ok(());
    }
    let in_doubt = parts.ledger().tally(broadcast).await?.totals().in_doubt;
    // A provider that refuses nothing for its age never proves it, and this waits for no longer than for SES's sake.
    let stopped = Stopped { state, provider: None, trail: &trail, in_doubt: Some(in_doubt) };
    let at = match stopped.judged_by_a_later_count(&operator::widest(parts).await?, now) {
        StopProof::Since(_) => return Ok(()),
        StopProof::NotBefore(at) => at,
        StopProof::Unsaid => bail!(Refused(format!(
            "nobody knows for how long what was under way of `{id}` may still be accepted, since a consumer's build is too old to tell its timeouts: end it, and repeat this; one that was killed counts for six hours"
        ))),
    };
    let left = at.duration_since(now).as_secs() + 1;
    bail!(Refused(format!(
        "broadcast `{id}` was stopped, and what was under way then may still be accepted; repeat this in {left} s, or sooner once `issei stop {id}` calls it proved"
    )))
}

fn mark(text: &str) -> Mark {
    Sha256::digest(text).into()
}

fn tell(broadcast: &Broadcast, proof: &Proof, chosen: &Resend, command: &Path, as_json: bool) {
    let Resend { audience, refused, unwritable, .. } = chosen;
    let section = section(chosen.command.audience.as_str(), audience);
    if as_json {
        let mut told = json!({ "broadcast_id": broadcast.broadcast_id, "proof": proof, "audience": section, "command": command });
        if let Some(told) = told.as_object_mut() {
            told.extend(refused.as_deref().map(|refused| ("refused".to_owned(), refused.into())));
            told.extend((!unwritable.is_empty()).then(|| ("unwritable".to_owned(), json!(unwritable))));
        }
        say(&told.to_string());
        return;
    }
    counts(broadcast, proof);
    say(&format!(
        "resent         {} in the new audience, read back: {} missing, {} corrected",
        proof.resent, proof.missing, proof.corrected
    ));
    say(&format!("overlap        {} of them were accepted or are in doubt", proof.overlap));
    for (reason, rows) in unwritable {
        say(&format!("unwritable     {rows} more rows stand there and can't be written to with the command as it stands: {reason}"));
    }
    say(&format!("\nAdd this to the configuration of the producers, and the file to their machines:\n\n{section}"));
    let command = command.display();
    if let Some(refused) = refused {
        say(&format!(
            "An earlier build took this command, and this one refuses it: {refused}. Mend it in {command}: nothing is sent before.\n"
        ));
    }
    if broadcast.resent_as.as_ref() == Some(&chosen.command.broadcast_id) {
        say(&format!("Files that were made for `{}` before this are void, and refused.", chosen.command.broadcast_id));
    }
    say(&format!("Then: issei send {command}"));
}

fn tell_none(broadcast: &Broadcast, proof: &Proof, as_json: bool) {
    if as_json {
        say(&json!({ "broadcast_id": broadcast.broadcast_id, "proof": proof, "audience": null, "command": null }).to_string());
        return;
    }
    counts(broadcast, proof);
    say(
        "resent         nobody: nobody is missing who has it from nowhere else, and of the skipped and spared nobody can be mailed now; nothing was written",
    );
}

fn counts(broadcast: &Broadcast, proof: &Proof) {
    let Proof { accepted, rejected, in_doubt, missing, skipped, forgotten, unwanted, spared, elsewhere, .. } = proof;
    say(&format!("broadcast      {} ({})", broadcast.broadcast_id, broadcast.broadcast_state));
    say(&format!("recipients     {accepted} accepted, {in_doubt} in doubt, {rejected} rejected, {missing} missing"));
    say(&format!("skipped        {skipped} rows"));
    if *spared > 0 {
        say(&format!("spared         {spared} recipients, on the suppression list after they were frozen"));
    }
    if *elsewhere > 0 {
        say(&format!("elsewhere      {elsewhere} missing recipients, who have the same from another broadcast, or may have"));
    }
    if *forgotten > 0 {
        say(&format!("forgotten      {forgotten} recipients, who are sent nothing"));
    }
    if *unwanted > 0 {
        say(&format!(
            "unwanted       {unwanted} missing recipients, who don't want such mail any more, or are not known to, and are sent nothing"
        ));
    }
}
