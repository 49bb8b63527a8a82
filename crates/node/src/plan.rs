//! The next steps for a pod, computed from its specification and its observed state, without I/O.

use std::collections::BTreeMap;

use crate::cri::message::{ContainerState, ContainerStatus};
use crate::slot::{Kind, Slot};

/// The restart policy of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Restart {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    fn wants(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// The final phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed,
}

/// The next steps for a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Indexes of the containers to start.
    pub(crate) start: Vec<usize>,
    /// Set once all relevant containers have ended for good.
    pub(crate) end: Option<End>,
}

/// A pod's containers, the latest of each name.
pub(crate) type Latest<'c> = BTreeMap<&'c str, &'c ContainerStatus>;

fn state(container: &ContainerStatus) -> ContainerState {
    ContainerState::try_from(container.state).unwrap_or(ContainerState::Unknown)
}

pub(crate) fn has_ended(container: &ContainerStatus) -> bool {
    matches!(state(container), ContainerState::Exited | ContainerState::Unknown)
}

pub(crate) fn runs(container: &ContainerStatus) -> bool {
    state(container) == ContainerState::Running
}

/// Plans the next steps for a pod. `latest` are the containers of its sandbox; `is_started` is whether a running one
/// has passed its startup probe.
pub(crate) fn plan(
    slots: &[Slot],
    restart: Restart,
    latest: &Latest<'_>,
    is_started: &dyn Fn(&ContainerStatus) -> bool,
) -> Plan {
    let of = |slot: &Slot| latest.get(slot.name()).copied();
    let places = |kind: Kind| slots.iter().enumerate().filter(move |(_, slot)| slot.kind == kind);
    let mut plan = Plan::default();
    if !places(Kind::Main).any(|(_, slot)| of(slot).is_some()) {
        match before_main(slots, restart, latest, is_started) {
            Before::Start(place) => plan.start.push(place),
            Before::Failed => plan.end = Some(End::Failed),
            Before::Wait => {}
            Before::Over => plan.start.extend(places(Kind::Main).map(|(place, _)| place)),
        }
        if let Before::Start(_) | Before::Wait = before_main(slots, restart, latest, is_started) {
            // Sidecars that have started already go on meanwhile.
            let fallen = places(Kind::Sidecar).filter(|(_, slot)| of(slot).is_some_and(has_ended));
            plan.start.extend(
                fallen
                    .map(|(place, _)| place)
                    .filter(|place| !plan.start.contains(place))
                    .collect::<Vec<_>>(),
            );
        }
        return plan;
    }
    let is_over =
        |slot: &Slot| of(slot).is_some_and(|found| has_ended(found) && !restart.wants(found.exit_code));
    if places(Kind::Main).all(|(_, slot)| is_over(slot)) {
        let failed = places(Kind::Main).any(|(_, slot)| of(slot).is_some_and(|found| found.exit_code != 0));
        plan.end = Some(if failed { End::Failed } else { End::Succeeded });
        return plan;
    }
    let missing = |slot: &Slot| of(slot).is_none();
    let fallen = |slot: &Slot| of(slot).is_some_and(has_ended);
    plan.start.extend(
        places(Kind::Sidecar).filter(|(_, slot)| missing(slot) || fallen(slot)).map(|(place, _)| place),
    );
    plan.start.extend(
        places(Kind::Main)
            .filter(|(_, slot)| missing(slot) || (fallen(slot) && !is_over(slot)))
            .map(|(place, _)| place),
    );
    plan.start.extend(places(Kind::Ephemeral).filter(|(_, slot)| missing(slot)).map(|(place, _)| place));
    plan
}

enum Before {
    Start(usize),
    Wait,
    Failed,
    Over,
}

