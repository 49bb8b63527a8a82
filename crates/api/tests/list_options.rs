//! The options of lists and watches, against the answers of Kubernetes' own functions to every combination of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;

use palisade_api::error::ApiError;
use palisade_api::list::{ListStart, WatchStart, list_start, watch_start};
use palisade_api::request::Query;

const TABLE: &str = include_str!("list_options.tsv");

/// The errors of options, as `FIELD: MESSAGE`; other refusals as their message.
fn said(error: &ApiError) -> Vec<String> {
    let causes = error.details.as_ref().and_then(|details| details["causes"].as_array());
    let cause = |cause: &serde_json::Value| {
        format!("{}: {}", cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap())
    };
    causes.map_or_else(|| vec![error.message.clone()], |causes| causes.iter().map(cause).collect())
}

#[test]
fn every_combination_is_judged_as_kubernetes_judges_it() {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let lines: Vec<(&str, &str)> = lines.map(|line| line.split_once('\t').unwrap()).collect();
    let errors: HashMap<&str, &str> = lines.iter().filter(|(letter, _)| letter.len() == 1).copied().collect();
    let mut counted = [0; 2];
    for (text, letters) in lines.iter().filter(|(query, _)| query.len() != 1) {
        let query = Query::parse(text);
        let is_watch = query.is_true("watch");
        let refused = match is_watch {
            true => watch_start(&query).err(),
            false => list_start(&query).err(),
        };
        let wanted: Vec<&str> = letters.split("").filter_map(|letter| errors.get(letter).copied()).collect();
        // Options that pass validation may still be refused by the store: a revision beside a token.
        let beside = !is_watch && text.contains("continue") && text.contains("resourceVersion=5");
        let wanted = match (wanted.is_empty(), beside) {
            (true, true) => vec!["specifying resource version is not allowed when using continue"],
            _ => wanted,
        };
        assert_eq!(refused.as_deref().map(said).unwrap_or_default(), wanted, "{text}");
        if let Some(error) = refused {
            assert_eq!(error.reason.code(), if beside && letters.is_empty() { 400 } else { 422 }, "{text}");
        }
        counted[usize::from(is_watch)] += 1;
    }
    assert_eq!(counted, [288, 288]);
}

#[test]
fn what_is_not_refused_starts_where_kubernetes_starts() {
    let list = |text: &str| -> String {
        format!("{:?}", list_start(&Query::parse(text)).map_err(|error| error.reason))
    };
    for (text, wanted) in [
        ("", ListStart::Newest),
        ("limit=5", ListStart::Newest),
        ("resourceVersion=0", ListStart::Newest),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan", ListStart::Newest),
        ("resourceVersion=7", ListStart::NotOlderThan(7)),
        ("resourceVersion=7&limit=5", ListStart::Exact(7)),
        ("resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan", ListStart::NotOlderThan(7)),
        ("resourceVersion=7&resourceVersionMatch=Exact", ListStart::Exact(7)),
        ("resourceVersion=0&continue=t&limit=5", ListStart::Continue("t")),
    ] {
        assert_eq!(list(text), format!("{:?}", Ok::<_, ()>(wanted)), "{text}");
    }
    let watch = |text: &str| watch_start(&Query::parse(text)).unwrap();
    let state = |at_least, is_marked| WatchStart::State { at_least, is_marked };
    for (text, wanted) in [
        ("", state(0, false)),
        ("resourceVersion=0&allowWatchBookmarks=1", state(0, true)),
        ("resourceVersion=7&allowWatchBookmarks=true", WatchStart::After(7)),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=7", state(7, false)),
        ("sendInitialEvents=&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", state(0, true)),
        ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", WatchStart::Now),
        ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0", WatchStart::Now),
        ("sendInitialEvents=0&resourceVersionMatch=NotOlderThan&resourceVersion=7", WatchStart::After(7)),
        ("resourceVersion=7&continue=t&limit=5", WatchStart::After(7)),
    ] {
        assert_eq!(watch(text), wanted, "{text}");
    }
    for text in [
        "resourceVersion=x",
        "resourceVersion=-1",
        "resourceVersion=%2B1",
        "resourceVersion=18446744073709551616",
        "resourceVersion=1.0",
    ] {
        let query = Query::parse(text);
        assert_eq!(list_start(&query).unwrap_err().reason.code(), 400, "{text}");
        assert_eq!(watch_start(&query).unwrap_err().reason.code(), 400, "{text}");
    }
}
