//! The pace of refusals: who asks too much, and again at once, is told so once in a while. An answer that says "too much" is
//! held back for a moment, in which its connection costs a place and no work. Knows no route and refuses nothing itself.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;

/// For how long a refusal is held back: no longer than any of them says in `Retry-After`.
const PAUSE: Duration = Duration::from_secs(1);
/// The share of all connections that may be held back; the next refusals are sent at once, so that others find room.
const SHARE: usize = 4;

/// How refusals are held back.
#[derive(Clone)]
pub struct RefusalPace {
    room: Arc<Semaphore>,
    pause: Duration,
}

impl RefusalPace {
    /// `connections`: how many the server has at most.
    pub fn new(connections: usize) -> Self {
        Self { room: Arc::new(Semaphore::new((connections / SHARE).max(1))), pause: PAUSE }
    }
}

/// Passes a request on, and holds its answer back if that is "too much".
pub async fn with_pace(State(pace): State<RefusalPace>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::TOO_MANY_REQUESTS
        && let Ok(_place) = pace.room.try_acquire()
    {
        tokio::time::sleep(pace.pause).await;
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_refusal_waits_while_there_is_room_and_nothing_else_does() {
        let pace = RefusalPace { room: Arc::new(Semaphore::new(2)), pause: Duration::from_secs(3600) };
        let app = Router::new()
            .route("/much", get(|| async { StatusCode::TOO_MANY_REQUESTS }))
            .route("/good", get(|| async { "good" }))
            .layer(middleware::from_fn_with_state(pace.clone(), with_pace));
        let ask = |path: &str| app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
        let held = [tokio::spawn(ask("/much")), tokio::spawn(ask("/much"))];
        while pace.room.available_permits() > 0 {
            assert!(held.iter().all(|held| !held.is_finished()), "a refusal was sent at once");
            tokio::task::yield_now().await;
        }
        assert_eq!(ask("/good").await.unwrap().status(), StatusCode::OK);
        assert_eq!(ask("/much").await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS, "no more than two are held");
        for held in held {
            // Its client leaves.
            held.abort();
            assert!(held.await.is_err());
        }
        assert_eq!(pace.room.available_permits(), 2);
    }
}
