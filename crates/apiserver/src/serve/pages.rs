//! Lists. Those without `limit` are read and sent in parts too, so that the server never holds a whole one, however
//! long it is and however slowly the client reads.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use palisade_store::{Cursor, Revision};
use serde_json::Value;
use tokio::sync::mpsc;

use super::Work;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::limits;
use crate::raw;
use crate::respond::{self, Format};
use crate::share::Lease;
use crate::table::Include;
use crate::verb::{self, Listing};
use palisade_https::Body;

/// The encoding of a list.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) include: Include,
}

impl Shape {
    /// Whether a list in this format can be written in parts: its objects come last in it.
    fn has_parts(self) -> bool {
        matches!(self.format, Format::Json | Format::Table | Format::Metadata)
    }

    fn value(self, work: &Work, listing: Listing) -> Value {
        let (value, resource) = (listing.into_value(&work.target.resource), &work.target.resource);
        match self.format {
            Format::Json => value,
            format => respond::shaped(&value, format, resource, self.include),
        }
    }

    /// An object as a part of the list.
    fn item(self, work: &Work, object: Value) -> Value {
        match self.format {
            Format::Json => object,
            Format::Metadata => respond::metadata_of(&object),
            format => {
                let mut table = respond::shaped(&object, format, &work.target.resource, self.include);
                table.pointer_mut("/rows/0").map(Value::take).unwrap_or_default()
            }
        }
    }

    /// The text before the objects; the text after them is [`END`].
    fn head(self, work: &Work, revision: Revision, next: Option<Cursor>) -> String {
        let mut text = self.value(work, Listing::empty(revision, next)).to_string();
        text.truncate(text.len().saturating_sub(END.len()));
        text
    }

    /// Whether objects can be sent as they are stored.
    fn is_raw(self, work: &Work) -> bool {
        let selects = |name: &str| work.query.get(name).is_some_and(|selector| !selector.is_empty());
        self.format == Format::Json
            && work.target.resource.shows_as_kept()
            && !selects("labelSelector")
            && !selects("fieldSelector")
    }
}

const END: &str = "]}";

/// Some objects of a list, with commas between them.
struct Part {
    items: String,
    revision: Revision,
    next: Option<Cursor>,
}

/// Answers a list request, if its format can be written in parts.
pub(super) async fn answer(work: &Arc<Work>, shape: Shape) -> ApiResult<Option<Response<Body>>> {
    let is_read = matches!(work.method, http::Method::GET | http::Method::HEAD);
    let is_list = is_read && work.target.name.is_empty();
    let is_review = work.target.resource.review.is_some();
    if !is_list || is_review || !shape.has_parts() {
        return Ok(None);
    }
    let whole = async |text: String| {
        let answer = Body::bytes(200, respond::JSON, (text + END).into_bytes());
        work.api.shares.hold_answer(&work.party, answer).await.map(Some)
    };
    let limit = work.query.limit()?;
    if let Some(limit) = limit {
        let (only, _slot) = part(work, shape, limit, None).await?;
        return whole(shape.head(work, only.revision, only.next) + &only.items).await;
    }
    let (first, _slot) = part(work, shape, limits::PART, None).await?;
    let text = shape.head(work, first.revision, None) + &first.items;
    let Some(next) = first.next else { return whole(text).await };
    let place = work.api.shares.lists.get(&work.party, 1).await.map_err(|_| {
        ApiError::busy("too many long lists are being read; ask for pages with limit, or later")
    })?;
    let (sender, receiver) = mpsc::channel(1);
    let text = work.api.shares.hold(&work.party, Bytes::from(text)).await?;
    let sent = Rest { work: Arc::clone(work), shape, sender, _place: place };
    tokio::spawn(sent.run(text, next));
    Ok(Some(Body::stream(respond::JSON, receiver, None)))
}

/// Reads a part. It comes with a place among the requests, which is kept until there is memory for the part.
async fn part(
    work: &Arc<Work>,
    shape: Shape,
    limit: usize,
    after: Option<Cursor>,
) -> ApiResult<(Part, Lease)> {
    let slot = work.api.shares.requests.get(&work.party, 1).await?;
    let work = Arc::clone(work);
    let done = tokio::task::spawn_blocking(move || {
        let after = if after.is_none() { verb::start(&work.call())? } else { after };
        let part = match shape.is_raw(&work) {
            true => as_stored(&work, limit, after.as_ref()),
            false => as_read(&work, shape, limit, after),
        };
        Ok((part?, slot))
    });
    done.await.map_err(|error| failure::internal("the request could not be answered", &error))?
}

fn as_read(work: &Work, shape: Shape, limit: usize, after: Option<Cursor>) -> ApiResult<Part> {
    let mut items = String::new();
    // Only the text of each object is kept.
    let add = |object: Value| {
        separate(&mut items);
        items.push_str(&shape.item(work, object).to_string());
        items.len()
    };
    let (revision, next) = verb::select(&work.call(), Some(limit), after, add)?;
    Ok(Part { items, revision, next })
}

fn as_stored(work: &Work, limit: usize, after: Option<&Cursor>) -> ApiResult<Part> {
    let (target, resource) = (&work.target, &work.target.resource);
    let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let page = work.api.store.list(resource.storage(), namespace, Some(limit), after);
    let page = page.map_err(|error| failure::store(resource, "", error))?;
    let mut items = String::new();
    for object in &page.objects {
        separate(&mut items);
        raw::show(&object.value, resource, object.revision, &mut items)
            .map_err(|error| failure::internal("a stored object cannot be read", &error))?;
    }
    Ok(Part { items, revision: page.revision, next: page.next })
}

fn separate(items: &mut String) {
    if !items.is_empty() {
        items.push(',');
    }
}

/// A list that is being sent.
struct Rest {
    work: Arc<Work>,
    shape: Shape,
    sender: mpsc::Sender<Bytes>,
    _place: Lease,
}

impl Rest {
    /// Sends the part that was read, then reads on. A client that sees no end knows by the list's syntax that something
    /// is missing.
    async fn run(self, first: Bytes, next: Cursor) {
        let (mut held, mut next) = (first, Some(next));
        loop {
            let sent = tokio::time::timeout(limits::PART_TIME, self.sender.send(held)).await;
            if next.is_none() || !matches!(sent, Ok(Ok(()))) {
                return;
            }
            held = match self.read_on(&mut next).await {
                Ok(held) => held,
                Err(error) => {
                    let plural = self.work.target.resource.plural();
                    tracing::warn!("a list of {plural} breaks off: {}", error.message);
                    return;
                }
            };
        }
    }

    async fn read_on(&self, next: &mut Option<Cursor>) -> ApiResult<Bytes> {
        let (part, _slot) = part(&self.work, self.shape, limits::PART, next.take()).await?;
        *next = part.next;
        // A selector may leave the last part empty.
        let comma = if part.items.is_empty() { "" } else { "," };
        let end = if next.is_none() { END } else { "" };
        let text = format!("{comma}{}{end}", part.items);
        self.work.api.shares.hold(&self.work.party, Bytes::from(text)).await
    }
}
