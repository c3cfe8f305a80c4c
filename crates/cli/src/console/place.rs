//! Where the console listens, and by which names it may be asked for.
//!
//! What it must never do: answer to a name that somebody else points here (DNS rebinding), or let a token go over a network in
//! the clear.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::bail;
use http::Uri;

/// The address under which browsers reach the console, where that is not the one that it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    is_secure: bool,
    /// As a browser says it: in lowercase, and without the port that goes without saying.
    host: String,
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("give it with its scheme, such as https://issei.example.com".to_owned());
        };
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("give scheme, host and port alone: the console has a path of its own".to_owned());
        }
        let is_secure = match scheme {
            "https" => true,
            "http" if is_of_this_machine(authority.host()) => false,
            "http" => return Err("it must be https: its token would go over the network in the clear".to_owned()),
            other => return Err(format!("it can't be {other}; give https")),
        };
        Ok(Self { is_secure, host: told_by_browsers(authority.as_str(), is_secure) })
    }
}

fn is_of_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn told_by_browsers(authority: &str, is_secure: bool) -> String {
    let authority = authority.to_ascii_lowercase();
    let unsaid = if is_secure { ":443" } else { ":80" };
    authority.strip_suffix(unsaid).map(str::to_owned).unwrap_or(authority)
}

/// Where to listen, and under which address browsers come.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) listen: SocketAddr,
    public: Option<PublicUrl>,
}

impl Place {
    /// Where nobody but this machine reaches it; port 0 for any that is free.
    pub(super) fn here(port: u16) -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), public: None }
    }

    pub(super) fn of(listen: Option<SocketAddr>, port: u16, public: Option<PublicUrl>) -> anyhow::Result<Self> {
        let listen = listen.unwrap_or(Self::here(port).listen);
        if !listen.ip().is_loopback() && public.as_ref().is_none_or(|public| !public.is_secure) {
            bail!(
                "on {listen} others reach the console, which speaks plain HTTP and would answer to any name: put a proxy with TLS before it and give its address by --public-url https://…, or listen on 127.0.0.1 and forward the port (docs/watch.md)"
            );
        }
        Ok(Self { listen, public })
    }

    /// What it may be asked for as, where it has come to listen on `bound`.
    pub(super) fn names(&self, bound: SocketAddr) -> Names {
        if let Some(PublicUrl { is_secure, host }) = &self.public {
            return Names { is_secure: *is_secure, hosts: vec![host.clone()] };
        }
        let hosts = [bound.to_string(), format!("localhost:{}", bound.port())];
        Names { is_secure: false, hosts: hosts.map(|host| told_by_browsers(&host, false)).into() }
    }
}

/// By which names it may be asked for: each host with its port, the first for its own addresses.
pub(super) struct Names {
    pub(super) is_secure: bool,
    hosts: Vec<String>,
}

impl Names {
    /// What its own addresses begin with.
    pub(super) fn origin(&self) -> String {
        self.hosts.first().map_or_else(String::new, |host| self.of(host))
    }

    fn of(&self, host: &str) -> String {
        format!("{}://{host}", if self.is_secure { "https" } else { "http" })
    }

    pub(super) fn has_host(&self, host: &str) -> bool {
        let host = told_by_browsers(host, self.is_secure);
        self.hosts.contains(&host)
    }

    pub(super) fn has_origin(&self, origin: &str) -> bool {
        self.hosts.iter().any(|host| self.of(host) == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(listen: &str, public: Option<&str>) -> anyhow::Result<Place> {
        let public = public.map(|public| public.parse().map_err(anyhow::Error::msg)).transpose()?;
        Place::of(Some(listen.parse()?), 0, public)
    }

    #[test]
    fn what_others_reach_needs_the_name_of_a_proxy_with_tls() {
        for (listen, public) in [
            ("0.0.0.0:8474", None),
            ("[::]:8474", None),
            ("10.0.0.7:8474", Some("http://localhost:9000")),
            ("127.0.0.1:8474", Some("http://issei.example.com")),
            ("127.0.0.1:8474", Some("http://127.0.0.1.evil.example")),
            ("127.0.0.1:8474", Some("https://issei.example.com/console")),
            ("127.0.0.1:8474", Some("https://issei.example.com/?a=b")),
            ("127.0.0.1:8474", Some("https://somebody@issei.example.com")),
            ("127.0.0.1:8474", Some("issei.example.com")),
            ("127.0.0.1:8474", Some("ftp://issei.example.com")),
        ] {
            assert!(place(listen, public).is_err(), "{listen} {public:?}");
        }
        for (listen, public) in [
            ("127.0.0.1:8474", None),
            ("[::1]:8474", None),
            ("127.0.0.1:8474", Some("http://localhost:9000")),
            ("0.0.0.0:8474", Some("https://issei.example.com")),
        ] {
            assert!(place(listen, public).is_ok(), "{listen} {public:?}");
        }
    }

    #[test]
    fn it_is_asked_for_by_its_names_alone() {
        let bound = "127.0.0.1:8474".parse().unwrap();
        let own = place("127.0.0.1:8474", None).unwrap().names(bound);
        assert!(own.has_host("127.0.0.1:8474") && own.has_host("LOCALHOST:8474") && own.has_origin("http://localhost:8474"));
        for other in ["127.0.0.1", "127.0.0.1:80", "localhost", "evil.example:8474", "127.0.0.1:8474.evil.example", ""] {
            assert!(!own.has_host(other), "{other}");
        }
        assert!(!own.has_origin("https://127.0.0.1:8474") && !own.has_origin("null") && !own.has_origin("http://127.0.0.1:1"));

        let public = place("0.0.0.0:8474", Some("https://Issei.example.com:443/")).unwrap().names(bound);
        assert_eq!(public.origin(), "https://issei.example.com");
        assert!(public.has_host("issei.example.com") && public.has_host("issei.example.com:443") && public.is_secure);
        assert!(public.has_origin("https://issei.example.com") && !public.has_origin("http://issei.example.com"));
        assert!(!public.has_host("127.0.0.1:8474") && !public.has_host("issei.example.com:8474"));
    }
}
