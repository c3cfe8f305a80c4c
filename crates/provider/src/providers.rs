//! The providers that a service may send by.

use std::collections::BTreeMap;
use std::sync::Arc;

use issei_schema::{CarriedBy, ProviderName};

use crate::ses::{self, FACTS as SES};
use crate::{Facts, Provider, Ses};

/// What whoever only prepares a broadcast has to know of a provider: no key of it.
#[derive(Clone, Debug)]
pub struct Known {
    pub facts: &'static Facts,
    /// Recipients a second, where the provider does not tell.
    pub rate: Option<f64>,
    /// Which account of it is configured; nothing where nothing is known of that.
    pub carried_by: Option<CarriedBy>,
}

impl Known {
    /// SES, which is known without configuration.
    #[must_use]
    pub fn ses() -> BTreeMap<ProviderName, Self> {
        BTreeMap::from([(ProviderName::default(), Self { facts: &SES, rate: None, carried_by: Some(ses::carried_by()) })])
    }
}

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

    /// The one that commands name so.
    #[must_use]
    pub fn get(&self, name: &ProviderName) -> Option<&dyn Provider> {
        self.0.get(name).map(AsRef::as_ref)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ProviderName, &Arc<dyn Provider>)> {
        self.0.iter()
    }
}
