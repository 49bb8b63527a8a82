//! The decider on SCC: this server, webhooks, or nobody.

/// The decider on SCC: this server, webhooks, or nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decider {
    /// The server itself: it decides on pods, SCCs and processes in containers, and gives namespaces their ranges.
    #[default]
    Server,
    /// Admission webhooks, as on a cluster that others operate: the server decides on none of it.
    Webhooks,
    /// Nothing: pods run as they request, and there are no initial SCCs.
    Nobody,
}
