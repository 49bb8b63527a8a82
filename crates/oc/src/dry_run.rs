//! `--dry-run`.

use clap::ValueEnum;

/// The extent of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// The object is written
    #[default]
    None,
    /// No request is sent; the resulting object is printed
    Client,
    /// The server does everything except storing the object
    Server,
}

impl DryRun {
    /// The query parameter.
    pub(crate) fn query(self) -> &'static str {
        if self == Self::Server { "&dryRun=All" } else { "" }
    }

    /// The suffix of a message.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}
