//! The inputs of commands on workloads: manifests, a must-gather folder, or a live cluster, with the policy that
//! applies to them.

use std::path::PathBuf;

use palisade_admission::PolicyBuilder;
use palisade_k8s::workload::WorkloadKind;

use crate::args::{InputArgs, PolicyArgs};
use crate::files::{self, Document};
use crate::{gathered, policy};
use palisade_review::Surroundings;

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
}

impl Loaded {
    /// Reads files and folders.
    pub(crate) fn read(inputs: Inputs<'_>) -> Result<Self, crate::Failure> {
        let mut documents = files::read(inputs.files)?;
        policy::put_into(&mut documents, inputs.namespace);
        let (builder, around) = match inputs.must_gather {
            Some(folder) => {
                let gathered = gathered::read(folder)?;
                (gathered.builder, gathered.documents)
            }
            None => policy::load_with_documents(inputs.policy, inputs.namespace)?,
        };
        Self::of(documents, builder, around, inputs.must_gather.is_some())
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
            return Self::of(Vec::new(), builder, around, true);
        }
        Self::read(Inputs {
            files: &args.files,
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
    ) -> Result<Self, crate::Failure> {
        if all {
            let free = around.iter().filter(|document| !gathered::is_controlled(document));
            let is_workload = |document: &&Document| {
                WorkloadKind::of(document.text("apiVersion"), document.text("kind")).is_some()
            };
            documents.extend(free.filter(is_workload).cloned());
        }
        policy::add_surroundings(&mut builder, &documents)?;
        around.extend(documents.iter().cloned());
        Ok(Self { documents, around, builder })
    }

    /// Inputs beside policy.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings::new(&self.around)
    }
}
