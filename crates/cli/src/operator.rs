//! What operators need beyond the services' parts: a name for the audit trail, and evidence.

use anyhow::Context;
use issei_assembly::{Parts, Settings, VERSION, host};
use issei_aws::Caller;
use issei_certificate::{Carriers, Certifier, Wanted};
use issei_ledger::{LedgerError, Widest};
use issei_schema::{Actor, Identity};

/// Who runs this command, for the audit trail: whom the credentials belong to. Where STS does not
/// tell, whom the machine takes them for.
pub(crate) async fn actor(parts: &Parts) -> anyhow::Result<Actor> {
    Ok(known(parts).await?.0)
}

/// Who runs this command, and who that is to AWS; nothing where STS does not tell.
pub(crate) async fn known(parts: &Parts) -> anyhow::Result<(Actor, Option<Identity>)> {
    match parts.clients.caller().await {
        Ok(Caller { arn, identity }) => Ok((named(arn)?, identity)),
        Err(error) => {
            tracing::warn!(error, "STS does not say who you are; the audit trail names the user of this machine");
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown user".to_owned());
            Ok((named(format!("{user} on {}", host()))?, None))
        }
    }
}

fn named(name: String) -> anyhow::Result<Actor> {
    // Nobody is kept from stopping something by a name that can't be written down.
    Actor::try_from(name).or_else(|reason| {
        tracing::warn!(reason, "your name can't stand in an audit trail; it says `an operator`");
        "an operator".parse().map_err(anyhow::Error::msg)
    })
}

/// The widest timeouts of those who could still send, and of this command: so long something may go on that was
/// granted before this was asked.
pub(crate) async fn widest(parts: &Parts) -> Result<Widest, LedgerError> {
    parts.ledger().widest(&parts.settings.timing()).await
}

/// What the deployment is judged by.
pub(crate) fn wanted(settings: &Settings) -> Wanted {
    Wanted {
        table: settings.table.clone(),
        queues: [settings.commands_queue.clone(), settings.chunks_queue.clone(), settings.feedback_queue.clone()],
        timing: settings.timing(),
        ledger_days: settings.ledger_days,
    }
}

/// What gathers the evidence for a certificate.
pub(crate) async fn certifier(parts: &Parts) -> anyhow::Result<Certifier> {
    let (connected, lacking) = parts.providers_at_hand().await;
    for (name, error) in lacking {
        tracing::warn!(provider = %name, error = %format!("{error:#}"), "nothing is asked of a provider");
    }
    Ok(Certifier {
        ledger: parts.ledger(),
        clients: parts.clients.clone(),
        carriers: Carriers { known: parts.known_providers(), connected },
        clock: parts.clock.clone(),
        dice: parts.dice.clone(),
        wanted: wanted(&parts.settings),
        actor: actor(parts).await?,
        version: VERSION.to_owned(),
    })
}

/// Who gives an approval that counts.
pub(crate) async fn approver(parts: &Parts) -> anyhow::Result<(Actor, Identity)> {
    let (actor, identity) = known(parts).await?;
    let identity = identity.context("STS does not say who you are, and an approval must name a person; log in, and try again")?;
    Ok((actor, identity))
}
