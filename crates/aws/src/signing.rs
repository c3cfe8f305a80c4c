//! By which clock a claim is signed, and what AWS's own clock said.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Signs one call to `DynamoDB` with this moment, in whole seconds as signatures have it, for
/// `customize().config_override(…)`. AWS refuses it once that is more than five minutes ago (IAM user guide, "Elements of
/// an AWS API request signature").
///
/// The SDK corrects what it takes for a wrong clock by adding what the last answer's clock was ahead:
/// that would make every signature a fresh one.
#[must_use]
pub fn written_at(moment: Timestamp) -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::config::Builder::new()
        .time_source(StaticTimeSource::from_secs(u64::try_from(moment.as_second()).unwrap_or(0)))
        .disable_clock_skew_correction(true)
}

/// The moment at which AWS answered one call by its own clock, for `customize().interceptor(…)`. Whole
/// seconds (RFC 9110, section 5.6.7), and never later than the answer. The last attempt's, where there
/// were several.
#[derive(Clone, Debug, Default)]
pub struct AnsweredAt(Arc<Mutex<Option<Timestamp>>>);

impl AnsweredAt {
    /// Nothing where no answer came, or one that did not say.
    #[must_use]
    pub fn get(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for AnsweredAt {
    fn name(&self) -> &'static str {
        "AnsweredAt"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        static PARSER: DateTimeParser = DateTimeParser::new();
        let date = context.response().headers().get("date").and_then(|date| PARSER.parse_timestamp(date).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}
