//! What a provider says of a sender: whether it sends for them, as whom it signs, and by which domain bounces come back.
//! Whether DNS agrees is looked at by whoever asks; nothing is judged here, and nothing is sent.

/// A sender, as the provider answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The provider's own name of what was asked.
    pub asked: &'static str,
    /// Why it matters whether the provider knows the sender.
    pub why: &'static str,
    /// What it knows; nothing where it knows neither the domain nor the address.
    pub told: Result<Option<Identity>, String>,
    /// How a sender is made known to it.
    pub mend: String,
}

/// What a provider takes a sender for: a domain, one above it, or the one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub is_verified: bool,
    pub signs: Signs,
    pub path: ReturnPath,
}

/// Whether it signs (DKIM), as far as the provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signs {
    /// It did not tell.
    Untold,
    /// It does not sign, in its own words.
    No { told: String, mend: String },
    /// It signs as this domain.
    As {
        domain: String,
        /// The names at which receivers look for the keys; none where it names none.
        keys: Vec<String>,
        told: String,
        mend: String,
    },
}

/// The domain to which bounces go back, which is the one that SPF is asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnPath {
    /// The provider's own, which is never the sender's.
    Own,
    /// The sender's, and not ready: what the provider says, and what it does then.
    NotReady { domain: String, told: String, mend: String },
    /// The sender's.
    Theirs {
        domain: String,
        told: String,
        /// The name that its SPF record must include.
        includes: &'static str,
        /// How the name of the host begins and ends that must take its mail.
        taken_by: (&'static str, &'static str),
        mend: String,
    },
}

/// A domain and those above it, down to two labels.
pub fn above(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |domain| domain.split_once('.').map(|(_, above)| above)).filter(|domain| domain.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_looked_for_upwards_to_two_labels() {
        assert_eq!(above("mail.example.co.jp").collect::<Vec<_>>(), ["mail.example.co.jp", "example.co.jp", "co.jp"]);
        assert_eq!(above("localhost").count(), 0);
    }
}
