//! The two kinds of object that hold profiles.

use kube::api::ApiResource;

/// The API that a profile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `palisade.openshift.io`.
    Palisade,
    /// `security-profiles-operator.x-k8s.io`, version `v1beta1`, which its releases serve beside newer ones.
    Operator,
}

impl Origin {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Palisade, Self::Operator];

    /// The API group.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Palisade => crate::GROUP,
            Self::Operator => "security-profiles-operator.x-k8s.io",
        }
    }

    pub(crate) fn resource(self) -> ApiResource {
        let version = match self {
            Self::Palisade => crate::VERSION,
            Self::Operator => "v1beta1",
        };
        ApiResource {
            group: self.group().to_owned(),
            version: version.to_owned(),
            api_version: format!("{}/{version}", self.group()),
            kind: "SeccompProfile".to_owned(),
            plural: "seccompprofiles".to_owned(),
        }
    }
}
