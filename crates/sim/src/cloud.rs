//! One simulated AWS account: takes a call, lets a fault befall it, and answers.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use issei_clock::{Clock, Dice, Instant};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::account::Account;
use crate::answer::{Answer, ApiError, ok, ok_as_it_is};
use crate::call::{Call, access_key};
use crate::dynamodb::{self, Tables};
use crate::faults::{Fault, Faults, Rule};
use crate::letter_by_web::Asked;
use crate::resend::{self, Resend};
use crate::sendgrid::{self, SendGrid};
use crate::ses::Ses;
use crate::sqs::{Queues, Received};
use crate::store::{Mail, SentTo, Store, StoreError, Stored};
use crate::sts;
use crate::usage::{Units, Usage};

/// How to make a [`Cloud`].
#[derive(Clone, Debug)]
pub struct Options {
    pub clock: Clock,
    /// Every injected fault and every redelivery follows from it.
    pub seed: u64,
    pub store: StoreKind,
    pub account: Account,
}

/// Where the simulated services keep their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Memory,
    /// A temporary file that is gone with the process, so that memory stays flat.
    TemporaryFile,
}

/// How many calls each service got, by operation.
pub type Counts = BTreeMap<(&'static str, String), u64>;

/// What each caller asked for, by the access key that signed: service, operation and the resource's name.
pub type Calls = BTreeMap<String, BTreeSet<(&'static str, String, String)>>;

/// The items of a table at one moment.
pub struct Backup(Vec<Stored>);

/// A simulated AWS account.
pub struct Cloud {
    state: Mutex<State>,
    faults: Faults,
    /// By the access key that signed.
    usage: Mutex<BTreeMap<String, Usage>>,
    calls: Mutex<Calls>,
    /// Over every call so far, with its moment and its fault.
    digest: Mutex<DefaultHasher>,
    /// When a send of each broadcast was asked for last, whatever became of it.
    last_send: Mutex<BTreeMap<String, Instant>>,
    /// The same of those alone by which somebody was accepted.
    last_taken: Mutex<BTreeMap<String, Instant>>,
    /// How often a table was restored.
    restores: AtomicU64,
    started: Instant,
    arrivals: Arc<Notify>,
    clock: Clock,
}

/// The services' state behind the one lock that makes every call atomic.
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) store: Store,
    pub(crate) account: Account,
    pub(crate) sqs: Queues,
    /// Whoever calls SQS just now.
    pub(crate) sender: Option<Arc<str>>,
    pub(crate) tables: Tables,
    pub(crate) transaction_tokens: BTreeSet<String>,
    /// Of the call that is being answered.
    pub(crate) units: Units,
    pub(crate) ses: Ses,
    pub(crate) sendgrid: SendGrid,
    pub(crate) resend: Resend,
    /// Events that are on their way, when they arrive, and where.
    pub(crate) away: Vec<(Instant, String, String)>,
    pub(crate) arrivals: Arc<Notify>,
}

