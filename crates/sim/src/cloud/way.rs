//! The way of one call: what befalls it, what it does, and what comes back of it.

use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use issei_clock::Instant;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::Value;

use super::instead::{in_its_place, injected_error, throttled};
use super::{Cloud, State};
use crate::answer::{Answer, ApiError, ok, ok_as_it_is};
use crate::call::{Call, access_key};
use crate::dynamodb;
use crate::faults::Fault;
use crate::letter_by_web::Asked;
use crate::sqs::Received;
use crate::usage::Usage;
use crate::{resend, sendgrid, sts};

impl Cloud {
    /// Takes one call.
    pub(crate) async fn handle(self: &Arc<Self>, request: Request<Bytes>) -> Answer {
        match self.answer(request).await {
            Answer::Response(response) => Answer::Response(self.dated(response)),
            other => other,
        }
    }

    /// Every answer tells when it was made, by AWS's own clock; not when it came.
    fn dated(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        if !response.headers().contains_key(http::header::DATE)
            && let Some(date) =
                DateTimePrinter::new().timestamp_to_rfc9110_string(&self.clock.wall()).ok().and_then(|date| date.parse().ok())
        {
            response.headers_mut().insert(http::header::DATE, date);
        }
        response
    }

    async fn answer(self: &Arc<Self>, request: Request<Bytes>) -> Answer {
        if let Some(identity) = sts::answer(&request, &access_key(&request)) {
            return Answer::Response(identity);
        }
        let call = match Call::read(&request) {
            Ok(call) => call,
            Err(error) => return Answer::Response(error.into_response()),
        };
        self.note_usage(&call.caller, |usage| *usage.calls.entry((call.service, call.operation.clone())).or_default() += 1);
        self.record(&call);
        let fault = self.faults.draw(&call.operation, &call.body);
        let now = self.clock.now();
        if let Some(broadcast) = call.sends_for() {
            self.last_send.lock().unwrap_or_else(PoisonError::into_inner).insert(broadcast.to_owned(), now);
        }
        let elapsed = now.saturating_duration_since(self.started);
        tracing::trace!(call.operation, ?elapsed, ?fault, call.body = %call.body, "call");
        (&call.operation, elapsed, fault).hash(&mut *self.digest.lock().unwrap_or_else(PoisonError::into_inner));
        match fault {
            Some(Fault::Refused) => return Answer::Refused,
            Some(Fault::ResetBefore) => return Answer::Reset,
            Some(Fault::HangBefore) => return self.hang(),
            Some(Fault::ErrorBefore) => return Answer::Response(injected_error(call.service)),
            Some(Fault::Throttle) => return Answer::Response(self.throttled(call.service)),
            Some(Fault::Conflict) => {
                if let Some(conflict) = dynamodb::conflict(&call.operation, &call.body) {
                    return Answer::Response(conflict.into_response());
                }
            }
            Some(Fault::DelayMs(delay)) => tokio::time::sleep(Duration::from_millis(delay)).await,
            Some(Fault::LateMs(delay)) => {
                let (cloud, restores) = (self.clone(), self.restores.load(Ordering::Relaxed));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                    // A restore takes longer than any request: none comes to what was put in its table's place.
                    if call.service != "dynamodb" || restores == cloud.restores.load(Ordering::Relaxed) {
                        // Nobody waits for the answer any more.
                        let _ = cloud.respond(&call, None, now).await;
                    }
                });
                return self.hang();
            }
            _ => {}
        }
        self.take_time().await;
        let response = self.dated(self.respond(&call, fault, now).await);
        self.take_time().await;
        match fault {
            Some(Fault::ResetAfter) => Answer::Reset,
            Some(Fault::AnswerMs(delay)) => {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                Answer::Response(response)
            }
            Some(Fault::HangAfter) => self.hang(),
            Some(Fault::ErrorAfter) => Answer::Response(injected_error(call.service)),
            Some(Fault::ReplacedAfter(status)) => Answer::Response(in_its_place(status, call.body.to_string().len())),
            Some(Fault::TruncateAfter) => Answer::Response(response.map(|body| body.slice(..body.len() / 2))),
            _ => Answer::Response(response),
        }
    }

    fn note_usage(&self, caller: &str, note: impl FnOnce(&mut Usage)) {
        note(self.usage.lock().unwrap_or_else(PoisonError::into_inner).entry(caller.to_owned()).or_default());
    }

    fn record(&self, call: &Call) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.entry(call.caller.clone()).or_default();
        calls.extend(call.rights().into_iter().map(|(action, resource)| (call.service, action, resource)));
    }

    /// Carries out what was asked for at `asked`.
    async fn respond(&self, call: &Call, fault: Option<Fault>, asked: Instant) -> Response<Bytes> {
        let sends_for = call.sends_for().map(|broadcast| (broadcast, self.accepted_of(broadcast)));
        let response = self.carry_out(call, fault).await;
        if let Some((broadcast, before)) = sends_for
            && self.accepted_of(broadcast) > before
        {
            let mut taken = self.last_taken.lock().unwrap_or_else(PoisonError::into_inner);
            let last = taken.entry(broadcast.to_owned()).or_insert(asked);
            *last = asked.max(*last);
        }
        response
    }

    async fn carry_out(&self, call: &Call, fault: Option<Fault>) -> Response<Bytes> {
        let asked = Asked { body: &call.body, raw: &call.raw, headers: &call.headers, query: &call.query };
        let by_web = match (call.service, call.operation.as_str()) {
            ("sendgrid", "MailSend") => Some(self.state().send_by_sendgrid(&asked)),
            ("sendgrid", operation) => Some(Ok(self.state().tell_of_sendgrid(operation, &asked))),
            ("resend", "ListDomains") => Some(Ok(self.state().domains_of_resend(&asked))),
            ("resend", _) => Some(self.state().send_by_resend(&asked)),
            _ => None,
        };
        match by_web {
            Some(said) => said.unwrap_or_else(ApiError::into_response),
            None => self.perform_under(call, fault).await.unwrap_or_else(ApiError::into_response),
        }
    }

    fn throttled(&self, service: &str) -> Response<Bytes> {
        match service {
            "sendgrid" => sendgrid::throttled(self.clock.wall().as_second() + 1),
            "resend" => resend::throttled(),
            _ => throttled(service),
        }
    }

    /// A call that happens and is answered, whatever goes wrong with its answer.
    async fn perform_under(&self, call: &Call, fault: Option<Fault>) -> Result<Response<Bytes>, ApiError> {
        if fault == Some(Fault::Unprocessed)
            && let Some((asked, left)) = dynamodb::halved(&call.body)
        {
            return self.use_table(call, |state| state.batch_get(&asked, &left)).map(ok_as_it_is);
        }
        self.perform(call).await
    }

    async fn take_time(&self) {
        let time = {
            let state = self.state();
            state.dice.below(state.account.latency_ms)
        };
        if time > 0 {
            tokio::time::sleep(Duration::from_millis(time)).await;
        }
    }

    fn hang(&self) -> Answer {
        self.faults.hang();
        Answer::Hang
    }

    async fn perform(&self, call: &Call) -> Result<Response<Bytes>, ApiError> {
        let answer = match call.service {
            "sqs" if call.operation == "ReceiveMessage" => self.receive(&call.body).await?,
            "sqs" => {
                let mut state = self.state();
                state.sender = sts::identity(&call.caller).map(|(_, id)| id.into());
                state.sqs(&call.operation, &call.body, &call.base)?
            }
            "dynamodb" => {
                let state = self.state();
                if state.account.database_looks_at.as_ref().is_some_and(|text| call.body.to_string().contains(text)) {
                    state.check_age(call.signed_at)?;
                }
                drop(state);
                return self.use_table(call, |state| state.dynamodb(&call.operation, &call.body)).map(ok_as_it_is);
            }
            "lambda" => self.state().lambda(&call.operation)?,
            _ => self.state().ses(&call.operation, &call.path, &call.body, call.signed_at)?,
        };
        Ok(ok(&answer))
    }

    fn use_table<T>(&self, call: &Call, uses: impl FnOnce(&mut State) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut state = self.state();
        let answer = uses(&mut state);
        // What is refused is paid for, too.
        let units = std::mem::take(&mut state.units);
        drop(state);
        self.note_usage(&call.caller, |usage| usage.units += units);
        answer
    }

    async fn receive(&self, body: &Value) -> Result<Value, ApiError> {
        let wait = body["WaitTimeSeconds"].as_u64().unwrap_or(0).min(20);
        let deadline = self.clock.now() + Duration::from_secs(wait);
        loop {
            let arrival = self.arrivals.notified();
            tokio::pin!(arrival);
            // Registered before the look, so that a message between look and wait is not missed.
            arrival.as_mut().enable();
            let (arrives, received) = {
                let mut state = self.state();
                (state.events_arrive()?, state.receive(body)?)
            };
            let next = match received {
                Received::Messages(messages) => return Ok(messages),
                Received::Wait(next) => next.into_iter().chain(arrives).min(),
            };
            if self.clock.now() >= deadline {
                return Ok(Value::Object(serde_json::Map::new()));
            }
            tokio::select! {
                biased;
                () = arrival => {}
                () = tokio::time::sleep_until(next.unwrap_or(deadline).min(deadline)) => {}
            }
        }
    }
}
