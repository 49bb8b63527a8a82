//! Lists that nobody asked to have in parts: read and sent part by part all the same, so that the server never holds one
//! whole, however long it is and however slowly the client reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use palisade_store::Cursor;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Work;
use crate::error::{ApiError, ApiResult};
use crate::respond::{self, Body, Format};
use crate::table::Include;
use crate::verb::{self, Listing};

/// How many objects are read and sent at once.
const PAGE: usize = 500;
/// How long a client may take to read one part.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a list is written.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) include: Include,
}

impl Shape {
    /// Whether the list's form can be written part by part: its objects come last in it.
    fn has_parts(self) -> bool {
        matches!(self.format, Format::Json | Format::Table | Format::Metadata)
    }

    fn value(self, work: &Work, listing: Listing) -> Value {
        let (value, resource) = (listing.into_value(work.target.resource), work.target.resource);
        match self.format {
            Format::Json => value,
            format => respond::shaped(&value, format, resource, self.include),
        }
    }
}

/// Answers a request for all objects, if it may be answered in parts.
pub(super) async fn answer(work: &Arc<Work>, shape: Shape) -> ApiResult<Option<Response<Body>>> {
    let is_list = work.method == http::Method::GET && work.target.name.is_empty();
    if !is_list || !shape.has_parts() || work.query.number("limit")?.unwrap_or(0) > 0 {
        return Ok(None);
    }
    if work.target.resource.review.is_some() {
        return Ok(None);
    }
    let mut first = page(work, None).await?;
    let next = first.next.take();
    let value = shape.value(work, first);
    let Some(next) = next else { return Ok(Some(respond::json(200, &value))) };
    let mut head = value.to_string();
    // What closes the objects and the list comes at the end.
    if head.split_off(head.len().saturating_sub(2)) != "]}" {
        return Ok(None);
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(rest(Arc::clone(work), shape, head, next, sender));
    Ok(Some(respond::stream("application/json", receiver, None)))
}

async fn page(work: &Arc<Work>, after: Option<Cursor>) -> ApiResult<Listing> {
    let work = Arc::clone(work);
    let done = tokio::task::spawn_blocking(move || {
        let call = work.call();
        let after = match after {
            None => verb::start(&call)?,
            after => after,
        };
        verb::listing(&call, Some(PAGE), after)
    });
    done.await.map_err(|error| ApiError::internal("the request could not be answered", &error))?
}

/// Sends what was read, then reads on. A client that hears no end knows by the list's form that something is missing.
async fn rest(work: Arc<Work>, shape: Shape, head: String, next: Cursor, sender: mpsc::Sender<Bytes>) {
    let mut text = head;
    let mut next = Some(next);
    loop {
        let is_last = next.is_none();
        if is_last {
            text.push_str("]}");
        }
        let sent = tokio::time::timeout(PATIENCE, sender.send(Bytes::from(text))).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
        let mut part = match page(&work, next.take()).await {
            Ok(part) => part,
            Err(error) => {
                tracing::warn!("a list of {} breaks off: {}", work.target.resource.plural, error.message);
                return;
            }
        };
        next = part.next.take();
        let value = shape.value(&work, part);
        let field = if shape.format == Format::Table { "rows" } else { "items" };
        let items = value.get(field).and_then(Value::as_array).into_iter().flatten();
        text = items.map(|item| format!(",{item}")).collect();
    }
}
