//! `issei console`: pages for a browser, with the credentials of whoever started it. Nothing is deployed.
//!
//! What it must never do: answer to anybody who does not have the address that it printed, or change anything
//! for a request that does not come from its own page, or that is more than its address may.

mod asking;
mod deeds;
mod door;
mod guard;
mod person;
mod place;
mod right;
mod routes;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use askama::Template;
use issei_assembly::{Parts, Settings, say};
use issei_clock::{Dice, Instant};
use issei_ledger::BroadcastState;
use issei_schema::BroadcastId;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Ended;
use crate::args::ConsoleOptions;
use crate::commands::serve::on_signal;
use crate::commands::status::{CountedSince, Status};
use crate::in_use::{self, Care, Standing};
use crate::operator;
use crate::pages::{Bare, Frame, Language, Live};
use crate::proof::after_pause;

use self::asking::Said;
use self::door::{Door, Key};
use self::place::Names;
use self::right::Needs;

pub(crate) use self::place::{Place, PublicUrl};
pub(crate) use self::right::Right;

/// Whoever stops everything types it, in either language and in letters of any size.
pub(crate) const EVERYTHING: &str = "STOP ALL";

/// Several people look at the same broadcast every two seconds; AWS is asked once a second at most.
const FRESH: Duration = Duration::from_secs(1);

/// How long a look at whether the ledger is in use is good for. Whoever changes something looks anew.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// So long whoever has sent a form may take to follow to the page that says what became of it.
const SAID_FOR: Duration = Duration::from_mins(10);

/// The last rendering of each broadcast, by language and by whether it is bare, and when it was made.
type Renderings = HashMap<(BroadcastId, &'static str, bool), (Instant, String)>;

/// What all requests share.
pub(crate) struct Console {
    parts: Parts,
    /// By which a copy of a letter is judged before it is sent; nothing where all that it shows is simulated.
    settings: Option<Settings>,
    names: Names,
    /// All that it shows is simulated.
    is_simulated: bool,
    seen: Mutex<Renderings>,
    /// How it stands with the ledger, and when that was looked at.
    standing: Mutex<Option<(Instant, Standing)>>,
    /// What became of forms, until whoever sent them is shown it, and when that was.
    said: Mutex<HashMap<String, (Instant, Said)>>,
    counted: CountedSince,
}

/// The console, as whoever has come in by a door finds it.
#[derive(Clone)]
struct At {
    console: Arc<Console>,
    door: Arc<Door>,
}

pub(crate) async fn run(settings: &Settings, options: &ConsoleOptions, as_json: bool) -> anyhow::Result<Ended> {
    let place = Place::of(options.listen, options.port, options.public_url.clone())?;
    let key = std::env::var(door::KEY).ok().map(|key| Key::new(&key)).transpose()?;
    let parts = in_use::open(settings, Care::Itself).await?;
    let shutdown = on_signal()?;
    let opened = Opened::at((parts, Some(settings.clone())), &place, &options.right, key.as_ref()).await?;
    if as_json {
        let addresses: BTreeMap<_, _> = opened.addresses.iter().map(|(right, address)| (right.as_str(), address)).collect();
        say(&serde_json::json!({ "addresses": addresses }).to_string());
        opened.serve(shutdown).await?;
        return Ok(Ended::Well);
    }
    match opened.addresses.as_slice() {
        [(_, address)] => say(address),
        addresses => addresses.iter().for_each(|(right, address)| say(&format!("{:<10}  {address}", right.as_str()))),
    }
    say("Only whoever has an address can use the console, for what it may. Ctrl-C ends it.");
    opened.serve(shutdown).await?;
    Ok(Ended::Well)
}

/// A console that listens, and answers once it is served.
pub(crate) struct Opened {
    /// Each with its token, and with what whoever comes by it may do.
    pub(crate) addresses: Vec<(Right, String)>,
    listener: TcpListener,
    console: Arc<Console>,
    doors: Vec<At>,
}

impl Opened {
    /// Of what is simulated in this process, for whoever sees this process's output.
    pub(crate) async fn simulated(parts: Parts) -> anyhow::Result<Self> {
        Self::at((parts, None), &Place::here(0), &[Right::Everything], None).await
    }

    /// Without settings all of it is simulated.
    async fn at((parts, settings): (Parts, Option<Settings>), place: &Place, rights: &[Right], key: Option<&Key>) -> anyhow::Result<Self> {
        let Place { listen, .. } = place;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("the console can't listen on {listen}; choose another --port, or 0 for any that is free"))?;
        let names = place.names(listener.local_addr()?);
        let origin = names.origin();
        let console = Arc::new(Console {
            parts,
            is_simulated: settings.is_none(),
            settings,
            names,
            seen: Mutex::default(),
            standing: Mutex::default(),
            said: Mutex::default(),
            counted: CountedSince::default(),
        });
        let mut opened = Self { addresses: Vec::new(), listener, console: console.clone(), doors: Vec::new() };
        for right in rights {
            if opened.addresses.iter().any(|(known, _)| known == right) {
                continue;
            }
            // Not by the parts' own dice, which a simulation throws alike in each run.
            let door = Door::new(*right, key, &Dice::system());
            opened.addresses.push((*right, format!("{origin}{}", door.way_in())));
            opened.doors.push(At { console: console.clone(), door: Arc::new(door) });
        }
        Ok(opened)
    }

    pub(crate) async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let ended = async move { shutdown.cancelled().await };
        Ok(axum::serve(self.listener, routes::router(&self.console, &self.doors)).with_graceful_shutdown(ended).await?)
    }
}

