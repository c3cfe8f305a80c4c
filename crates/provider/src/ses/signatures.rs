//! Which bodies of the feedback queue are believed. A notification that says to be signed by SNS is believed
//! by its signature, and never without; what is raw has none, and whether that is enough is the operator's to say.
//!
//! A certificate that can't be fetched proves nothing either way: its notifications are left in the queue.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use issei_aws::Web;
use issei_clock::Clock;
use issei_schema::TopicArn;

use super::certificate::SigningCertificate;
use super::event::EventError;
use super::sns::{CertificateUrl, Notification, Opened, Signed, open};

/// Certificates kept: a region signs with one, and for a while with the next.
const KEPT_MAX: usize = 16;
/// Certificates asked for in one batch. Names that nobody has a certificate for can be made up.
const FETCHED_AT_ONCE_MAX: usize = 4;

/// What is asked of a body before it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnsTrust {
    /// Nothing: for an emulator, whose signatures are none.
    Off,
    /// A notification with a signature must have a good one, of this topic where one is named.
    WherePresent(Option<TopicArn>),
    /// Everything must be a notification of this topic with a good signature. Without a topic this would be no
    /// more than a word: SNS signs for everybody's.
    Require(TopicArn),
}

impl SnsTrust {
    /// Reads the settings `sns_signatures` and `sns_topic`.
    ///
    /// # Errors
    /// Says what is wrong with which.
    pub fn parse(signatures: &str, topic: &str) -> Result<Self, String> {
        let topic =
            if topic.is_empty() { None } else { Some(topic.parse().map_err(|reason| format!("sns_topic is `{topic}`: {reason}"))?) };
        match (signatures, topic) {
            ("off", _) => Ok(Self::Off),
            ("where-present", topic) => Ok(Self::WherePresent(topic)),
            ("require", Some(topic)) => Ok(Self::Require(topic)),
            ("require", None) => {
                Err("sns_signatures is `require`; name the topic with sns_topic, since SNS signs for everybody's".to_owned())
            }
            _ => Err(format!("sns_signatures is `{signatures}`; `off`, `where-present` and `require` are allowed")),
        }
    }

    fn topic(&self) -> Option<&TopicArn> {
        match self {
            Self::Off => None,
            Self::WherePresent(topic) => topic.as_ref(),
            Self::Require(topic) => Some(topic),
        }
    }
}

/// What is thought of a body.
#[derive(Debug)]
pub(super) enum Opinion<'a> {
    /// The event in it is taken for what it says.
    Believed(Cow<'a, str>),
    /// Not by whom it says to be.
    Refused(EventError),
    /// Nobody can tell now.
    Unknown,
}

/// Verifies, and keeps the certificates that it has fetched.
pub(super) struct Signatures {
    trust: SnsTrust,
    web: Web,
    clock: Clock,
    kept: Mutex<VecDeque<(CertificateUrl, SigningCertificate)>>,
}

impl Signatures {
    pub(super) fn new(trust: SnsTrust, web: Web, clock: Clock) -> Self {
        Self { trust, web, clock, kept: Mutex::default() }
    }

    /// One opinion for each body, in their order.
    pub(super) async fn judge<'a>(&self, bodies: impl Iterator<Item = &'a str>) -> Vec<Opinion<'a>> {
        let opened: Vec<_> = bodies.map(open).collect();
        if self.trust != SnsTrust::Off {
            self.fetch(opened.iter().filter_map(|opened| opened.as_ref().ok())).await;
        }
        let opinions: Vec<_> =
            opened.into_iter().map(|opened| opened.map_or_else(Opinion::Refused, |opened| self.opinion(opened))).collect();
        let count = |is_so: fn(&Opinion<'_>) -> bool| opinions.iter().filter(|opinion| is_so(opinion)).count() as u64;
        let events_unproven = count(|opinion| matches!(opinion, Opinion::Refused(EventError::Unproven(_))));
        let events_unverified = count(|opinion| matches!(opinion, Opinion::Unknown));
        if events_unproven + events_unverified > 0 {
            tracing::info!(target: "issei::metrics", events_unproven, events_unverified);
        }
        opinions
    }

    fn opinion<'a>(&self, opened: Opened<'a>) -> Opinion<'a> {
        let unproven = |reason: &'static str| Opinion::Refused(EventError::Unproven(reason.into()));
        match opened {
            Opened::Bare(_) if matches!(self.trust, SnsTrust::Require(_)) => {
                unproven("it is no notification of SNS, and sns_signatures asks for one")
            }
            Opened::Bare(body) => Opinion::Believed(body.into()),
            Opened::Notification(notification) if self.trust == SnsTrust::Off => Opinion::Believed(notification.message.into()),
            Opened::Notification(Notification { topic, .. })
                if self.trust.topic().is_some_and(|ours| topic.as_deref() != Some(ours.as_str())) =>
            {
                unproven("its topic is another than sns_topic")
            }
            Opened::Notification(Notification { message, signed: None, .. }) => match self.trust {
                SnsTrust::Require(_) => unproven("it has no signature, and sns_signatures asks for one"),
                _ => Opinion::Believed(message.into()),
            },
            Opened::Notification(Notification { message, signed: Some(signed), .. }) => match self.verify(&signed) {
                Some(Ok(())) => Opinion::Believed(message.into()),
                Some(Err(reason)) => unproven(reason),
                None => Opinion::Unknown,
            },
        }
    }

    /// Nothing where its certificate is not there.
    fn verify(&self, signed: &Signed) -> Option<Result<(), &'static str>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, certificate) = kept.iter().find(|(url, _)| *url == signed.certificate)?;
        Some(certificate.verify(signed, self.clock.wall()))
    }

    /// Fetches what certificates are missing, those that most notifications name first.
    async fn fetch<'a>(&self, opened: impl Iterator<Item = &'a Opened<'a>>) {
        let mut missing: BTreeMap<&CertificateUrl, usize> = BTreeMap::new();
        for opened in opened {
            if let Opened::Notification(Notification { signed: Some(signed), .. }) = opened
                && self.verify(signed).is_none()
            {
                *missing.entry(&signed.certificate).or_default() += 1;
            }
        }
        let mut missing: Vec<_> = missing.into_iter().collect();
        missing.sort_by_key(|(_, named)| std::cmp::Reverse(*named));
        let fetched = join_all(missing.into_iter().take(FETCHED_AT_ONCE_MAX).map(async |(url, named)| {
            let document = self.web.get(&url.host, &url.path).await;
            (url, named, document.and_then(|document| SigningCertificate::parse(&document, url.domain)))
        }));
        for (url, notifications, certificate) in fetched.await {
            match certificate {
                Ok(certificate) => self.keep(url.clone(), certificate),
                Err(reason) => tracing::error!(
                    url = format!("https://{}{}", url.host, url.path),
                    notifications,
                    reason,
                    "a certificate of SNS can't be had, so its notifications are left in the queue; check the way to that address"
                ),
            }
        }
    }

    fn keep(&self, url: CertificateUrl, certificate: SigningCertificate) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| *known != url);
        kept.push_back((url, certificate));
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
    }
}
