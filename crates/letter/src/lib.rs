//! What a recipient reads: from the content of a command and a recipient's data to subject, text and HTML.
//!
//! All logic is decided here, and a provider only puts values where a [`Part`] has its slots; so the same content renders
//! the same whoever sends it, and as it was shown beforehand. A value is made safe for the place where it stands, and
//! there is no way to ask for the raw one. Nothing here knows a provider, a queue or the ledger.

mod attributes;
mod contexts;
mod letter;
mod links;
mod part;
mod references;
mod safe;
mod seen;
mod stored;

pub use letter::{ContentError, Letter, Letters, Rendered, Unwritable};
pub use part::Part;
pub use seen::shows;
pub use stored::Stored;
