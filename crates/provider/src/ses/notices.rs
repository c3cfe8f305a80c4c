//! What comes to the queue of events by no webhook: what SES publishes by SNS or EventBridge, whether it is believed, and what it says.

use issei_aws::Web;
use issei_clock::Clock;

use super::event::parse_event;
use super::signatures::{Opinion, Signatures, SnsTrust};
use crate::Told;

/// What a body turns out to be.
#[derive(Debug)]
pub enum Notice {
    Told(Told),
    /// It is not believed, or can't be read, for this reason.
    Refused(String),
    /// Nobody can tell now.
    Unknown,
}

/// Reads them, and keeps what it verifies them by.
pub struct Notices(Signatures);

impl Notices {
    #[must_use]
    pub fn new(trust: SnsTrust, web: Web, clock: Clock) -> Self {
        Self(Signatures::new(trust, web, clock))
    }

    /// One for each body, in their order.
    pub async fn read<'a>(&self, bodies: impl Iterator<Item = &'a str>) -> Vec<Notice> {
        let read = |opinion| {
            let told = match opinion {
                Opinion::Believed(body) => parse_event(&body),
                Opinion::Refused(error) => Err(error),
                Opinion::Unknown => return Notice::Unknown,
            };
            told.map_or_else(|error| Notice::Refused(error.to_string()), Notice::Told)
        };
        self.0.judge(bodies).await.into_iter().map(read).collect()
    }
}