/// The init containers, one after the other.
fn before_main(
    slots: &[Slot],
    restart: Restart,
    latest: &Latest<'_>,
    is_started: &dyn Fn(&ContainerStatus) -> bool,
) -> Before {
    for (place, slot) in slots.iter().enumerate() {
        let found = latest.get(slot.name()).copied();
        match (slot.kind, found) {
            (Kind::Main | Kind::Ephemeral, _) => {}
            (Kind::Init | Kind::Sidecar, None) => return Before::Start(place),
            (Kind::Init, Some(found)) if !has_ended(found) => return Before::Wait,
            (Kind::Init, Some(found)) if found.exit_code == 0 => {}
            (Kind::Init, Some(_)) if restart == Restart::Never => return Before::Failed,
            (Kind::Init, Some(_)) => return Before::Start(place),
            (Kind::Sidecar, Some(found)) if has_ended(found) => return Before::Start(place),
            (Kind::Sidecar, Some(found)) if is_started(found) => {}
            (Kind::Sidecar, Some(_)) => return Before::Wait,
        }
    }
    Before::Over
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Container;

    /// `init:i`, `side:s`, `main:a`, `ephemeral:e`.
    fn slot(text: &str) -> Slot {
        let (kind, name) = text.split_once(':').unwrap();
        let kind = match kind {
            "init" => Kind::Init,
            "side" => Kind::Sidecar,
            "main" => Kind::Main,
            _ => Kind::Ephemeral,
        };
        Slot { kind, container: Container { name: name.to_owned(), ..Default::default() }, target: None }
    }

    /// `a=run`, `a=0`, `a=1`.
    fn container(text: &str) -> (String, ContainerStatus) {
        let (name, state) = text.split_once('=').unwrap();
        let mut status = ContainerStatus { state: ContainerState::Running as i32, ..Default::default() };
        if let Ok(code) = state.parse() {
            (status.state, status.exit_code) = (ContainerState::Exited as i32, code);
        }
        (name.to_owned(), status)
    }

    #[test]
    fn the_next_step_is_a_kubelets() {
        use End::{Failed, Succeeded};
        use Restart::{Always, Never, OnFailure};
        for (slots, restart, there, start, end) in [
            ("init:i side:s main:a main:b", Always, "", "i", None),
            ("init:i side:s main:a main:b", Always, "i=run", "", None),
            ("init:i side:s main:a main:b", Always, "i=1", "i", None),
            ("init:i side:s main:a main:b", Never, "i=1", "", Some(Failed)),
            ("init:i side:s main:a main:b", Always, "i=0", "s", None),
            ("init:i side:s main:a main:b", Always, "i=0 s=run", "a b", None),
            ("side:s init:i main:a", Always, "s=1 i=run", "s", None),
            ("init:i side:s main:a main:b", Never, "i=0 s=1 a=run b=0", "s", None),
            ("init:i side:s main:a main:b", Never, "i=0 s=run a=0 b=0", "", Some(Succeeded)),
            ("main:a main:b", Never, "a=0 b=3", "", Some(Failed)),
            ("main:a main:b", Never, "a=0 b=run", "", None),
            ("main:a main:b", OnFailure, "a=0 b=3", "b", None),
            ("main:a main:b", OnFailure, "a=0 b=0", "", Some(Succeeded)),
            ("main:a main:b", Always, "a=0 b=run", "a", None),
            ("main:a ephemeral:e", Always, "a=run", "e", None),
            ("main:a ephemeral:e", Always, "a=run e=1", "", None),
            ("main:a", Never, "", "a", None),
        ] {
            let slots: Vec<Slot> = slots.split(' ').map(slot).collect();
            let there: Vec<_> = there.split_whitespace().map(container).collect();
            let latest = there.iter().map(|(name, status)| (name.as_str(), status)).collect();
            let got = plan(&slots, restart, &latest, &|_| true);
            let names: Vec<&str> = got.start.iter().map(|place| slots[*place].name()).collect();
            assert_eq!((names.join(" ").as_str(), got.end), (start, end), "{slots:?} {restart:?} {there:?}");
        }
    }

    #[test]
    fn a_sidecar_that_has_not_started_is_waited_for() {
        let slots = [slot("side:s"), slot("main:a")];
        let (name, status) = container("s=run");
        let latest = [(name.as_str(), &status)].into();
        assert_eq!(plan(&slots, Restart::Always, &latest, &|_| false), Plan::default());
    }
}