impl At {
    fn may(&self, needs: Needs) -> bool {
        self.door.right.may(needs)
    }

    /// What every page has.
    async fn frame(&self) -> Frame {
        Frame {
            ledger_told: self.console.standing().await.told().cloned(),
            base: self.door.base.clone(),
            csrf: self.door.csrf().to_owned(),
            is_simulated: self.console.is_simulated,
            may_look: self.may(Needs::Look),
            may_stop: self.may(Needs::Stop),
        }
    }
}

impl Console {
    /// How it stands with the ledger. Whatever is simulated nobody restores.
    async fn standing(&self) -> Standing {
        if self.is_simulated {
            return Standing::InUse;
        }
        let now = self.parts.clock.now();
        let mut known = self.standing.lock().await;
        if let Some((_, standing)) = known.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < LOOK_EVERY) {
            return standing.clone();
        }
        let standing = Standing::of(&self.parts).await;
        *known = Some((self.parts.clock.now(), standing.clone()));
        standing
    }

    /// The same, looked at for a deed: a page may be of before, and the next one says what this one has found.
    async fn standing_now(&self) -> Standing {
        *self.standing.lock().await = None;
        self.standing().await
    }

    /// Keeps what became of a form for the page that the browser is sent to. Gives the word by which it is asked for, once.
    async fn keep_said(&self, became: Said) -> String {
        let (now, token) = (self.parts.clock.now(), Dice::system().token());
        let mut said = self.said.lock().await;
        said.retain(|_, (at, _)| now.saturating_duration_since(*at) < SAID_FOR);
        said.insert(token.clone(), (now, became));
        token
    }

    /// What became of a form, for the first who asks.
    async fn take_said(&self, token: Option<&str>) -> Said {
        let said = match token {
            Some(token) => self.said.lock().await.remove(token),
            None => None,
        };
        said.map_or(Said::NOTHING, |(_, said)| said)
    }

    /// How a broadcast stands, with its timeline and audit trail.
    async fn live(&self, id: &BroadcastId, language: Language) -> anyhow::Result<Live> {
        let ledger = self.parts.ledger();
        let mut status = Status::read(&self.parts, id, false).await?;
        status.ledger_told = self.standing().await.told().cloned();
        let (timeline, trail) = (ledger.timeline(id).await?, ledger.audit_trail(&ledger.broadcast(id).await?).await?);
        let proof = match status.state {
            BroadcastState::Paused if !status.never_granted && status.provider.is_none() => {
                after_pause(&trail, &operator::widest(&self.parts).await?, status.at)
            }
            _ => status.proof(&self.parts, id, &trail, &self.counted).await?,
        };
        Ok(Live::of(language.words(), status, trail, &timeline, proof, true))
    }

    /// The part of the page that is replaced, at most a second old.
    async fn fragment(&self, id: &BroadcastId, language: Language, is_bare: bool) -> anyhow::Result<String> {
        let now = self.parts.clock.now();
        let key = (id.clone(), language.words().language, is_bare);
        // Held while it is read, so that those who come meanwhile wait for this reading.
        let mut seen = self.seen.lock().await;
        seen.retain(|_, (at, _)| now.saturating_duration_since(*at) < FRESH);
        if let Some((_, html)) = seen.get(&key) {
            return Ok(html.clone());
        }
        let live = self.live(id, language).await?;
        let html = if is_bare { Bare::of(live).render()? } else { live.render()? };
        seen.insert(key, (self.parts.clock.now(), html.clone()));
        Ok(html)
    }
}
