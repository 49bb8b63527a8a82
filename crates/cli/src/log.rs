//! Logs of the commands that run until they are stopped.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes logs to standard error, in colours where that is a terminal. The client library's own lines are left out: every
/// error that it logs comes to its caller too, who knows whether it matters.
pub(crate) fn init() {
    let colours = std::io::stderr().is_terminal();
    let levels = Targets::new().with_default(LevelFilter::INFO).with_target("kube_client", LevelFilter::OFF);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    tracing_subscriber::registry().with(lines).with(levels).init();
}
