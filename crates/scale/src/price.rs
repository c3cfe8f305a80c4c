//! What it costs at list prices in us-east-1, in dollars.

use crate::room::float;
use crate::{Setup, Told, cost};

/// A million requests to SQS, a million write units and read units of an on-demand table, and a thousand mails by SES.
const SQS: f64 = 0.40;
const WRITE_UNIT: f64 = 0.625;
const READ_UNIT: f64 = 0.125;
const THOUSAND_MAILS: f64 = 0.10;
/// Read units for each recipient: its page, which is read to be enqueued and to be certified.
const READS: f64 = 0.0204;

/// The provider's part, by SES's price.
#[must_use]
pub fn provider(recipients: u64) -> f64 {
    float(recipients) / 1e3 * THOUSAND_MAILS
}

/// SQS's and DynamoDB's part.
#[must_use]
pub fn aws(setup: &Setup, told: &Told) -> f64 {
    let chunks = float(setup.recipients.div_ceil(u64::from(setup.chunk_recipients.max(1))));
    // Sent, received and deleted.
    let requests = 3.0 * chunks / f64::from(cost::BATCH);
    (requests * SQS + told.write_units * WRITE_UNIT + float(setup.recipients) * READS * READ_UNIT) / 1e6
}
