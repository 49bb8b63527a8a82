//! Get and list.

use palisade_admission::PolicyCache;
use palisade_api::list::{Continue, ListStart, list_start};
use palisade_k8s::put;
use palisade_rbac::Action;
use palisade_store::{Cursor, Revision};
use serde_json::{Value, json};

use crate::authorize::allowed;
use crate::call::{Answer, Call};
use crate::convert;
use crate::error::{ApiError, ApiResult, Reason};
use crate::identity::Identity;
use crate::objects;
use crate::resource::{Resource, Visible, text};
use crate::selector::{Fields, Labels};

/// Whether a user sees an object in lists and watches of a resource.
pub(crate) fn is_visible(
    policy: &PolicyCache,
    identity: &Identity,
    resource: &Resource,
    object: &Value,
) -> bool {
    match resource.visible {
        Visible::ToAll => true,
        Visible::ToThoseWhoGet(plural) => sees(policy, identity, plural, text(object, "/metadata/name")),
    }
}

/// Whether a user may get an object, such as a namespace, that is its own scope.
pub(crate) fn sees(policy: &PolicyCache, identity: &Identity, plural: &str, name: &str) -> bool {
    let get = Action { verb: "get", group: "", resource: plural, namespace: name, name };
    allowed(policy, identity, &get).is_some()
}

/// The requester as a User object: the stored one, if it exists, with the requester's present groups.
fn own_user(call: &Call<'_>) -> ApiResult<Value> {
    let (resource, identity) = (&call.target.resource, call.identity);
    let mut user = match objects::get(&call.api.store, resource, "", &identity.name) {
        Ok(found) => resource.show(found.object),
        Err(error) if error.reason == Reason::NotFound => json!({
            "kind": resource.kind(), "apiVersion": resource.api_version(),
            "metadata": {"name": identity.name}, "identities": null,
        }),
        Err(error) => return Err(error),
    };
    let mut groups = identity.groups();
    groups.sort_unstable();
    groups.dedup();
    put(&mut user, &["groups"], groups.into());
    Ok(user)
}

/// `GET` of one object.
pub(crate) fn get(call: &Call<'_>) -> ApiResult<Answer> {
    let target = call.target;
    reached(call, call.query.number("resourceVersion")?.unwrap_or_default())?;
    if target.resource.own_name == Some(target.name.as_str()) {
        return own_user(call).map(Answer::ok);
    }
    let found = objects::get(&call.api.store, &target.resource, &target.namespace, &target.name)?;
    convert::shown(call.asker(), &target.resource, found.object).map(Answer::ok)
}

/// `GET` of the objects of a review, which are not kept. OpenShift's clients ask so whether they may request a project.
pub(crate) fn list_reviews() -> Answer {
    Answer::ok(
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 200}),
    )
}

/// Objects of one revision, and the place to continue.
#[derive(Debug)]
pub(crate) struct Listing {
    items: Vec<Value>,
    pub(crate) revision: Revision,
    pub(crate) next: Option<Cursor>,
}

impl Listing {
    /// An empty list of a revision, and the place to continue.
    pub(crate) fn empty(revision: Revision, next: Option<Cursor>) -> Self {
        Self { items: Vec::new(), revision, next }
    }

    /// Maximum weight of the objects of a list that is kept whole.
    pub(crate) const WEIGHT: usize = 8 * palisade_store::PAGE_BYTES;

    pub(crate) fn new(items: Vec<Value>, revision: Revision, next: Option<Cursor>) -> Self {
        Self { items, revision, next }
    }

    /// As the list of its kind; the objects come last.
    pub(crate) fn into_value(self, resource: &Resource) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = self.next {
            put(&mut metadata, &["continue"], seal(&next).into());
        }
        json!({
            "kind": resource.list_kind(), "apiVersion": resource.api_version(),
            "metadata": metadata, "items": self.items,
        })
    }
}

/// Gives the objects that a request selects to a function, at most `limit`, from a place on. The function says how many
/// bytes it has by then; where those are many the page ends.
pub(crate) fn select(
    call: &Call<'_>,
    limit: Option<usize>,
    mut cursor: Option<Cursor>,
    mut with: impl FnMut(Value) -> usize,
) -> ApiResult<(Revision, Option<Cursor>)> {
    let resource = &call.target.resource;
    let labels = Labels::parse(call.query.get("labelSelector").unwrap_or_default())?;
    let fields = Fields::parse(call.query.get("fieldSelector").unwrap_or_default(), &resource.selectable())?;
    let namespace = Some(call.target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let (mut count, mut bytes) = (0, 0);
    // A selector may leave a page empty; clients expect that a page with a limit is full unless it is the last.
    loop {
        let wanted = limit.map(|limit| limit.saturating_sub(count));
        let mut take = |object: Value| {
            let is_wanted = labels.matches(&object) && fields.matches(&object);
            if is_wanted && is_visible(&call.api.policy, call.identity, resource, &object) {
                count += 1;
                bytes = with(resource.show(object));
            }
        };
        let by = call.stay.party();
        let (revision, next) = convert::in_turn(call.asker(), resource, || {
            // A webhook converts the objects of a page together, and the selector applies to the converted objects.
            let mut other = Vec::new();
            let is_converted = resource.conversion().is_some();
            let (store, after) = (&call.api.store, cursor.as_ref());
            let page = objects::page(store, resource, namespace, wanted, after, &by, |object| {
                match is_converted {
                    true => other.push(object),
                    false => take(object),
                }
                Ok(())
            })?;
            convert::all(call.asker(), resource, other)?.into_iter().for_each(take);
            Ok(page)
        })?;
        // A page may be shorter than requested; clients go on as long as there is more.
        let is_full = limit.is_none_or(|limit| count >= limit) || bytes > palisade_store::PAGE_BYTES / 2;
        cursor = next;
        if is_full || cursor.is_none() {
            return Ok((revision, cursor));
        }
    }
}

/// The start of a list: a continue token, an exact revision, or the newest.
pub(crate) fn start(call: &Call<'_>) -> ApiResult<Option<Cursor>> {
    let start = match list_start(call.query)? {
        ListStart::Newest => None,
        ListStart::NotOlderThan(revision) => {
            reached(call, revision)?;
            None
        }
        ListStart::Exact(revision) => reached(call, revision)?.map(Cursor::start),
        ListStart::Continue(token) => {
            let why = "invalid continue token: continue key is not valid";
            Some(unseal(token).ok_or_else(|| ApiError::bad_request(why))?)
        }
    };
    if let Some(cursor) = &start {
        objects::check_age(&call.api.store, &call.target.namespace, cursor.revision)?;
    }
    Ok(start)
}

/// A revision, once the store has reached it.
fn reached(call: &Call<'_>, revision: u64) -> ApiResult<Option<Revision>> {
    let newest = call.api.store.revision().number();
    if revision > newest { Err(ApiError::future(revision, newest)) } else { Ok(Revision::new(revision)) }
}

/// A cursor as a token for clients.
fn seal(cursor: &Cursor) -> String {
    let Cursor { revision, namespace, name } = cursor.clone();
    Continue { revision: revision.number(), namespace, name }.to_string()
}

fn unseal(token: &str) -> Option<Cursor> {
    let Continue { revision, namespace, name } = Continue::parse(token)?;
    Some(Cursor { revision: Revision::new(revision)?, namespace, name })
}
