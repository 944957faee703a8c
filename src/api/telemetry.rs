//! What the API says of itself: a log line and its metric are one struct, so that they cannot drift apart.
//! Never a body, a key, a code or a person's name; routes by their pattern, never by their path.

/// A request was answered.
pub(crate) struct RequestAnswered<'a> {
    /// The route's pattern, `-` where none matched.
    pub route: &'a str,
    /// The HTTP method; `OTHER` for one that no route has.
    pub method: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// How long it took.
    pub seconds: f64,
}

impl RequestAnswered<'_> {
    /// Writes the line and counts.
    pub fn emit(self) {
        let Self { route, method, status, seconds } = self;
        tracing::debug!(route, method, status, seconds, "request answered");
        let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
        metrics::counter!("rollcall_http_requests_total", &labels).increment(1);
        metrics::histogram!("rollcall_http_request_duration_seconds", "route" => route.to_owned()).record(seconds);
    }
}
