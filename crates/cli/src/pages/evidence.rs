//! The evidence, and a certificate within a report: what is wrong first, then what still moves, then what holds by what it is about.

use askama::Template;
use issei_certificate::{Certificate, Finding, Judgement, Topic, Verdict};

use super::{Frame, Language, Words};

/// The evidence as it stands.
#[derive(Template)]
#[template(path = "evidence.html")]
pub(crate) struct Evidence {
    pub(crate) frame: Frame,
    pub(crate) words: &'static Words,
    pub(crate) certificate: Certificate,
    /// Whether what holds is unfolded.
    pub(crate) opens: bool,
}

/// What a finding says, in the language of the page.
pub(super) struct Found<'a> {
    pub(super) what: &'a str,
    pub(super) value: &'a str,
    pub(super) rule: &'a str,
    pub(super) read_from: &'a str,
    pub(super) mend: Option<&'a str>,
}

/// A certificate of a build that has written no Japanese has none.
pub(super) fn found<'a>(words: &Words, finding: &'a Finding) -> Found<'a> {
    let Finding { what, value, rule, read_from, mend, .. } = finding;
    match (words.of(), &finding.japanese) {
        (Language::Ja, Some(japanese)) => Found {
            what: &japanese.what,
            value: &japanese.value,
            rule: &japanese.rule,
            read_from: &japanese.read_from,
            mend: japanese.mend.as_deref(),
        },
        _ => Found { what, value, rule, read_from, mend: mend.as_deref() },
    }
}

/// What is wrong, or can't be read: what is to be mended first.
pub(super) fn against(certificate: &Certificate) -> Vec<&Finding> {
    certificate.findings.iter().filter(|finding| finding.is_against()).collect()
}

/// What does not hold since the broadcast goes on, or since nobody has watched yet.
pub(super) fn so_far(certificate: &Certificate) -> Vec<&Finding> {
    certificate.findings.iter().filter(|finding| !finding.holds() && !finding.is_against()).collect()
}

/// What holds, by what it is about.
pub(super) fn holding<'a>(words: &Words, certificate: &'a Certificate) -> Vec<(&'static str, Vec<&'a Finding>)> {
    let topics = [
        (words.topic_settings, Topic::Settings),
        (words.topic_services, Topic::Services),
        (words.topic_audience, Topic::Audience),
        (words.topic_outcomes, Topic::Outcomes),
        (words.topic_queues, Topic::Queues),
    ];
    let of = |topic| certificate.findings.iter().filter(|finding| finding.topic() == topic && finding.holds()).collect::<Vec<_>>();
    topics.into_iter().map(|(name, topic)| (name, of(topic))).filter(|(_, findings)| !findings.is_empty()).collect()
}

pub(super) fn class_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Converged => "good",
        Verdict::InDoubt(_) => "doubt",
        Verdict::NotConverged => "bad",
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the templates call it so")]
pub(super) fn mark_of(judgement: &Judgement) -> &'static str {
    match judgement {
        Judgement::Holds => "good",
        Judgement::Broken => "bad",
        Judgement::Unreadable => "doubt",
    }
}
