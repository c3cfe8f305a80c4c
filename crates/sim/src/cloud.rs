//! One simulated AWS account: takes a call, lets a fault befall it, and answers.

mod instead;
mod record;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::DefaultHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use issei_clock::{Clock, Dice, Instant};
use tokio::sync::{Notify, watch};

use crate::account::Account;
use crate::dynamodb::Tables;
use crate::faults::{Fault, Faults, Rule};
use crate::resend::Resend;
use crate::sendgrid::SendGrid;
use crate::ses::Ses;
use crate::sqs::Queues;
use crate::store::{Store, StoreError, Stored};
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

    /// The public key by which `SendGrid`'s webhook is verified, as it shows it.
    pub fn sendgrid_webhook_key(&self) -> String {
        self.state().sendgrid.verification_key()
    }

    /// As `SendGrid` signs a call of its webhook, whatever it puts into one.
    pub fn sendgrid_signature(&self, timestamp: &str, body: &str) -> String {
        self.state().sendgrid.sign(timestamp, body)
    }
}
