//! The image of an installation.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, Error};

use crate::install::NAME;

/// The image of the replicas in `namespace`; `None` if nothing is installed there.
///
/// # Errors
///
/// The API server refuses or does not answer.
pub async fn image(client: &Client, namespace: &str) -> Result<Option<String>, Error> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    Ok(deployments.get_opt(NAME).await?.and_then(of_deployment))
}

fn of_deployment(deployment: Deployment) -> Option<String> {
    let pod = deployment.spec.template.spec?;
    pod.containers.into_iter().next()?.image.filter(|image| !image.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::{Part, Settings, objects};
    use serde_json::{Value, json};

    #[test]
    fn the_image_is_that_of_the_replicas() {
        let settings = Settings { image: "registry.example/palisade:7".to_owned(), ..Settings::default() };
        let objects = objects(Part::Server, &settings);
        let installed = objects.into_iter().find(|object| object["kind"] == "Deployment").unwrap();
        let image = |object: Value| of_deployment(serde_json::from_value(object).unwrap());
        assert_eq!(image(installed).as_deref(), Some("registry.example/palisade:7"));
        let empty = json!({"spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "a", "image": ""}]}}}});
        assert_eq!(image(empty), None);
    }
}
