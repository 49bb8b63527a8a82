//! The restriction score, the order of SCCs, and the reason why one comes before another.

use std::cmp::Ordering;
use std::fmt;

use palisade_k8s::SecurityContextConstraints;

/// The score of an SCC; a lower one is more restrictive. The weights are those of
/// the reference (reference/scc.md 2.1).
#[must_use]
pub fn score(scc: &SecurityContextConstraints) -> u32 {
    let flags = [
        (scc.allow_privileged_container, 1_600_000),
        (scc.allow_host_ports, 800_000),
        (scc.allow_host_network, 400_000),
    ];
    let flags: u32 = flags.iter().filter(|(set, _)| *set).map(|(_, points)| points).sum();
    flags
        + volume_points(SecurityContextConstraints::list(scc.volumes.as_ref()))
        + strategy_points(&scc.se_linux_context.type_)
        + strategy_points(&scc.run_as_user.type_)
        + capability_points(scc)
}

fn volume_points(volumes: &[String]) -> u32 {
    let points = |volume: &String| match volume.as_str() {
        "hostPath" | "*" => 200_000,
        "secret" | "configMap" | "emptyDir" | "downwardAPI" | "projected" | "none" => 0,
        _ => 100_000,
    };
    volumes.iter().map(points).max().unwrap_or(0)
}

fn strategy_points(strategy: &str) -> u32 {
    match strategy {
        "RunAsAny" => 40_000,
        "MustRunAsNonRoot" => 30_000,
        "MustRunAsRange" => 20_000,
        "MustRunAs" => 10_000,
        _ => 0,
    }
}

fn capability_points(scc: &SecurityContextConstraints) -> u32 {
    let list = SecurityContextConstraints::list;
    let count = |list: &[String]| i64::try_from(list.len()).unwrap_or(i64::MAX / 1_000);
    let added = list(scc.default_add_capabilities.as_ref());
    let allowed = list(scc.allowed_capabilities.as_ref());
    let dropped = list(scc.required_drop_capabilities.as_ref());
    let mut points = 5_000 + 300 * count(added);
    // `ALL` always counts, and in the allowed list like `*`, though it permits only its own name.
    let all = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let allows_all = all(allowed) || allowed.iter().any(|name| name == "*");
    points += if allows_all { 4_000 } else { 10 * count(allowed) };
    points -= if all(dropped) { 3_000 } else { 50 * count(dropped) };
    u32::try_from(points.clamp(0, 9_999)).unwrap_or(0)
}

/// The key of the order of SCCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank<'a> {
    /// The SCC's priority, 0 if it has none.
    pub priority: i32,
    /// Its restriction score.
    pub score: u32,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Rank<'a> {
    /// The rank of a defaulted SCC.
    #[must_use]
    pub fn of(scc: &'a SecurityContextConstraints) -> Self {
        Self { priority: scc.priority.unwrap_or(0), score: score(scc), name: &scc.metadata.name }
    }

    /// The reason why this SCC is evaluated before `other`; `None` if it is not.
    #[must_use]
    pub fn preference(&self, other: &Self) -> Option<Preference> {
        if self.cmp(other) != Ordering::Less {
            return None;
        }
        Some(if self.priority != other.priority {
            Preference::Priority { ours: self.priority, theirs: other.priority }
        } else if self.score != other.score {
            Preference::Score { ours: self.score, theirs: other.score }
        } else {
            Preference::Name
        })
    }
}

impl Ord for Rank<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let higher_first = other.priority.cmp(&self.priority);
        higher_first.then(self.score.cmp(&other.score)).then(self.name.cmp(other.name))
    }
}

impl PartialOrd for Rank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The reason why one SCC is evaluated before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// Its priority is higher.
    Priority {
        /// Of the one that comes first.
        ours: i32,
        /// Of the other.
        theirs: i32,
    },
    /// It is more restrictive.
    Score {
        /// Of the one that comes first.
        ours: u32,
        /// Of the other.
        theirs: u32,
    },
    /// Its name sorts first.
    Name,
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Priority { ours, theirs } => write!(f, "its priority {ours} is higher than {theirs}"),
            Self::Score { ours, theirs } => {
                write!(f, "it is more restrictive (score {ours} against {theirs})")
            }
            Self::Name => f.write_str("priority and score are equal and its name sorts first"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowing_all_scores_like_the_wildcard() {
        let points = |allowed: &[&str]| {
            let allowed_capabilities = Some(allowed.iter().map(ToString::to_string).collect());
            score(&SecurityContextConstraints { allowed_capabilities, ..Default::default() })
        };
        for (allowed, expected) in [
            (&[][..], 5_000),
            (&["CHOWN", "SETUID"], 5_020),
            (&["*"], 9_000),
            (&["ALL"], 9_000),
            (&["CHOWN", "all"], 9_000),
            (&["CAP_ALL"], 5_010),
        ] {
            assert_eq!(points(allowed), expected, "{allowed:?}");
        }
    }

    fn rank(priority: i32, score: u32, name: &str) -> Rank<'_> {
        Rank { priority, score, name }
    }

    #[test]
    fn priority_then_score_then_name() {
        let mut ranks =
            [rank(0, 5, "b"), rank(0, 5, "a"), rank(0, 1, "z"), rank(-1, 0, "x"), rank(10, 9, "y")];
        ranks.sort();
        assert_eq!(ranks.map(|rank| rank.name), ["y", "z", "a", "b", "x"]);
        assert_eq!(rank(0, 1, "a").preference(&rank(0, 1, "b")), Some(Preference::Name));
        assert_eq!(rank(0, 1, "b").preference(&rank(0, 1, "a")), None);
    }
}
