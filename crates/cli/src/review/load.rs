//! The inputs of commands on workloads: manifests, a must-gather folder, or a live cluster, with the policy that
//! applies to them.

use std::collections::HashSet;
use std::path::PathBuf;

use palisade_admission::PolicyBuilder;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::BuiltinSet;

use crate::args::{InputArgs, PolicyArgs};
use crate::files::{self, Document};
use crate::{gathered, policy, wrapped};
use palisade_review::{ASSUMED_NAMESPACE, Surroundings};

/// The location of the inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) must_gather: Option<&'a PathBuf>,
    pub(crate) policy: &'a PolicyArgs,
    /// The namespace of objects that name none.
    pub(crate) namespace: Option<&'a str>,
}

/// Parsed inputs.
pub(crate) struct Loaded {
    /// The workloads, and the other objects of their files.
    pub(crate) documents: Vec<Document>,
    /// All objects.
    pub(crate) around: Vec<Document>,
    pub(crate) builder: PolicyBuilder,
    /// The number of files and objects that could not be read; each was named on stderr.
    pub(crate) left_out: usize,
}

impl Loaded {
    /// Reads files and folders.
    pub(crate) fn read(inputs: Inputs<'_>) -> Result<Self, crate::Failure> {
        let (documents, left_out) = files::read_rest(inputs.files)?;
        let mut documents = wrapped::opened(documents, inputs.namespace.unwrap_or(ASSUMED_NAMESPACE));
        policy::put_into(&mut documents, inputs.namespace);
        let (builder, around) = match inputs.must_gather {
            Some(folder) => {
                let gathered = gathered::read(folder)?;
                (gathered.builder, gathered.documents)
            }
            None => policy::load_with_documents(inputs.policy, inputs.namespace)?,
        };
        if inputs.must_gather.is_none() {
            tell_older_set(inputs.policy, documents.iter().chain(&around));
        }
        let mut loaded = Self::of(documents, builder, around, inputs.must_gather.is_some());
        loaded.left_out += left_out;
        Ok(loaded)
    }

    /// Reads the inputs of a command on many workloads: files, a must-gather folder or a cluster.
    pub(crate) fn of_args(args: &InputArgs) -> Result<Self, crate::Failure> {
        #[cfg(feature = "cluster")]
        if args.cluster {
            let (builder, around) = crate::live::read(&crate::live::Connection {
                kubeconfig: args.kubeconfig.as_ref(),
                context: args.context.as_deref(),
                namespace: args.namespace.as_deref(),
            })?;
            return Ok(Self::of(Vec::new(), builder, around, true));
        }
        let files: Vec<PathBuf> = args.files.iter().chain(&args.paths).cloned().collect();
        Self::read(Inputs {
            files: &files,
            must_gather: args.must_gather.as_ref(),
            policy: &args.policy,
            namespace: args.namespace.as_deref(),
        })
    }

    /// Joins workloads with a policy and its objects; the workloads among those count if `all` is set.
    pub(crate) fn of(
        mut documents: Vec<Document>,
        mut builder: PolicyBuilder,
        mut around: Vec<Document>,
        all: bool,
    ) -> Self {
        if all {
            let free = around.iter().filter(|document| !gathered::is_controlled(document));
            let is_workload = |document: &&Document| {
                WorkloadKind::of(document.text("apiVersion"), document.text("kind")).is_some()
            };
            documents.extend(free.filter(is_workload).cloned());
        }
        let left_out = policy::add_surroundings(&mut builder, &documents);
        around.extend(documents.iter().cloned());
        Self { documents, around, builder, left_out }
    }

    /// Inputs beside policy.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings::new(&self.around)
    }
}

/// Names the SCCs that the built-in set 4 adds to those of a cluster of OpenShift 3 or before 4.11 among the files.
fn tell_older_set<'d>(args: &PolicyArgs, documents: impl Iterator<Item = &'d Document>) {
    let sccs = documents.filter(|document| document.text("kind") == palisade_k8s::scc::KIND);
    let names: HashSet<&str> = sccs.map(|document| document.metadata("name")).collect();
    let is_there = |name: &str| names.contains(name);
    let is_older =
        ["restricted", "anyuid", "privileged"].into_iter().all(is_there) && !is_there("restricted-v2");
    if is_older && policy::set(args) == Some(BuiltinSet::V4) {
        palisade_console::terminal::note(format_args!(
            "{} the files hold the SCCs of a cluster before OpenShift 4.11, and set 4 adds those of later ones, as after an upgrade: \
             everybody may use its restricted-v2; --scc-set 3 leaves them out",
            crate::paint::warning("note:")
        ));
    }
}
