//! The pipeline that most apps have: a job for each user, under Sidekiq's rules, that asks a mail service behind a load
//! balancer, which asks the provider. `docs/try.md` has its rules in words; they are those of a careful team, and no worse.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_sesv2::types::{BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageTag, Template};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use issei_assembly::Settings;
use issei_aws::{AwsCall, Timing};
use issei_clock::Clock;
use issei_sim::{Account, Cloud, Options, StoreKind, connector};

use super::misfortune::{Misfortune, Mishap};
use super::side::Side;
use crate::commands::demo::{BROADCAST, hasten};

/// The load balancer gives up (Elastic Load Balancing, application load balancers' idle timeout).
const TIMEOUT_S: u64 = 60;
/// Sidekiq ends a worker so long after it is told to, and pushes its jobs back (its `timeout`).
const GRACE_S: u64 = 25;
/// `sidekiq_options retry: 5`.
const RETRIES: u64 = 5;
/// How long the fan-out goes through all users.
const FAN_OUT_S: u64 = 600;
/// So far it is, in percent, when a deploy ends it. It comes back and begins at the first user.
const FAN_OUT_ENDS: u64 = 60;
const WORKERS: usize = 16;

/// A job of a user that is due: when, in seconds of the user's own clock, and how often it was retried.
struct Job {
    at: u64,
    retries: u64,
}

/// How a user's jobs ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// No job is left, and nothing says that anything went wrong.
    Nothing,
    /// The last one is in the dead set, for people to look at.
    Dead,
}

pub(super) async fn run(clock: &Clock, misfortune: &Misfortune, bar: &ProgressBar) -> anyhow::Result<Side> {
    let account = Account { max_send_rate: 50_000.0, max_24_hour_send: 1e9, ..Account::default() };
    let cloud = Cloud::new(Options { clock: clock.clone(), seed: misfortune.seed, store: StoreKind::TemporaryFile, account })?;
    // The mail service waits for the provider as long as it takes.
    let timing = Timing { send: Duration::from_mins(1), ..Settings::defaults(hasten)?.timing() };
    let ses = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &timing).await.ses;
    let service = Service { ses, content: content() };
    let users = stream::iter(0..misfortune.users).map(|user| {
        let (service, bar) = (&service, bar);
        async move {
            let left = jobs_of(user, misfortune, async || {
                service.mail(user).await?;
                bar.inc(1);
                Ok(())
            })
            .await?;
            Ok::<_, anyhow::Error>((user, left))
        }
    });
    let dead: Vec<u64> = users
        .buffer_unordered(WORKERS)
        .try_filter_map(|(user, left)| async move { Ok((left == Left::Dead).then_some(user)) })
        .try_collect()
        .await?;
    let mut side = Side::counted(&cloud, BROADCAST, misfortune.users)?;
    for user in dead {
        let missed = cloud.sent_for(BROADCAST, &address(user))?.accepted == 0;
        side.missed_unknown -= u64::from(missed);
    }
    // Not `finish`, which moves it to its length: these users have more mails than one.
    bar.abandon();
    Ok(side)
}

/// Runs the jobs of one user in the order in which they are due.
async fn jobs_of(user: u64, misfortune: &Misfortune, mail: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<Left> {
    let share = user * 100 / misfortune.users.max(1);
    let mut due = vec![Job { at: share * FAN_OUT_S / 100, retries: 0 }];
    if !misfortune.calm && share < FAN_OUT_ENDS {
        due.push(Job { at: (FAN_OUT_ENDS + share) * FAN_OUT_S / 100, retries: 0 });
    }
    let (mut is_written_down, mut tries, mut left) = (false, 0, Left::Nothing);
    while let Some(next) = (0..due.len()).min_by_key(|at| due.get(*at).map(|job| job.at)) {
        let Job { at, retries } = due.swap_remove(next);
        // Each job looks first whether it has been done.
        if is_written_down {
            continue;
        }
        let mishap = misfortune.of(user, tries);
        tries += 1;
        if !matches!(mishap, Some(Mishap::CrashBefore | Mishap::Refused)) {
            mail().await?;
        }
        let waited = match mishap {
            None => {
                (is_written_down, left) = (true, Left::Nothing);
                continue;
            }
            // Sidekiq has taken the job off its queue, and its process is gone (Sidekiq's wiki, "Reliability").
            Some(Mishap::CrashBefore | Mishap::CrashAfter) => continue,
            Some(Mishap::Deploy) => {
                due.push(Job { at: at + GRACE_S, retries });
                continue;
            }
            Some(Mishap::AnswerLost) => TIMEOUT_S,
            Some(Mishap::Refused) => 0,
        };
        if retries == RETRIES {
            left = Left::Dead;
        } else {
            // Its wiki, "Error Handling".
            due.push(Job { at: at + waited + 15 + retries.pow(4), retries: retries + 1 });
        }
    }
    Ok(left)
}

/// What the mail service does for a request.
struct Service {
    ses: aws_sdk_sesv2::Client,
    content: BulkEmailContent,
}

impl Service {
    async fn mail(&self, user: u64) -> anyhow::Result<()> {
        let tag = MessageTag::builder().name("broadcast").value(BROADCAST).build().context("a tag")?;
        let to = Destination::builder().to_addresses(address(user)).build();
        let entry = BulkEmailEntry::builder().destination(to).replacement_tags(tag).build();
        let request = self.ses.send_bulk_email().from_email_address("no-reply@example.com").default_content(self.content.clone());
        request.bulk_email_entries(entry).call().await.context("the simulated provider")?;
        Ok(())
    }
}

fn content() -> BulkEmailContent {
    let words = EmailTemplateContent::builder().subject("Our terms of service change").text("New terms apply.").build();
    BulkEmailContent::builder().template(Template::builder().template_content(words).template_data("{}").build()).build()
}

fn address(user: u64) -> String {
    format!("user{user:09}@example.com")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn mails(user: u64, misfortune: &Misfortune) -> u32 {
        let mails = Cell::new(0);
        let mail = async || {
            mails.set(mails.get() + 1);
            Ok(())
        };
        jobs_of(user, misfortune, mail).await.unwrap();
        mails.get()
    }

    #[tokio::test]
    async fn a_job_for_each_user_mails_each_once_until_answers_are_lost() {
        let calm = Misfortune { seed: 1, users: 100, calm: true };
        for user in 0..100 {
            assert_eq!(mails(user, &calm).await, 1);
        }
        // Whoever meets nothing is mailed once, though the fan-out went over them twice; whoever lost an answer, again.
        let misfortune = Misfortune { seed: 1, users: 2_000, calm: false };
        for user in 0..2_000 {
            let lost = (0..10).take_while(|tries| misfortune.of(user, *tries) == Some(Mishap::AnswerLost)).count();
            let clean = misfortune.of(user, u32::try_from(lost).unwrap()).is_none();
            if clean && lost < 5 {
                assert_eq!(mails(user, &misfortune).await, u32::try_from(lost).unwrap() + 1, "user {user}");
            }
        }
    }
}
