//! Reviews of workloads, and the pages for browsers that show them.
//!
//! A [`Report`] states which SCC admits a workload's pods or why none does, by all checks of a pod: SCC, Kubernetes'
//! own validation and the namespace's Pod Security labels. Its advice is tested before it is given. Pages are made of
//! reports and of other results; a [`Page`] is a standalone file or a part of a server's.
//!
//! ```
//! use palisade_admission::PolicyBuilder;
//! use palisade_console::files;
//! use palisade_review::{Accounts, Options, Report, Subject, Surroundings, Verdict, matrix};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {containers: [
//!     {name: web, image: web, securityContext: {capabilities: {drop: [ALL]}}}]}}";
//! let documents = files::parse("web.yaml", pod.to_owned())?;
//! let accounts = Accounts::new(&documents);
//! let subject = Subject::new(&documents[0], &accounts, &Options::default())?.ok_or("not a workload")?;
//! let mut builder = PolicyBuilder::default();
//! builder.add_set(palisade_scc::BuiltinSet::V4)?;
//! builder.assume_namespace("shop");
//! let report = Report::new(&builder.build(), &Surroundings::new(&documents), &subject);
//! assert_eq!((report.verdict, report.scc.as_deref()), (Verdict::Admitted, Some("restricted-v2")));
//! let page = matrix(&[report], &[subject]).file()?;
//! assert!(page.starts_with("<!doctype html>"));
//! # Ok(())
//! # }
//! ```

mod advice;
mod after;
mod changed;
mod comparison;
mod familiarity;
mod grant;
mod impact;
mod loss;
mod matrix;
mod notes;
mod page;
mod report;
mod subject;
mod surroundings;
mod syscalls;
mod unknown;
mod user_namespace;

pub use advice::{Account, Advice, Spot, beyond};
pub use after::By;
pub use comparison::Comparison;
pub use grant::{name as free_name, object as scc_object, role as use_role};
pub use impact::{Move, Whole, impact, impact_page, pod_changes};
pub use matrix::matrix;
pub use notes::{UNCONFINED, is_root_with_capabilities, kept_off};
pub use page::{Frame, LinkList, Page, PageError, SCRIPT, STYLE, changes, form, index, login, message};
pub use report::{ErrorReport, RefusalReport, Report, StepReport, Verdict, list};
pub use subject::{ASSUMED_NAMESPACE, Accounts, Options, Subject, SubjectError};
pub use surroundings::Surroundings;
pub use syscalls::{Shares, difference_page, shares, syscalls};
