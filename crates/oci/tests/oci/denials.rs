//! Denials are seen, given to their containers, and explained.

use std::time::{Duration, Instant};

use palisade_oci::denials::{Denial, Denials, Event, Reasons, Tally};
use serde_json::json;

use crate::common::{Place, explorer, str, text};

const TRIES: u64 = 40;

/// Runs two containers at once that each try, in processes of a moment, what their profile denies; gives what was
/// seen until nothing more came.
fn denied(place: &Place) -> Vec<Denial> {
    let mut denials = Denials::watch(&place.path("state")).unwrap();
    let script = format!("i=0; while [ $i -lt {TRIES} ]; do mkdir /data/x; i=$((i+1)); done");
    let run = |id: &str| {
        let bundle = place.bundle(id, &script, |config| config["linux"]["seccomp"] = explorer());
        let output = place.run(&["run", "--bundle", str(&bundle), id]);
        assert!(text(&output).contains("Operation not permitted"), "{}", text(&output));
        // It is deleted at once, as engines do with --rm.
        place.run(&["delete", "--force", id]);
    };
    let reader = std::thread::spawn(move || {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(60));
        while Instant::now() < deadline {
            match denials.next(Some(Duration::from_secs(3))).unwrap() {
                // Other tests' containers make records too.
                Event::Denial(denial) if denial.syscall() == "mkdir" => seen.push(denial),
                Event::Denial(_) => {}
                Event::Lost => panic!("records were lost"),
                Event::Quiet => break,
            }
        }
        seen
    });
    std::thread::scope(|scope| {
        scope.spawn(|| run("denied-1"));
        scope.spawn(|| run("denied-2"));
    });
    reader.join().unwrap()
}

#[test]
fn every_denial_is_its_container_s() {
    let place = Place::new(json!({"log": true, "loginIds": true}));
    let mut tally = Tally::default();
    for denial in denied(&place) {
        tally.add(denial);
    }
    let of = |id: &str| {
        let of = |denial: &Denial| denial.container.as_ref().is_some_and(|container| container.id == id);
        tally.iter().filter(move |counted| of(&counted.last)).collect::<Vec<_>>()
    };
    for id in ["denied-1", "denied-2"] {
        let counted = of(id);
        assert_eq!(counted.len(), 1, "{tally:?}");
        assert_eq!(counted[0].count, TRIES);
        assert_eq!(counted[0].last.answer(), "ERRNO");
        let reason = Reasons::of(&place.path("state")).unwrap().reason(&counted[0].last).unwrap();
        assert_eq!(reason.profile, "linux.seccomp");
        assert_eq!(reason.rule, "no rule: the default");
        assert_eq!(reason.entry, r#"{"names":["mkdir"],"action":"SCMP_ACT_ALLOW"}"#);
        assert!(!reason.looks_at_arguments);
    }
}

#[test]
fn without_login_ids_the_cgroup_tells() {
    let place = Place::new(json!({"log": true}));
    let mut denials = Denials::watch(&place.path("state")).unwrap();
    // The shell itself is denied, and lives on.
    let bundle = place.bundle("b", "while true; do echo > /data/new; sleep 1; done", |config| {
        config["linux"]["seccomp"] = explorer();
        config["linux"]["cgroupsPath"] = json!("/palisade-test/cgroup-tells");
    });
    place.detached(&bundle, "cgroup-tells");
    let deadline = Instant::now() + Duration::from_secs(20);
    let found = loop {
        assert!(Instant::now() < deadline, "no denial was given to the container");
        if let Event::Denial(denial) = denials.next(Some(Duration::from_secs(1))).unwrap()
            && denial.container.as_ref().is_some_and(|container| container.id == "cgroup-tells")
        {
            break denial;
        }
    };
    place.run(&["delete", "--force", "cgroup-tells"]);
    assert!(["open", "openat"].contains(&found.syscall().as_str()), "{found:?}");
    assert!(Reasons::of(&place.path("state")).unwrap().reason(&found).unwrap().looks_at_arguments);
}