impl Cloud {
    /// A fresh account with nothing in it.
    ///
    /// # Errors
    /// Fails where the store can't be made.
    pub fn new(options: Options) -> Result<Arc<Self>, StoreError> {
        let arrivals = Arc::new(Notify::new());
        let dice = Dice::seeded(options.seed);
        let state = State {
            clock: options.clock.clone(),
            dice: dice.clone(),
            store: Store::open(options.store == StoreKind::TemporaryFile)?,
            account: options.account,
            sqs: Queues::default(),
            sender: None,
            tables: Tables::default(),
            transaction_tokens: BTreeSet::new(),
            units: Units::default(),
            ses: Ses::default(),
            sendgrid: SendGrid::default(),
            resend: Resend::default(),
            away: Vec::new(),
            arrivals: arrivals.clone(),
        };
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            faults: Faults::new(dice),
            usage: Mutex::default(),
            calls: Mutex::default(),
            digest: Mutex::default(),
            last_send: Mutex::default(),
            last_taken: Mutex::default(),
            restores: AtomicU64::new(0),
            started: options.clock.now(),
            arrivals,
            clock: options.clock,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the account's settings while it runs.
    pub fn configure(&self, change: impl FnOnce(&mut Account)) {
        change(&mut self.state().account);
    }

    /// Lets a fault befall calls from now on.
    pub fn inject(&self, rule: Rule) {
        self.faults.add(rule);
    }

    /// Ends all faults. Calls that hang go on hanging.
    pub fn heal(&self) {
        self.faults.clear();
    }

    /// How many events are on their way.
    #[must_use]
    pub fn events_away(&self) -> usize {
        self.state().away.len()
    }

    /// Ends every visibility timeout and delay of every queue, as if that long had passed.
    pub fn show_all_messages(&self) {
        self.state().show_all();
    }

    /// How many calls of an operation were befallen by a fault so far.
    #[must_use]
    pub fn befallen(&self, operation: &str, fault: Fault) -> u64 {
        self.faults.befallen(operation, fault)
    }

    /// How many calls hang, to wait for the moment in which one does.
    pub fn hanging(&self) -> watch::Receiver<u64> {
        self.faults.hanging()
    }

    /// How many calls each service got.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut all = Counts::new();
        for usage in self.usage.lock().unwrap_or_else(PoisonError::into_inner).values() {
            usage.calls.iter().for_each(|(call, count)| *all.entry(call.clone()).or_default() += count);
        }
        all
    }

