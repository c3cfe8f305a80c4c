//! The providers that a service may send by.

use std::collections::BTreeMap;
use std::sync::Arc;

use issei_schema::ProviderName;

use crate::{Provider, Ses};

/// Each by the name that commands know it by.
#[derive(Clone)]
pub struct Providers(BTreeMap<ProviderName, Arc<dyn Provider>>);

impl Providers {
    /// SES alone, which is there without configuration.
    #[must_use]
    pub fn new(ses: Ses) -> Self {
        Self(BTreeMap::from([(ProviderName::default(), Arc::new(ses) as Arc<dyn Provider>)]))
    }

    /// With another one.
    #[must_use]
    pub fn with(mut self, name: ProviderName, provider: Arc<dyn Provider>) -> Self {
        self.0.insert(name, provider);
        self
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ProviderName, &Arc<dyn Provider>)> {
        self.0.iter()
    }
}
