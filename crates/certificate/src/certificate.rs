//! Gathering the evidence, and the verdict.

use std::time::Duration;

use issei_aws::{Clients, Queue};
use issei_clock::{Clock, Dice};
use issei_ledger::{Broadcast, BroadcastState, Heartbeat, Ledger, LedgerError, NotAsked};
use issei_schema::{Actor, Bilingual, BroadcastId, both};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::data::{Data, Endless, Reader, data, item};
use crate::deployed::{Deployed, Wanted};
use crate::finding::{Finding, Part};
use crate::provider::{Carriers, carrier, provider_count};
use crate::{accounts, of_others, queues, services, unasked, unsigned};

/// What follows from the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", tag = "verdict", content = "in_doubt_recipients")]
pub enum Verdict {
    /// It is over: every recipient has an outcome, and nothing can be sent any more.
    Converged,
    /// Something does not hold, or can't be read.
    NotConverged,
    /// It is over, and of so many recipients nobody knows whether the provider accepted the message.
    InDoubt(u64),
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Converged => f.write_str("CONVERGED"),
            Self::NotConverged => f.write_str("NOT_CONVERGED"),
            Self::InDoubt(recipients) => write!(f, "IN_DOUBT({recipients})"),
        }
    }
}

/// What a certificate is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Kind {
    /// A broadcast.
    Broadcast,
    /// A rehearsal: a broadcast to the mailbox simulator, at production's volume.
    Rehearsal { recipients_a_second: f64, version: String, settings: String, expires_at: Timestamp },
}

/// Exact counts of recipients at the moment of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    pub audience: u64,
    pub skipped: u64,
    pub recipients: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// Of those rejected, to whom nothing was sent since they came on the suppression list after the audience was frozen.
    #[serde(default)]
    pub spared: u64,
    pub in_doubt: u64,
    /// Never sent, or surely not accepted: in a broadcast that was stopped.
    pub not_sent: u64,
    /// From here on by the provider's events, as far as they have come.
    pub delivered: u64,
    pub bounced: u64,
    pub complained: u64,
    pub not_rendered: u64,
    /// Accepted, and not sent by SES since the address is on its suppression list.
    #[serde(default)]
    pub suppressed: u64,
    #[serde(default)]
    pub delayed: u64,
}

/// Who was told before the day from which a notice binds.
///
/// The ledger keeps no moment of an acceptance. It lies before the end of the lease of the chunk's last claim, since no
/// send is under way after that, or where an event alone proves it, as long after that as a request may be accepted; and
/// clocks may be five minutes off. Whoever was told shortly before the day, or stands in a chunk that was claimed again
/// for others, may so be counted among the others, and nobody of the others among those.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub effective_at: Timestamp,
    /// Recipients who were accepted before, for sure, and of whom no event says that it did not reach them.
    pub accepted_before: u64,
    /// The others: accepted later or perhaps later, bounced, rejected, in doubt, not sent to. Whoever was skipped is no
    /// recipient.
    pub others: u64,
    /// Keys of the others, as many as a certificate takes, and none that may be an address.
    pub other_keys: Vec<String>,
    /// The command that lists all of them, where these are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_listed_by: Option<String>,
}

/// The certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Of this format: 1.
    pub certificate_version: u32,
    #[serde(flatten)]
    pub kind: Kind,
    pub broadcast_id: BroadcastId,
    pub state: BroadcastState,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub issued_at: Timestamp,
    pub issued_by: String,
    /// The version of issei that looked.
    pub issued_with: String,
    pub command_hash: String,
    /// The head of the chain of pages: it stands for the whole frozen audience.
    pub audience_hash: String,
    pub outcomes: Outcomes,
    /// Who was told before the day from which it binds; nothing where its command names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    pub findings: Vec<Finding>,
    /// Every run of a service that took part, and every one that is not over.
    pub services: Vec<Heartbeat>,
}

impl Certificate {
    /// The verdict that the findings and the counts give. A signed certificate is judged again when it is
    /// verified.
    #[must_use]
    pub fn judged(&self) -> Verdict {
        let parts = [Part::Settings, Part::Source, Part::Data];
        let is_whole = parts.iter().all(|part| self.findings.iter().any(|finding| finding.part == *part));
        if !is_whole || !self.state.is_over() || self.findings.iter().any(|finding| !finding.holds()) {
            Verdict::NotConverged
        } else if self.outcomes.in_doubt > 0 {
            Verdict::InDoubt(self.outcomes.in_doubt)
        } else {
            Verdict::Converged
        }
    }

    /// The findings that stand against convergence.
    pub fn against(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.holds())
    }
}

