//! Pages of the seccomp profiles that are part of the program.

use palisade_review::{Page, difference_page, syscalls};
use palisade_seccomp::{
    Arch, Context, Decision, Filter, Rules, Weights, builtin, compile, profile, resolve, table,
};

use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::request::Query;

/// Maximum number of differences that are searched for.
const MOST: usize = 500;

/// The map of one profile, or the differences between two.
pub(super) fn page(query: &Query) -> ApiResult<Page> {
    let a = query.get("a").unwrap_or("runtime/default");
    let (rules, filter) = filter(a)?;
    let Some(b) = query.get("b") else {
        return Ok(syscalls(&format!("Seccomp profile {a}"), &rules, &filter, Arch::native()));
    };
    let (_, other) = self::filter(b)?;
    let found = decision(&filter)?.differences(&decision(&other)?, &rules.archs, MOST);
    let found = found.map_err(|error| broken(&error))?;
    Ok(difference_page(a, b, &found, &rules.archs))
}

fn decision(filter: &Filter) -> ApiResult<Decision> {
    let programs = compile(filter, Weights::shipped()).map_err(|error| broken(&error))?;
    Decision::of_programs(&programs).map_err(|error| broken(&error))
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Box<ApiError> {
    failure::internal("a shipped profile cannot be compiled", error)
}

/// The rules of a profile on this machine, for a container with the usual capabilities.
fn filter(name: &str) -> ApiResult<(Rules, Filter)> {
    let profile = builtin::named(name).and_then(|text| profile::read(text).0).ok_or_else(|| {
        let all: Vec<&str> = builtin::ALL.iter().map(|(name, _)| *name).collect();
        ApiError::bad_request(format!("no profile {name:?}; there are {}", all.join(", ")))
    })?;
    let caps = palisade_k8s::capability::CONTAINER_DEFAULT.map(str::to_owned).into_iter().collect();
    let rules = resolve(&profile, &Context { arch: Arch::native(), caps, kernel: table::NEWEST }).rules;
    let filter = Filter::new(&rules).map_err(|error| broken(&error))?;
    Ok((rules, filter))
}