    /// What whoever signs with an access key has used so far.
    #[must_use]
    pub fn usage_of(&self, access_key: &str) -> Usage {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).get(access_key).cloned().unwrap_or_default()
    }

    fn note_usage(&self, caller: &str, note: impl FnOnce(&mut Usage)) {
        note(self.usage.lock().unwrap_or_else(PoisonError::into_inner).entry(caller.to_owned()).or_default());
    }

    /// A digest over every call so far, with its moment and its fault: two runs that have the same
    /// have gone the same way.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).finish()
    }

    /// The provider's record: addresses after `after`, in order, with how often each was asked for
    /// and accepted under the broadcast's tag.
    ///
    /// # Errors
    /// Fails where the store can't be read.
    pub fn sent_to(&self, broadcast: &str, after: &str, limit: u32) -> Result<Vec<SentTo>, StoreError> {
        self.state().store.sent_to(broadcast, after, limit)
    }

    /// The provider's record of one address.
    ///
    /// # Errors
    /// Fails where the store can't be read.
    pub fn sent_for(&self, broadcast: &str, address: &str) -> Result<SentTo, StoreError> {
        self.state().store.sent_for(broadcast, address)
    }

    /// Every mail as rendered, where the account keeps them.
    ///
    /// # Errors
    /// Fails where the store can't be read.
    pub fn mails(&self) -> Result<Vec<Mail>, StoreError> {
        self.state().store.mails()
    }

    /// The account's suppression list: addresses with their reasons.
    #[must_use]
    pub fn suppressed(&self) -> BTreeMap<String, String> {
        self.state().ses.suppressed.clone()
    }

    /// Every item of a table, as a backup of it would hold them.
    ///
    /// # Errors
    /// Fails where the store can't be read.
    pub fn back_up(&self, table: &str) -> Result<Backup, StoreError> {
        self.state().store.items(table).map(Backup)
    }

    /// Puts a backup in place of a table. With `as_new` it is another table to AWS, as a restore
    /// by DynamoDB itself always makes.
    ///
    /// # Errors
    /// Fails where the store can't be written.
    pub fn restore(&self, table: &str, backup: &Backup, as_new: bool) -> Result<(), StoreError> {
        self.restores.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        if as_new {
            state.tables.renew(table);
        }
        state.store.replace_items(table, &backup.0)
    }

    /// Recipients that the provider has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state().ses.accepted
    }

    /// Recipients of one broadcast that the provider has accepted so far.
    #[must_use]
    pub fn accepted_of(&self, broadcast: &str) -> u64 {
        self.state().ses.accepted_of.get(broadcast).copied().unwrap_or(0)
    }

    /// When a send of one broadcast was asked for last, on the simulation's monotonic clock.
    #[must_use]
    pub fn last_send_of(&self, broadcast: &str) -> Option<Instant> {
        self.last_send.lock().unwrap_or_else(PoisonError::into_inner).get(broadcast).copied()
    }

    /// When the provider accepted a recipient of a broadcast last, on the simulation's monotonic clock.
    #[must_use]
    pub fn last_accepted_of(&self, broadcast: &str) -> Option<Instant> {
        self.state().ses.last_accepted_of.get(broadcast).copied()
    }

    /// When the last of the sends was asked for by which the provider accepted somebody of a broadcast, on the simulation's
    /// monotonic clock. One that was long on its way was asked for before it was accepted.
    #[must_use]
    pub fn last_taken_of(&self, broadcast: &str) -> Option<Instant> {
        self.last_taken.lock().unwrap_or_else(PoisonError::into_inner).get(broadcast).copied()
    }

    /// The most recipients that the provider accepted within any one second.
    #[must_use]
    pub fn peak_in_a_second(&self) -> u64 {
        self.state().ses.peak_in_a_second
    }

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

    /// What each caller has asked for so far.
    pub fn calls(&self) -> Calls {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

    /// The public key by which `SendGrid`'s webhook is verified, as it shows it.
    pub fn sendgrid_webhook_key(&self) -> String {
        self.state().sendgrid.verification_key()
    }

    /// A call that happens and is answered, whatever goes wrong with its answer.
    async fn perform_under(&self, call: &Call, fault: Option<Fault>) -> Result<Response<Bytes>, ApiError> {
        if fault == Some(Fault::Unprocessed)
            && let Some((asked, left)) = dynamodb::halved(&call.body)
        {
            let mut answer = self.use_table(call, |state| state.dynamodb(&call.operation, &asked))?;
            answer["UnprocessedKeys"] = left;
            return Ok(ok(&answer));
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
                if dynamodb::gets_all(&call.operation, &call.body) {
                    return self.use_table(call, |state| state.get_all(&call.body)).map(ok_as_it_is);
                }
                self.use_table(call, |state| state.dynamodb(&call.operation, &call.body))?
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

fn injected_error(service: &str) -> Response<Bytes> {
    match service {
        "sendgrid" => sendgrid::failed(),
        "resend" => resend::failed(),
        _ => ApiError::new("InternalServerError", "injected").status(StatusCode::INTERNAL_SERVER_ERROR).into_response(),
    }
}

/// What stands in between says: to a browser, or to a program, in one form or the other for one request or the other.
fn in_its_place(status: u16, asked_in_bytes: usize) -> Response<Bytes> {
    let title = "Request blocked";
    let (kind, body) = match (usize::from(status) + asked_in_bytes) % 3 {
        0 => ("text/html", format!("<html><body>{title}</body></html>")),
        // JSON:API, "Error Objects".
        1 => (
            "application/vnd.api+json",
            json!({ "errors": [{ "status": status.to_string(), "title": title, "detail": title }] }).to_string(),
        ),
        _ => (
            "application/json",
            json!({ "name": "RequestBlocked", "message": title, "code": status, "errors": [{ "message": title }] }).to_string(),
        ),
    };
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn throttled(service: &str) -> Response<Bytes> {
    match service {
        "ses" => ApiError::new("TooManyRequestsException", "injected").status(StatusCode::TOO_MANY_REQUESTS),
        "dynamodb" => ApiError::new("ProvisionedThroughputExceededException", "injected"),
        _ => ApiError::new("RequestThrottled", "injected"),
    }
    .into_response()
}
