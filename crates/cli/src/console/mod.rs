//! `issei console`: a page on 127.0.0.1, with the credentials of whoever started it. Nothing is deployed.
//!
//! What it must never do: answer to anybody who does not have the address that it printed, or change anything
//! for a request that does not come from its own page.

mod door;
mod guard;
mod person;
mod routes;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use issei_assembly::{Parts, Settings, say};
use issei_clock::{Dice, Instant};
use issei_schema::BroadcastId;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Ended;
use crate::args::ConsoleOptions;
use crate::commands::serve::on_signal;
use crate::pages::{Frame, Language, Live};

use self::door::Door;

/// Several people look at the same broadcast every two seconds; AWS is asked once a second at most.
const FRESH: Duration = Duration::from_secs(1);

/// The last rendering of each broadcast, by language, and when it was made.
type Renderings = HashMap<(BroadcastId, &'static str), (Instant, String)>;

/// What all requests share.
pub(crate) struct Console {
    parts: Parts,
    port: u16,
    seen: Mutex<Renderings>,
}

/// The console, as whoever has come in by a door finds it.
#[derive(Clone)]
struct At {
    console: Arc<Console>,
    door: Arc<Door>,
}

pub(crate) async fn run(settings: &Settings, options: &ConsoleOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let shutdown = on_signal()?;
    let opened = Opened::at(parts, options.port).await?;
    if as_json {
        say(&serde_json::json!({ "address": opened.address }).to_string());
        opened.serve(shutdown).await?;
        return Ok(Ended::Well);
    }
    say(&opened.address);
    say("Only whoever has this address can use the console. Ctrl-C ends it.");
    opened.serve(shutdown).await?;
    Ok(Ended::Well)
}

/// A console that listens, and answers once it is served.
pub(crate) struct Opened {
    /// With the token.
    pub(crate) address: String,
    listener: TcpListener,
    at: At,
}

impl Opened {
    /// At a port of 127.0.0.1; 0 for any that is free.
    pub(crate) async fn at(parts: Parts, port: u16) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the console can't listen on {address}; choose another --port, or 0 for any that is free"))?;
        let port = listener.local_addr()?.port();
        // Not by the parts' own dice, which a simulation throws alike in each run.
        let door = Door::new(&Dice::system());
        let address = format!("http://127.0.0.1:{port}{}", door.way_in());
        let console = Console { parts, port, seen: Mutex::default() };
        Ok(Self { address, listener, at: At { console: Arc::new(console), door: Arc::new(door) } })
    }

    pub(crate) async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let ended = async move { shutdown.cancelled().await };
        Ok(axum::serve(self.listener, routes::router(self.at)).with_graceful_shutdown(ended).await?)
    }
}

impl At {
    /// What every page has.
    fn frame(&self) -> Frame {
        Frame { base: self.door.base.clone(), csrf: self.door.csrf().to_owned() }
    }
}

impl Console {
    /// How a broadcast stands, with its timeline and audit trail.
    async fn live(&self, id: &BroadcastId, language: Language) -> anyhow::Result<Live> {
        let ledger = self.parts.ledger();
        let status = crate::commands::status::Status::read(&self.parts, id, false).await?;
        let (timeline, trail) = (ledger.timeline(id).await?, ledger.audit_trail(&ledger.broadcast(id).await?).await?);
        let wait = crate::operator::longest_after_stop(&self.parts, &status).await?;
        Ok(Live::of(language.words(), status, trail, &timeline, wait, true))
    }

    /// The part of the page that is replaced, at most a second old.
    async fn fragment(&self, id: &BroadcastId, language: Language) -> anyhow::Result<String> {
        let now = self.parts.clock.now();
        let key = (id.clone(), language.words().language);
        // Held while it is read, so that those who come meanwhile wait for this reading.
        let mut seen = self.seen.lock().await;
        seen.retain(|_, (at, _)| now.saturating_duration_since(*at) < FRESH);
        if let Some((_, html)) = seen.get(&key) {
            return Ok(html.clone());
        }
        let html = askama::Template::render(&self.live(id, language).await?)?;
        seen.insert(key, (self.parts.clock.now(), html.clone()));
        Ok(html)
    }
}