/// Gathers the evidence.
pub struct Certifier {
    pub ledger: Ledger,
    pub clients: Clients,
    pub carriers: Carriers,
    pub clock: Clock,
    pub dice: Dice,
    pub wanted: Wanted,
    pub actor: Actor,
    pub version: String,
}

impl Certifier {
    /// Certifies a broadcast. `tell` hears how long the queues are still watched. What can't be read is a
    /// finding; only where the broadcast itself can't be read there is no certificate.
    pub async fn certify(
        &self,
        id: &BroadcastId,
        kind: Kind,
        shutdown: &CancellationToken,
        tell: impl FnMut(Duration),
    ) -> Result<Certificate, LedgerError> {
        let first = self.look(id, &kind).await?;
        let longest = first.visibility.max(self.wanted.timing.visibility);
        let window = longest * 2 + Duration::from_secs(1);
        let names = &self.wanted.queues;
        let (mut last, watched) = if first.findings.iter().all(Finding::holds) {
            let kept = unsigned::kept_unsigned(&self.ledger).await;
            let watched = queues::watch(&self.clients, (&self.clock, &self.dice), names, &kept, window, shutdown, tell).await;
            // What the queues held back may have changed the rest meanwhile.
            (self.look(id, &kind).await?, watched)
        } else {
            let why = both!("not watched, since something else does not hold", "ほかに確認できない項目があるため、監視していません");
            (first, queues::not_watched(names, window, &why))
        };
        last.findings.extend(watched);
        Ok(self.certificate(last, kind))
    }

    /// The evidence as it stands, without watching the queues: so never a certificate of convergence.
    pub async fn glance(&self, id: &BroadcastId) -> Result<Certificate, LedgerError> {
        let mut look = self.look(id, &Kind::Broadcast).await?;
        let window = look.visibility.max(self.wanted.timing.visibility) * 2 + Duration::from_secs(1);
        look.findings.extend(queues::not_watched(&self.wanted.queues, window, &queues::glanced()));
        Ok(self.certificate(look, Kind::Broadcast))
    }

    async fn look(&self, id: &BroadcastId, kind: &Kind) -> Result<Look, LedgerError> {
        let mut broadcast = self.ledger.broadcast(id).await?;
        // What is read from here on is this broadcast's, whatever its item says.
        let names = std::mem::replace(&mut broadcast.broadcast_id, id.clone());
        let (now, timing) = (self.clock.wall(), &self.wanted.timing);
        let deployed = Deployed::read(&self.clients, &self.wanted).await;
        let services = services::read(&self.ledger, &broadcast, timing, now).await;
        // One that is not configured here is a finding of its own.
        let known = self.carriers.known.get(&broadcast.provider.clone().unwrap_or_default());
        let id_for_each = known.is_some_and(|known| known.facts.id_for_each);
        let endless = Endless::of(known.map(|known| known.facts));
        let held = services.widest.request_lifetime;
        let reader = Reader { ledger: &self.ledger, broadcast: &broadcast, id_for_each, endless, held, now, everywhere: true };
        let held: Data = reader.read().await;
        let mut findings = deployed.findings;
        findings.extend(carrier(&self.carriers, &broadcast).await);
        findings.extend(services.findings);
        let is_over = broadcast.broadcast_state.is_over();
        // Whoever began after its end has nothing to do with it, and may send as another for all that.
        let ended = broadcast.last_step().filter(|_| is_over).map_or(now, |entry| entry.at);
        let has_claim = |run: &Heartbeat| held.runs.contains(&run.token);
        let of_its_time: Vec<Heartbeat> =
            services.relevant.iter().filter(|run| run.started_at <= ended || has_claim(run)).cloned().collect();
        let may_send = |run: &Heartbeat| !is_over && run.over_at(services::held(run, timing, &services.widest)) > now;
        findings.push(accounts::judge(&broadcast, &of_its_time, |run| has_claim(run) || may_send(run)));
        findings.push(self.lineage().await);
        findings.push(self.memory(&broadcast).await);
        findings.push(
            data(both!("broadcast: its id", "一斉送信: ID"), item("broadcast"))
                .must(Bilingual::verbatim(id), "another broadcast's item under this key stands for nothing")
                .is(Bilingual::verbatim(&names), names == *id),
        );
        findings.extend(held.findings);
        let met = NotAsked::of(&broadcast, &services.relevant, now);
        findings.push(unasked::judge(&broadcast, met, &held.tally, now));
        // SES tells of the letters of a configuration set, and signs nothing.
        if broadcast.provider.is_some() {
            findings.push(of_others::events_of_others(&self.ledger).await);
            findings.push(unsigned::calls_that_nobody_signed(&self.ledger).await);
        }
        if *kind == Kind::Broadcast {
            let accepted = held.tally.totals().accepted;
            findings.push(provider_count(&self.carriers, &broadcast, accepted, now).await);
        }
        let totals = held.tally.totals();
        let outcomes = Outcomes {
            audience: broadcast.audience_size(),
            skipped: broadcast.skipped,
            recipients: broadcast.recipients,
            accepted: totals.accepted - held.tally.unclaimed,
            rejected: totals.rejected,
            spared: held.tally.spared,
            in_doubt: totals.in_doubt,
            not_sent: totals.retryable + held.never_claimed,
            delivered: totals.delivered,
            bounced: totals.bounced,
            complained: totals.complained,
            not_rendered: totals.not_rendered,
            suppressed: totals.suppressed,
            delayed: totals.delayed,
        };
        // A consumer hides what it handles for its own.
        let visibility = services.widest.visibility.max(Duration::from_secs(deployed.visibility_s.unwrap_or_default()));
        Ok(Look { broadcast, findings, services: services.relevant, outcomes, notice: held.notice, visibility, at: now })
    }

