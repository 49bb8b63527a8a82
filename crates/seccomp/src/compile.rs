//! From a decision to the smallest and shallowest program that makes it.
//!
//! Equal decisions of neighbouring numbers are one range; a search tree over the ranges, weighted by how
//! often calls occur, picks the range; what depends on arguments follows. Equal parts are emitted once.
//! The path of a call that is always allowed loads nothing but the number and the architecture, so that
//! the kernel caches the answer.

use crate::bpf::{MAX_INSTRUCTIONS, Program};
use crate::filter::Filter;
use crate::weight::Weights;

mod emit;
mod holes;
mod split;
mod tree;

pub(crate) use emit::emit;
pub use holes::open_holes;

/// Why a filter does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The rules of one call alone are too many.
    #[error("{}", too_long(heavy))]
    TooLong {
        /// The heaviest calls: name and number of instructions.
        heavy: Vec<(String, usize)>,
    },
    /// It would take more than one filter, and more than one of them would notify a supervisor.
    #[error(
        "the filter needs {0} instructions, over {MAX_INSTRUCTIONS}, and the kernel lets only one of several filters notify"
    )]
    Notify(usize),
    /// The ABIs do not run on one machine.
    #[error("big-endian and little-endian architectures cannot share a filter")]
    Endianness,
}

fn too_long(heavy: &[(String, usize)]) -> String {
    let calls: Vec<_> = heavy.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    format!(
        "no filter may have more than {MAX_INSTRUCTIONS} instructions; the heaviest calls are {}",
        calls.join(", ")
    )
}

/// Compiles a filter to one program, or to several that decide the same when all are loaded: the kernel
/// takes the strictest answer, and each leaves to the others what it allows.
pub fn compile(filter: &Filter, weights: &Weights) -> Result<Vec<Program>, CompileError> {
    let big_endian = filter.archs().first().is_some_and(|arch| arch.is_big_endian());
    if filter.archs().iter().any(|arch| arch.is_big_endian() != big_endian) {
        return Err(CompileError::Endianness);
    }
    let mut graph = filter.graph.clone();
    let root = tree::root(filter, &mut graph, weights);
    match emit(&graph, root, big_endian) {
        Ok(program) => Ok(vec![program]),
        Err(length) => split::split(filter, weights, big_endian, length),
    }
}
