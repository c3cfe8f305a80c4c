//! Which broadcasts several persons must agree to. It is decided where a command is registered, and kept with it; so who
//! freezes it, under whatever settings, changes nothing.

use std::collections::BTreeSet;

use issei_aws::Senders;
use issei_ledger::{Agreement, Asked, phrases};
use issei_schema::{BroadcastCommand, CarriedBy, Class, Identity};

use crate::source::size_of;

/// How many persons must agree, and to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// Whoever asks among them. 0 and 1 ask for nobody else.
    pub persons: u32,
    /// To broadcasts with so many recipients or more.
    pub from_recipients: u64,
    /// Of these classes; of all where there is none.
    pub classes: BTreeSet<Class>,
}

impl Approvals {
    /// Classes as a setting names them: with commas between them.
    ///
    /// # Errors
    /// Says which is none.
    pub fn classes(named: &str) -> Result<BTreeSet<Class>, String> {
        let names = named.split(',').map(str::trim).filter(|name| !name.is_empty());
        names
            .map(|name| {
                let known = [Class::LegalNotice, Class::Service, Class::Marketing].into_iter().find(|class| class.to_string() == name);
                known.ok_or_else(|| format!("`{name}` is no class; there are `legal_notice`, `service` and `marketing`"))
            })
            .collect()
    }

    /// Whether several persons must agree to what a command asks for, if enough get it. A rehearsal reaches nobody, and a
    /// copy is there for whoever is to agree.
    #[must_use]
    pub fn are_for(&self, command: &BroadcastCommand) -> bool {
        let is_real = command.test_copy.is_none() && size_of(command.audience.as_str()).is_none();
        is_real && self.persons > 1 && (self.classes.is_empty() || self.classes.contains(&command.class()))
    }

    /// Who asked for it, who else must agree, and who is to carry it.
    pub(crate) fn asked(&self, command: &BroadcastCommand, senders: &Senders, carried_by: Option<CarriedBy>) -> Asked {
        let Senders { known, unknown } = senders;
        let mut by: Vec<&str> = known.iter().map(Identity::as_str).collect();
        by.extend(unknown.then_some("somebody unknown"));
        Asked {
            by: (!by.is_empty()).then(|| by.join(phrases::AND)),
            agreement: self.are_for(command).then(|| Agreement::of(self.persons, self.from_recipients, known.clone(), *unknown)),
            carried_by,
        }
    }
}
