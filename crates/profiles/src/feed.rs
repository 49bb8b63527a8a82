//! The objects of both kinds, followed by watches.

use std::time::Duration;

use futures::StreamExt;
use kube::api::DynamicObject;
use kube::{Api, Client};
use kube_runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::catalog::Name;
use crate::source::Origin;

/// The longest a watch lasts, in seconds.
const WATCH: u32 = 120;
/// Time before an API that is not served is tried again: ours will be soon, the operator's perhaps never.
const UNSERVED: [(Origin, Duration); 2] =
    [(Origin::Palisade, Duration::from_secs(10)), (Origin::Operator, Duration::from_secs(300))];
/// The pause after a request that failed.
const PAUSE: Duration = Duration::from_secs(5);
/// Maximum number of waiting changes.
const WAITING: usize = 256;

/// A change of one kind.
#[derive(Debug)]
pub(crate) enum Change {
    /// An object is there, with this `spec`.
    Put(Name, Value),
    /// An object is gone.
    Gone(Name),
    /// A list of all objects begins.
    Begin(Origin),
    /// It is complete.
    End(Origin),
    /// The API is not served, so that there is no object.
    Unserved(Origin),
}

/// Follows both kinds until the receiver is dropped.
pub(crate) fn follow(client: &Client) -> mpsc::Receiver<Change> {
    let (sender, receiver) = mpsc::channel(WAITING);
    for (origin, unserved) in UNSERVED {
        let api = Api::all_with(client.clone(), &origin.resource());
        tokio::spawn(one(api, origin, unserved, sender.clone()));
    }
    receiver
}

async fn one(api: Api<DynamicObject>, origin: Origin, unserved: Duration, to: mpsc::Sender<Change>) {
    let mut watch = Box::pin(watcher::watcher(api, watcher::Config::default().timeout(WATCH)));
    while let Some(event) = watch.next().await {
        let (change, pause) = match event {
            Ok(event) => (Some(of(event, origin)), Duration::ZERO),
            Err(error) if is_unserved(&error) => (Some(Change::Unserved(origin)), unserved),
            Err(error) => {
                tracing::warn!("seccompprofiles.{} cannot be followed: {error}", origin.group());
                (None, PAUSE)
            }
        };
        if let Some(change) = change
            && to.send(change).await.is_err()
        {
            return;
        }
        sleep(pause).await;
    }
}

fn of(event: Event<DynamicObject>, origin: Origin) -> Change {
    let name = |object: &DynamicObject| {
        let metadata = &object.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        Name::new(origin, namespace, metadata.name.as_deref().unwrap_or_default())
    };
    match event {
        Event::Apply(mut object) | Event::InitApply(mut object) => {
            let spec = object.data.get_mut("spec").map(Value::take).unwrap_or_default();
            Change::Put(name(&object), spec)
        }
        Event::Delete(object) => Change::Gone(name(&object)),
        Event::Init => Change::Begin(origin),
        Event::InitDone => Change::End(origin),
    }
}

/// Whether the error of a list shows that the API server does not serve the resource. A 404 of a watch does not: an API server
/// that has just started answers so, and no profile may be removed for it.
fn is_unserved(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};

    #[test]
    fn only_a_list_tells_that_an_api_is_not_served() {
        let status = |code| Box::new(Status { code, ..Status::failure("no", "x") });
        let api = |code| kube::Error::Api(status(code));
        for (error, expected) in [
            (InitialListFailed(api(404)), true),
            (InitialListFailed(api(403)), false),
            (InitialListFailed(api(503)), false),
            (WatchStartFailed(api(404)), false),
            (WatchFailed(api(404)), false),
            (WatchError(status(404)), false),
        ] {
            assert_eq!(is_unserved(&error), expected, "{error:?}");
        }
    }
}
