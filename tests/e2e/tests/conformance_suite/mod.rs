//! The calls that issei makes, and what the services answer.

mod dynamodb;
mod official_clients;
mod ses;
mod sqs;

use issei_aws::Clients;

/// What is asked.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) clients: Clients,
    /// Goes before every name, so that one emulator serves many runs.
    pub(crate) prefix: String,
}

pub(crate) async fn run_all(subject: &Subject) {
    println!("conformance of the {}", subject.name);
    sqs::run(subject).await;
    dynamodb::run(subject).await;
    ses::run(subject).await;
}
