//! An answer that comes before its request was read: a short rest is read and thrown away, so that the connection goes on;
//! for a longer one the answer says that the connection closes.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, Request, Response, header},
};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tower::ServiceExt;

use super::progress::Unread;

/// The rest that is worth reading to keep a connection, and how long it may take to arrive.
const SHORT_REST: u64 = 64 * 1024;
const SHORT_TIME: Duration = Duration::from_millis(100);

/// Asks the routes, and sees to what of the request they left unread.
pub async fn answer(app: Router, request: Request<Incoming>, unread: Unread) -> Result<Response<Body>, Infallible> {
    if request.body().is_end_stream() {
        return app.oneshot(request.map(Body::new)).await;
    }
    // Whoever asks before sending sends nothing after a refusal.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let left = Arc::new(Mutex::new(None));
    let lent = |body| Body::new(Lent { body: Some(body), back: Arc::clone(&left) });
    let mut response = app.oneshot(request.map(lent)).await?;
    let rest = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(rest) = rest
        && (asks_first || !is_short(rest).await)
    {
        unread.set();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Whether the rest of a body ends soon. Reads it.
async fn is_short(mut rest: Incoming) -> bool {
    if rest.size_hint().lower() > SHORT_REST {
        return false;
    }
    let read = async {
        let mut seen = 0;
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
            seen += frame.ok().as_ref().and_then(Frame::data_ref).map_or(SHORT_REST, |data| data.len() as u64);
            if seen >= SHORT_REST {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(SHORT_TIME, read).await.unwrap_or(false)
}

/// A request's body that comes back when whoever read it is done and it has not ended.
struct Lent {
    body: Option<Incoming>,
    back: Arc<Mutex<Option<Incoming>>>,
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
