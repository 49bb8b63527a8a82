//! Built-in profiles.

/// The default profile of the workshop page, as printed there: `runtime/default` of set 3.
pub const WORKSHOP: &str = include_str!("builtin/workshop.json");

/// A current default, of our own: the syscalls that containers need, gated by capabilities as in Docker's profile, with
/// the syscalls of kernels up to 6.18.
pub const DEFAULT: &str = include_str!("builtin/default.json");

/// `example-explorer-profile`, for the page's explorer pod: an HTTP server that reads files, sets their
/// permissions and moves them, and nothing else.
pub const EXPLORER: &str = include_str!("builtin/example-explorer-profile.json");

/// All of them, by their names on the command line.
pub const ALL: [(&str, &str); 3] =
    [("workshop", WORKSHOP), ("runtime/default", DEFAULT), ("example-explorer-profile", EXPLORER)];

/// The text of a built-in profile. `RuntimeDefault`, as a pod has it, is the same as `runtime/default`; `runtime/default@3` is that of set 3, OpenShift 3's, which the workshop page prints.
#[must_use]
pub fn named(name: &str) -> Option<&'static str> {
    let alias = match name {
        "docker/default" | "runtime/default@4" | "RuntimeDefault" | "docker" => "runtime/default",
        "runtime/default@3" => "workshop",
        other => other,
    };
    ALL.iter().find(|(known, _)| *known == alias).map(|(_, text)| *text)
}
