//! Conversion of custom resources: a webhook that a CustomResourceDefinition names turns objects of one version into those of
//! another. Rules and wording are those of `k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`.

use bytes::Bytes;
use palisade_api::kind::text;
use palisade_api::webhook::brief;
use palisade_api::webhook::conversion::{self, read, restored};
use serde_json::{Value, json};

use crate::client::{Client, Resolve};
use crate::hook::Hook;

/// Time in which a webhook answers, in seconds.
const TIMEOUT: u64 = 30;
/// Objects of one review.
const OBJECTS: usize = 500;
/// Size of the objects of one review, in bytes of JSON: the answer must fit the bound of a webhook's answer.
const BYTES: usize = 1024 * 1024;

/// Converts objects to an API version, by the webhook of their definition (`spec.conversion.webhook`). Those that are of that
/// version stay as they are. Of metadata, a webhook changes labels and annotations only.
///
/// # Errors
///
/// The webhook cannot be reached, does not answer in 30 seconds, or answers otherwise than asked.
pub async fn convert(
    client: &Client,
    resolve: Resolve<'_>,
    webhook: &Value,
    wanted: &str,
    mut objects: Vec<Value>,
) -> Result<Vec<Value>, String> {
    let (hook, version) = (Hook::of_conversion(webhook, TIMEOUT), conversion::version(webhook));
    let of_other: Vec<usize> = (0..objects.len())
        .filter(|at| objects.get(*at).is_some_and(|object| text(object, "/apiVersion") != wanted))
        .collect();
    let mut rest = of_other.as_slice();
    while !rest.is_empty() {
        let (part, later) = rest.split_at(portion(rest, &objects));
        rest = later;
        let asked: Vec<Value> = part.iter().filter_map(|at| objects.get(*at).cloned()).collect();
        let kind = asked.first().map(kind_of).unwrap_or_default();
        let failed = |why: String| format!("conversion webhook for {kind} failed: {}", brief(&why));
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({
            "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": asked},
        });
        let answer = client.post(resolve, &hook, Bytes::from(review.to_string())).await.map_err(failed)?;
        let converted = read(&answer, version, &uid).map_err(failed)?;
        if converted.len() != asked.len() {
            return Err(format!(
                "conversion webhook for {kind} returned {} objects, expected {}",
                converted.len(),
                asked.len()
            ));
        }
        for (index, (at, new)) in part.iter().zip(converted).enumerate() {
            let Some(place) = objects.get_mut(*at) else { continue };
            let new = restored(place, new, wanted, index);
            *place = new.map_err(|why| format!("conversion webhook for {kind} returned {}", brief(&why)))?;
        }
    }
    Ok(objects)
}

/// Maximum number of objects in a review.
fn portion(rest: &[usize], objects: &[Value]) -> usize {
    let mut bytes = 0;
    let fitting = rest.iter().take(OBJECTS).take_while(|at| {
        bytes += objects.get(**at).map_or(0, |object| object.to_string().len());
        bytes <= BYTES
    });
    fitting.count().max(1)
}

fn kind_of(object: &Value) -> String {
    format!("{}, Kind={}", text(object, "/apiVersion"), text(object, "/kind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_are_of_bounded_size() {
        let small: Vec<Value> = vec![json!({"metadata": {"name": "a"}}); 1200];
        let places: Vec<usize> = (0..1200).collect();
        assert_eq!(portion(&places, &small), OBJECTS);
        let large: Vec<Value> = (0..3).map(|_| json!({"spec": "x".repeat(BYTES - 100)})).collect();
        assert_eq!(portion(&places[..3], &large), 1);
        assert_eq!(portion(&places[..1], &[json!({"spec": "x".repeat(2 * BYTES)})]), 1);
    }
}
