//! The providers that a service may send by.

use std::collections::BTreeMap;
use std::sync::Arc;

use issei_schema::ProviderName;

use crate::{Provider, Ses};

/// Each by the name that commands know it by. SES is there without configuration.
#[derive(Clone)]
pub struct Providers {
    ses: Ses,
    all: BTreeMap<ProviderName, Arc<dyn Provider>>,
}

impl Providers {
    /// SES alone.
    #[must_use]
    pub fn new(ses: Ses) -> Self {
        Self { all: BTreeMap::from([(ProviderName::default(), Arc::new(ses.clone()) as Arc<dyn Provider>)]), ses }
    }

    /// With another one.
    #[must_use]
    pub fn with(mut self, name: ProviderName, provider: Arc<dyn Provider>) -> Self {
        self.all.insert(name, provider);
        self
    }

    /// What SES alone has: templates, and a list of addresses for the whole account.
    #[must_use]
    pub fn ses(&self) -> &Ses {
        &self.ses
    }

    #[must_use]
    pub fn get(&self, name: &ProviderName) -> Option<&dyn Provider> {
        self.all.get(name).map(AsRef::as_ref)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ProviderName, &Arc<dyn Provider>)> {
        self.all.iter()
    }
}
