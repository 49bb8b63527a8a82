//! `--dry-run`.

use clap::ValueEnum;

/// How much of a write is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// The object is written
    #[default]
    None,
    /// Nothing is sent; the object that would be is printed
    Client,
    /// The server does all but keep the object
    Server,
}

impl DryRun {
    /// The query of a request.
    pub(crate) fn query(self) -> &'static str {
        if self == Self::Server { "&dryRun=All" } else { "" }
    }

    /// The end of a message.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}
