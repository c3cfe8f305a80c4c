//! DNS, asked of the system's resolver or of one that is named. All questions of one look end at one moment,
//! seconds away; what was not told by then was not told, and is never taken for an empty answer.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use issei_clock::Instant;

const TRY: Duration = Duration::from_secs(2);
/// For all questions together.
const LONGEST: Duration = Duration::from_secs(5);

pub(super) struct Dns {
    resolver: Result<TokioResolver, String>,
    end: Instant,
}

impl Dns {
    pub(super) fn new(server: Option<SocketAddr>, now: Instant) -> Self {
        let builder = match server {
            None => TokioResolver::builder_tokio(),
            Some(server) => Ok(TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default())),
        };
        let resolver = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            (options.timeout, options.attempts, options.use_hosts_file) = (TRY, 1, ResolveHosts::Never);
            builder.build()
        });
        Self { resolver: resolver.map_err(|error| format!("there is no resolver: {error}")), end: now + LONGEST }
    }

    /// The TXT records of a name, each with its strings put together (RFC 7208, section 3.3); none where it has none.
    ///
    /// # Errors
    /// Says why nobody could tell.
    pub(super) async fn txt(&self, name: &str) -> Result<Vec<String>, String> {
        self.records(name, RecordType::TXT, |data| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        })
        .await
    }

    /// The hosts that take the mail of a name.
    ///
    /// # Errors
    /// Says why nobody could tell.
    pub(super) async fn mx(&self, name: &str) -> Result<Vec<String>, String> {
        self.records(name, RecordType::MX, |data| match data {
            RData::MX(mx) => Some(mx.exchange.to_utf8().trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        })
        .await
    }

    /// Whether a name is another's.
    ///
    /// # Errors
    /// Says why nobody could tell.
    pub(super) async fn is_alias(&self, name: &str) -> Result<bool, String> {
        let names = self.records(name, RecordType::CNAME, |data| matches!(data, RData::CNAME(_)).then_some(())).await?;
        Ok(!names.is_empty())
    }

    async fn records<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Result<Vec<T>, String> {
        let resolver = self.resolver.as_ref().map_err(Clone::clone)?;
        // With a dot at its end it is looked up as it stands, and in no domain of this machine.
        let asked = tokio::time::timeout_at(self.end, resolver.lookup(format!("{name}."), kind));
        let answer: Result<Lookup, NetError> =
            asked.await.map_err(|_| format!("DNS tells nothing of {name} within {} s", LONGEST.as_secs()))?;
        match answer {
            Ok(answer) => Ok(answer.answers().iter().filter_map(|record| read(&record.data)).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(format!("DNS does not tell of {name}: {error}")),
        }
    }
}

fn only(server: SocketAddr) -> ResolverConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, connections)])
}
