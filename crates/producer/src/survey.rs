//! Looking at a whole audience without freezing it: for a forecast, and for the fuzzer. Nothing of it stays,
//! and it holds three keys of each reason and three recipients in memory, whatever the size of the audience.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use issei_ledger::{Ledger, SkipReason};
use issei_letter::Letters;
use issei_schema::{BroadcastCommand, VariantName};

use crate::SourceError;
use crate::aside::Aside;
use crate::audience::{AudienceConfig, UniqueBy};
use crate::blank::{Blank, Holes};
use crate::chosen::ChosenCanary;
use crate::judging::{Candidate, JudgingError, candidates, skip_mailed};
use crate::missed::{SentBefore, sent_before};
use crate::repeated::note_addresses;
use crate::row::{Judged, Needed};
use crate::samples::Samples;
use crate::skipping::{Counted, Mailable};
use crate::source::{Mailed, Progress, ReadObjects, Source, quotable};

const PAGE: usize = 2_000;
const EXAMPLES: usize = 3;
const VALUES_MAX: usize = 20;

/// What an audience comes to, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub rows: u64,
    /// Rows of those who were asked whether they want marketing and do not, which are none of `rows`; nothing where nobody is asked,
    /// or that is not known.
    pub left_out: Option<u64>,
    /// Those who would be frozen as recipients.
    pub mailable: u64,
    pub skipped: BTreeMap<SkipReason, Skips>,
    /// Rows whose key another row has, too, whatever their reason.
    pub repeated_keys: u64,
    /// Keys whose rows do not all say the same: of each the least row that can be mailed is.
    pub differing_keys: u64,
    /// Addresses that stand under more than one key, each of which is mailed unless `unique_by` says otherwise.
    pub repeated_addresses: u64,
    /// Rows whose address has invisible white space around it, which is left out.
    pub trimmed_addresses: u64,
    /// How many get the words of each variant, nobody among them; nothing where there are none.
    pub variants: BTreeMap<VariantName, u64>,
    pub fell_back: FellBack,
    /// Whose letters have nothing where a value should stand.
    pub blank: Blank,
    /// Of a resend, who has it from the broadcast whose missed it is for.
    pub sent_before: Option<SentBefore>,
    /// Of an audience in S3, what it was read from.
    pub objects: Option<ReadObjects>,
    /// Whom the canary chooses, where it does.
    pub canary: Option<ChosenCanary>,
    /// Recipients whose letters are worth a look.
    pub samples: Samples,
}

/// Recipients who get the fallback's words, since no variant is named as their value is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FellBack {
    pub recipients: u64,
    /// How many have which value, of twenty values.
    pub values: BTreeMap<String, u64>,
}

impl FellBack {
    fn take(&mut self, value: &str) {
        self.recipients += 1;
        *self.values.entry(value.to_owned()).or_default() += 1;
        // The least of them stay, so that what is counted of these is all there is.
        if self.values.len() > VALUES_MAX {
            self.values.pop_last();
        }
    }
}

/// Who is skipped for one reason, or is the same in another way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skips {
    pub rows: u64,
    /// The first three keys, fit to be shown; none where rows have no key.
    pub examples: Vec<String>,
}

impl Survey {
    /// Rows that would be skipped.
    #[must_use]
    pub fn skipped_rows(&self) -> u64 {
        self.skipped.values().map(|skips| skips.rows).sum()
    }

    /// Whether a producer would send to them at once, hold, or end the broadcast.
    #[must_use]
    pub fn enough(&self, skipped_share_max: f64) -> Mailable {
        self.counted().mailable(skipped_share_max)
    }

    /// Its rows, as far as they tell whether too many are skipped.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let wanted = self.skipped.get(&SkipReason::DuplicateAddress).map_or(0, |skips| skips.rows);
        Counted::of(self.mailable, self.skipped_rows(), wanted)
    }

    fn take(&mut self, Candidate { key, judged, repeats, in_canary }: Candidate, letters: &Letters) {
        match judged {
            Judged::Recipient(recipient, _) => {
                self.mailable += 1;
                self.samples.take(&recipient, in_canary, letters, || recipient.clone());
                if let Some((_, value)) = letters.fell_back(&recipient.data) {
                    self.fell_back.take(value);
                }
                self.skip(SkipReason::DuplicateKey, repeats, (repeats > 0).then(|| quotable(&key)));
            }
            Judged::Skipped(key, reason) => self.skip(reason, 1 + repeats, Some(key)),
            Judged::SkippedFor { key, .. } => self.skip(SkipReason::DuplicateAddress, 1 + repeats, Some(key)),
        }
    }

    fn skip(&mut self, reason: SkipReason, rows: u64, example: Option<String>) {
        skip(&mut self.skipped, reason, rows, example);
    }
}

