//! The API server under attack: who asks for what, and what must come back.
//!
//! Each module is a kind of attack, most of them one table. A case gives the attacker's goal and the required answer,
//! which was another one before the rule that the case tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod audit;
mod backup;
mod bounds;
mod console;
mod customs;
mod escalation;
mod files;
mod floods;
mod forgery;
mod forms;
mod growth;
mod hooks;
mod http;
mod levels;
mod lists;
mod load;
mod methods;
mod names;
mod nodes;
mod pods;
mod restart;
mod reviews;
mod services;
mod stored;
mod tokens;
mod waits;
mod watches;
mod workloads;
mod world;