    /// The ledger has not been restored from a backup.
    async fn lineage(&self) -> Finding {
        let [_, chunks, _] = &self.wanted.queues;
        let finding = data(
            both!("ledger: its lineage", "台帳: 系譜"),
            both!(
                "ledger item `ledger lineage`, the table's id, the chunks queue's tag",
                "台帳の項目 `ledger lineage`、テーブルのID、chunksキューのタグ"
            ),
        )
        .must(both!("all three agree", "3つが一致する"), "a ledger that was restored has forgotten sends");
        let mirror = match Queue::find(self.clients.sqs.clone(), chunks, self.dice.clone()).await {
            Ok(queue) => queue,
            Err(error) => return finding.failed(error),
        };
        match self.ledger.check_whole(&mirror).await {
            Ok(Some(epoch)) => finding.is(both!("epoch {}, opened at {:.0}", "epoch {}、開始{:.0}", epoch.epoch, epoch.opened_at), true),
            Ok(None) => finding.not_read(services::never_started()),
            Err(error @ LedgerError::Restored { .. }) => {
                finding.is(error.told(), false).mended_by(Bilingual::verbatim("issei accept-restored-ledger"))
            }
            Err(error) => finding.failed(error),
        }
    }

    /// No restore has made the ledger forget whom the broadcast has mailed. What is complete has an outcome for everybody.
    async fn memory(&self, broadcast: &Broadcast) -> Finding {
        let finding = data(
            both!("ledger: whom it has mailed", "台帳: 誰に送ったか"),
            both!("ledger items `ledger lineage` and `broadcast`", "台帳の項目 `ledger lineage` と `broadcast`"),
        )
        .must(
            both!("complete, or registered since the last restore", "完了しているか、最後の復元より後に登録されている"),
            "whom it mailed between the backup and the restore nobody knows, so that no outcome proves nothing",
        );
        match self.ledger.may_have_forgotten(broadcast).await {
            Ok(None) => finding.is(both!("nothing of it was forgotten", "忘れられた送信なし"), true),
            Ok(Some(_)) if broadcast.broadcast_state == BroadcastState::Complete => {
                finding.is(both!("everybody has an outcome", "全員の結果がある"), true)
            }
            Ok(Some(at)) => finding
                .is(
                    both!(
                        "a restored ledger was taken into use at {at:.0}; more may have been mailed than it knows",
                        "復元した台帳を{at:.0}に使い始めており、台帳が知るより多くの人に送られた可能性があります"
                    ),
                    false,
                )
                .mended_by(both!(
                    "nothing mends it: what the provider's own records say of that time tells who was mailed",
                    "直す方法はありません。その間に誰に送られたかは、送信事業者の記録で調べます"
                )),
            Err(error) => finding.failed(error),
        }
    }

    fn certificate(&self, look: Look, kind: Kind) -> Certificate {
        let mut certificate = Certificate {
            certificate_version: 1,
            kind,
            broadcast_id: look.broadcast.broadcast_id,
            state: look.broadcast.broadcast_state,
            verdict: Verdict::NotConverged,
            issued_at: look.at,
            issued_by: self.actor.to_string(),
            issued_with: self.version.clone(),
            command_hash: look.broadcast.command_hash,
            audience_hash: look.broadcast.chain,
            outcomes: look.outcomes,
            notice: look.notice,
            findings: look.findings,
            services: look.services,
        };
        certificate.verdict = certificate.judged();
        certificate
    }
}

/// What one look at everything found.
struct Look {
    broadcast: Broadcast,
    findings: Vec<Finding>,
    services: Vec<Heartbeat>,
    outcomes: Outcomes,
    notice: Option<Notice>,
    visibility: Duration,
    at: Timestamp,
}
