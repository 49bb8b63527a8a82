//! Methods that a path does not have.

use palisade_api::kind::RESOURCES;
use serde_json::json;

use super::world::Who::Admin;
use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_subresource_has_the_methods_of_its_row() {
    let world = World::new().await;
    let methods =
        [("GET", "get"), ("POST", "create"), ("PUT", "update"), ("PATCH", "patch"), ("DELETE", "delete")];
    let mut refused = 0;
    for resource in RESOURCES {
        for part in resource.subresources() {
            let root = if resource.group().is_empty() { "/api" } else { "/apis" };
            let scope = if resource.namespaced { "namespaces/shop/" } else { "" };
            let (version, plural, name) = (resource.api_version(), resource.plural(), part.name);
            let path = format!("{root}/{version}/{scope}{plural}/nosuch/{name}");
            for (method, verb) in methods {
                let reply = world.send(Admin, &format!("{method} {path}"), &json!({})).await;
                let is_refused = reply.code == 405;
                assert_eq!(
                    is_refused,
                    !part.allows(verb),
                    "{method} {path}: {} {}",
                    reply.code,
                    reply.text()
                );
                refused += usize::from(is_refused);
            }
        }
    }
    assert!(refused > 20, "{refused}");
}