/// Counts rows that are skipped for a reason; none of them leave no reason behind.
pub(crate) fn skip(skipped: &mut BTreeMap<SkipReason, Skips>, reason: SkipReason, rows: u64, example: Option<String>) {
    if rows > 0 {
        skip_to(skipped.entry(reason).or_default(), rows, example);
    }
}

/// Counts rows, and keeps three keys of them.
pub(crate) fn skip_to(skips: &mut Skips, rows: u64, example: Option<String>) {
    skips.rows += rows;
    if skips.examples.len() < EXAMPLES {
        skips.examples.extend(example);
    }
}

/// The address of whoever is mailed, or would be if nobody else with it were.
fn address(judged: &Judged) -> Option<String> {
    match judged {
        Judged::Recipient(recipient, _) => Some(recipient.address.identity()),
        Judged::SkippedFor { address, .. } => Some(address.clone()),
        Judged::Skipped(..) => None,
    }
}

/// Reads everybody and judges them for this command, as the producer would.
pub async fn survey(
    command: &BroadcastCommand,
    config: &AudienceConfig,
    ledger: &Ledger,
    spool_dir: &Path,
    progress: &Progress,
) -> Result<Survey, JudgingError> {
    let audience = command.audience.as_str();
    let nobody_asked = || SourceError::Config { audience: audience.to_owned(), reason: "it does not say who wants marketing".to_owned() };
    let config = &config.clone().for_class(command.class()).ok_or_else(nobody_asked)?;
    let needed = Arc::new(needed(command, config)?);
    let mut source = Source::read(audience, config, spool_dir, String::new(), progress).await?.for_command(command);
    let counts = source.counts();
    let mut survey = Survey {
        rows: counts.rows,
        left_out: source.left_out(),
        objects: source.objects().cloned(),
        repeated_keys: counts.repeated,
        differing_keys: counts.differing,
        trimmed_addresses: counts.trimmed,
        canary: ChosenCanary::of(command),
        variants: needed.letters.all().filter_map(|(name, _)| Some((name?.clone(), 0))).collect(),
        ..Survey::default()
    };
    survey.sent_before = sent_before(ledger, command, &mut source, config.unique_by == Some(UniqueBy::Address)).await?;
    survey.skip(SkipReason::NoKey, counts.without_key, None);
    progress.has_judged(counts.without_key);
    let holes = Holes::of(command);
    let (mut cursor, mut list) = (source.beginning(), ledger.suppressions(counts.rows));
    list.look().await?;
    loop {
        let mut candidates = candidates(Some(&list), &source, &mut cursor, PAGE, &needed, Aside::Threads).await?;
        if candidates.is_empty() {
            return Ok(survey);
        }
        if config.unique_by == Some(UniqueBy::Address) {
            skip_mailed(&mut candidates, &source, &Mailed::new()).await?;
        }
        // With `unique_by` the spool must know whom this part mails.
        let addresses = candidates.iter().filter_map(|c| Some((address(&c.judged)?, c.key.as_str()))).collect();
        survey.repeated_addresses += note_addresses(&mut source, addresses).await?.repeated;
        progress.has_judged(candidates.iter().map(|candidate| 1 + candidate.repeats).sum());
        for candidate in candidates {
            if let Some(canary) = survey.canary.as_mut().filter(|_| cursor.in_canary) {
                canary.take(&candidate);
            }
            if let Judged::Recipient(recipient, _) = &candidate.judged
                && let Some(name) = needed.letters.variant(&recipient.data)
                && let Some(recipients) = survey.variants.get_mut(name)
            {
                *recipients += 1;
            }
            if let Judged::Recipient(recipient, _) = &candidate.judged {
                holes.note(&mut survey.blank, recipient, &needed.letters, || quotable(&candidate.key));
            }
            survey.take(candidate, &needed.letters);
        }
    }
}

fn needed(command: &BroadcastCommand, config: &AudienceConfig) -> Result<Needed, SourceError> {
    Needed::of(command, config).map_err(|lack| SourceError::Config { audience: command.audience.to_string(), reason: lack.to_string() })
}

/// Reads every row and judges it by itself. Gives how many rows were read and how many were seen.
#[cfg(feature = "simulation")]
pub async fn judge_all(command: &BroadcastCommand, config: &AudienceConfig) -> Result<(u64, u64), SourceError> {
    let audience = command.audience.as_str();
    let needed = needed(command, config)?;
    let source = Source::read(audience, config, &std::env::temp_dir(), String::new(), &Progress::default()).await?;
    let (mut seen, mut cursor) = (source.counts().without_key, source.beginning());
    loop {
        let page = source.page(&mut cursor, PAGE).await?;
        let Some(spooled) = page.last() else { return Ok((source.counts().rows, seen)) };
        cursor.after = Some(spooled.row.key.clone());
        seen += page.iter().map(|spooled| 1 + spooled.repeats).sum::<u64>();
        page.into_iter().for_each(|spooled| drop(crate::rows::Rows::of(spooled, false, &needed)));
    }
}
