//! SCCs that can admit no pod.

use crate::namespace::RangeError;

/// The reason why an SCC that the API server accepts can admit no pod at all.
///
/// The reference then refuses every pod of the cluster; here such an SCC is skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// `runAsUser: MustRunAs` has no user ID.
    #[error("runAsUser.type is MustRunAs but runAsUser.uid is not set")]
    NoUid,
    /// `runAsUser: MustRunAsRange` has only one bound.
    #[error("runAsUser.type is MustRunAsRange but only one of uidRangeMin and uidRangeMax is set")]
    HalfRange,
    /// A strategy that does not exist; validation refuses it, an object that predates it may have it.
    #[error("unknown strategy {value:?} in {field}")]
    UnknownStrategy {
        /// The field of the strategy.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The namespace lacks an annotation that this SCC needs.
    #[error("{0}")]
    Namespace(RangeError),
}

impl Unusable {
    pub(crate) fn strategy(field: &'static str, value: &str) -> Self {
        Self::UnknownStrategy { field, value: value.to_owned() }
    }
}
