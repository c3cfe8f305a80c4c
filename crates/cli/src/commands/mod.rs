//! What each subcommand does.

pub(crate) mod absent;
pub(crate) mod certify;
pub(crate) mod dead_letters;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod operate;
pub(crate) mod preview;
mod prove;
pub(crate) mod rehearse;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod resend;
pub(crate) mod restored;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod setup;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod suppress;
pub(crate) mod test_send;
pub(crate) mod unsubscribe;
