//! Lint: effects of a profile that its author may not have intended. The checks, in the order in which they run:
//!
//! | module | looks for |
//! |---|---|
//! | `whole` | what default, flags and architectures mean |
//! | `entry` | entries that do nothing, or not everywhere, or not what their action says |
//! | `overlap` | entries that hide others, or let everything through together |
//! | `clone` | masks of namespaces, inverted or too short; the order of arguments on s390 |
//! | `family` | syscalls that do the same as a denied one; newer forms that fail with an error on which no program falls back |
//! | `abi` | names that an ABI of the profile does not have, and what they are called there |
//! | `runtime` | what runc, crun and the program's own start need |

mod abi;
mod addition;
mod clone;
mod entry;
mod family;
mod overlap;
mod runtime;
mod view;
mod whole;

use crate::arch::Arch;
use crate::filter::Rules;
use view::View;

use crate::finding::{Finding, Findings};
use crate::profile::Profile;

pub use addition::addition;
pub use runtime::Runtime;
pub(crate) use runtime::needs;

/// Checks a profile, with its rules for a machine of this architecture and a container.
#[must_use]
pub fn lint(profile: &Profile, rules: &Rules, native: Arch) -> Vec<Finding> {
    let mut findings = Findings::default();
    let view = View::new(profile, rules, native);
    for check in
        [whole::check, entry::check, overlap::check, clone::check, family::check, abi::check, runtime::check]
    {
        check(&view, &mut findings);
    }
    findings.list
}
