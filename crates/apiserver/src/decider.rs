//! The decider on SCC: this server, webhooks, or nobody.

/// The decider on SCC: this server, webhooks, or nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decider {
    /// The server's own: it decides on pods, SCCs and processes in containers, and gives namespaces their ranges.
    #[default]
    Server,
    /// That of admission webhooks, as on a cluster that others operate: the server does none of it.
    Webhooks,
    /// Nobody's: pods run as they ask to, and there are no SCCs from the start.
    Nobody,
}
